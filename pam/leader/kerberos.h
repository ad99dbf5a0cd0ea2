/*
 * The system's libraries of Kerberos and GSSAPI, loaded by whoever needs them: a login without
 * tickets never has them. Runs in: leader and its children.
 */
#pragma once
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <profile.h>
#include <stdbool.h>

#define KERBEROS_OF_GSSAPI(DO)                                                                     \
  DO(gss_import_name)                                                                              \
  DO(gss_release_name)                                                                             \
  DO(gss_display_name)                                                                             \
  DO(gss_display_status)                                                                           \
  DO(gss_acquire_cred)                                                                             \
  DO(gss_release_cred)                                                                             \
  DO(gss_accept_sec_context)                                                                       \
  DO(gss_delete_sec_context)                                                                       \
  DO(gss_verify_mic)                                                                               \
  DO(gss_release_buffer)                                                                           \
  DO(gss_krb5_copy_ccache)

#define KERBEROS_OF_KRB5(DO)                                                                       \
  DO(krb5_init_context)                                                                            \
  DO(krb5_free_context)                                                                            \
  DO(krb5_parse_name)                                                                              \
  DO(krb5_free_principal)                                                                          \
  DO(krb5_kuserok)                                                                                 \
  DO(krb5_cc_default_name)                                                                         \
  DO(krb5_cc_new_unique)                                                                           \
  DO(krb5_cc_resolve)                                                                              \
  DO(krb5_cc_initialize)                                                                           \
  DO(krb5_cc_get_full_name)                                                                        \
  DO(krb5_cc_close)                                                                                \
  DO(krb5_cc_destroy)                                                                              \
  DO(krb5_cc_get_principal)                                                                        \
  DO(krb5_cc_copy_creds)                                                                           \
  DO(krb5_cc_start_seq_get)                                                                        \
  DO(krb5_cc_next_cred)                                                                            \
  DO(krb5_cc_end_seq_get)                                                                          \
  DO(krb5_cc_store_cred)                                                                           \
  DO(krb5_get_renewed_creds)                                                                       \
  DO(krb5_free_cred_contents)                                                                      \
  DO(krb5_is_config_principal)                                                                     \
  DO(krb5_get_profile)                                                                             \
  DO(profile_get_string)                                                                           \
  DO(profile_release_string)                                                                       \
  DO(profile_release)                                                                              \
  DO(krb5_free_string)

#define KERBEROS_DECLARE(name) __typeof__(&name) name;
struct kerberos {
  KERBEROS_OF_GSSAPI(KERBEROS_DECLARE)
  KERBEROS_OF_KRB5(KERBEROS_DECLARE)
};

/* false: one of them is not there, or too old; stderr has been told. */
bool kerberos_load(struct kerberos *kerberos);

/* The path in the name of a cache of the kind FILE. */
const char *kerberos_path(const char *name);
/* Makes the file of such a cache, 0600; what is there already is left alone. Returns 0 or an errno. */
int kerberos_make_file(const char *name);
