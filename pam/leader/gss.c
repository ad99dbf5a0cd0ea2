/* The acceptor of GSSAPI, Kerberos alone. Runs in: leader and its children. */
#include "gss.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gss-state.h"
#include "leader.h"
#include "process.h"

enum { TOKEN_MAX = 64 * 1024, SIGNED_MAX = 4096, REASON_MAX = 400, KUSEROK_PATIENCE_MS = 60000 };
enum { STARTED = 0, NO_LIBRARY = 1, NO_CREDENTIALS = 2 };
enum { MORE = 0, COMPLETE = 1, FAILED = 2 };
enum { AUTHORISED = 0, BAD_MIC = 1, NOT_AUTHORISED = 2 };

struct kuserok_input {
  const struct kerberos *of;
  const char *principal;
  const char *user;
};

/* RFC 1964 §1, RFC 2743 §4.1 in DER, without tag and length. */
static gss_OID_desc kerberos = {.length = 9, .elements = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"};
static gss_OID_desc host_based = {.length = 10,
                                  .elements = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"};

/* Both halves of a status as people read them. */
static void describe(const struct kerberos *of, OM_uint32 major, OM_uint32 minor, char *to) {
  const struct {
    OM_uint32 code;
    int type;
  } halves[] = {{major, GSS_C_GSS_CODE}, {minor, GSS_C_MECH_CODE}};
  size_t used = 0;
  to[0] = '\0';
  for (size_t i = 0; i < 2 && used < REASON_MAX - 3; i++) {
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 ignored, more = 0;
    if (halves[i].code == 0 || of->gss_display_status(&ignored, halves[i].code, halves[i].type,
                                                      &kerberos, &more, &text) != GSS_S_COMPLETE) {
      continue;
    }
    int written = snprintf(to + used, REASON_MAX - used, "%s%.*s", used == 0 ? "" : ": ",
                           (int)(text.length > REASON_MAX ? REASON_MAX : text.length),
                           (const char *)text.value);
    of->gss_release_buffer(&ignored, &text);
    used += written < 0 ? 0 : (size_t)written;
  }
}

/* ---- tokens ---- */

void gss_forget(struct gss *gss) {
  OM_uint32 minor;
  if (gss->context != GSS_C_NO_CONTEXT) {
    gss->of.gss_delete_sec_context(&minor, &gss->context, GSS_C_NO_BUFFER);
  }
  if (gss->acceptor != GSS_C_NO_CREDENTIAL) {
    gss->of.gss_release_cred(&minor, &gss->acceptor);
  }
  if (gss->delegated != GSS_C_NO_CREDENTIAL) {
    gss->of.gss_release_cred(&minor, &gss->delegated);
  }
  gss->is_complete = false;
  gss->is_checked = false;
  gss->principal[0] = '\0';
}

/* strict: the key of host/NAME-OF-THIS-HOST alone; else any key of the keytab. */
static OM_uint32 acquire(struct gss *gss, bool strict, OM_uint32 *minor) {
  char host[sizeof "host@" + 256] = "host@";
  gss_name_t name = GSS_C_NO_NAME;
  gss_OID_set_desc mechanisms = {.count = 1, .elements = &kerberos};
  OM_uint32 ignored;
  if (strict) {
    if (gethostname(host + 5, sizeof host - 6) != 0) {
      *minor = (OM_uint32)errno;
      return GSS_S_FAILURE;
    }
    host[sizeof host - 1] = '\0';
    gss_buffer_desc text = {.length = strlen(host), .value = host};
    OM_uint32 major = gss->of.gss_import_name(minor, &text, &host_based, &name);
    if (GSS_ERROR(major)) {
      return major;
    }
  }
  OM_uint32 major = gss->of.gss_acquire_cred(minor, name, GSS_C_INDEFINITE, &mechanisms, GSS_C_ACCEPT,
                                             &gss->acceptor, NULL, NULL);
  if (name != GSS_C_NO_NAME) {
    gss->of.gss_release_name(&ignored, &name);
  }
  return major;
}

void order_gss_start(struct leader *leader, const struct call *call, struct reader *reader) {
  bool strict = read_bool(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (!leader->is_root || leader->kind != KIND_LOGIN) {
    link_fail(&leader->link, call, EPERM, NULL);
    return;
  }
  if (leader->gss == NULL) {
    struct gss *gss = calloc(1, sizeof *gss);
    if (gss == NULL) {
      link_fail(&leader->link, call, ENOMEM, NULL);
      return;
    }
    if (!kerberos_load(&gss->of)) {
      free(gss);
      link_reply_verdict(&leader->link, call, NO_LIBRARY, "libgssapi_krb5.so.2 cannot be loaded");
      return;
    }
    leader->gss = gss;
  }
  struct gss *gss = leader->gss;
  gss_forget(gss);
  OM_uint32 minor = 0;
  signals_expendable(true);
  OM_uint32 major = acquire(gss, strict, &minor);
  signals_expendable(false);
  char reason[REASON_MAX] = "";
  if (GSS_ERROR(major)) {
    describe(&gss->of, major, minor, reason);
  }
  link_reply_verdict(&leader->link, call, GSS_ERROR(major) ? NO_CREDENTIALS : STARTED, reason);
}

/* false: its name cannot be had, or is none that an account could belong to. */
static bool take_name(struct gss *gss, gss_name_t client) {
  gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
  OM_uint32 minor;
  if (client == GSS_C_NO_NAME ||
      gss->of.gss_display_name(&minor, client, &text, NULL) != GSS_S_COMPLETE) {
    return false;
  }
  bool fits = text.length > 0 && text.length < PRINCIPAL_MAX &&
              memchr(text.value, '\0', text.length) == NULL;
  if (fits) {
    memcpy(gss->principal, text.value, text.length);
    gss->principal[text.length] = '\0';
  }
  gss->of.gss_release_buffer(&minor, &text);
  return fits;
}

static bool is_kerberos(gss_OID mechanism) {
  return mechanism != GSS_C_NO_OID && mechanism->length == kerberos.length &&
         memcmp(mechanism->elements, kerberos.elements, kerberos.length) == 0;
}

/* What a complete exchange must have to count. Returns NULL, or what is wrong. */
static const char *objection(struct gss *gss, OM_uint32 flags, gss_OID mechanism,
                             gss_name_t client) {
  if (!is_kerberos(mechanism)) {
    return "a mechanism other than Kerberos";
  }
  if ((flags & GSS_C_INTEG_FLAG) == 0) {
    return "a context without integrity, over which nothing can be signed";
  }
  if ((flags & GSS_C_ANON_FLAG) != 0 || !take_name(gss, client)) {
    return "a client without a name";
  }
  return NULL;
}

static void reply_token(struct leader *leader, const struct call *call, uint8_t verdict,
                        const gss_buffer_desc *token, const char *reason) {
  struct writer writer;
  reply_start(&writer, call);
  write_byte(&writer, verdict);
  write_string(&writer, token->value, token->length);
  write_text(&writer, reason);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

void order_gss_token(struct leader *leader, const struct call *call, struct reader *reader) {
  struct bytes given = read_string(reader);
  if (!reader_done(reader)) {
    return;
  }
  struct gss *gss = leader->gss;
  if (gss == NULL || gss->acceptor == GSS_C_NO_CREDENTIAL || gss->is_complete) {
    link_fail(&leader->link, call, EPROTO, NULL);
    return;
  }
  if (given.length == 0 || given.length > TOKEN_MAX) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  gss_buffer_desc input = {.length = given.length, .value = (void *)(uintptr_t)given.at};
  gss_buffer_desc output = GSS_C_EMPTY_BUFFER;
  gss_name_t client = GSS_C_NO_NAME;
  gss_OID mechanism = GSS_C_NO_OID;
  OM_uint32 minor = 0, flags = 0, ignored;
  char reason[REASON_MAX] = "";
  signals_expendable(true);
  OM_uint32 major = gss->of.gss_accept_sec_context(
      &minor, &gss->context, gss->acceptor, &input, GSS_C_NO_CHANNEL_BINDINGS, &client, &mechanism,
      &output, &flags, NULL, &gss->delegated);
  signals_expendable(false);
  uint8_t verdict = GSS_ERROR(major) ? FAILED : (major & GSS_S_CONTINUE_NEEDED) ? MORE : COMPLETE;
  if (verdict == FAILED) {
    describe(&gss->of, major, minor, reason);
  } else if (verdict == COMPLETE) {
    const char *wrong = objection(gss, flags, mechanism, client);
    if (wrong != NULL) {
      verdict = FAILED;
      snprintf(reason, sizeof reason, "%s", wrong);
    }
  }
  if (client != GSS_C_NO_NAME) {
    gss->of.gss_release_name(&ignored, &client);
  }
  if (output.length > TOKEN_MAX) {
    verdict = FAILED;
    snprintf(reason, sizeof reason, "an answer of %zu bytes", output.length);
  }
  const gss_buffer_desc none = GSS_C_EMPTY_BUFFER;
  reply_token(leader, call, verdict, output.length > TOKEN_MAX ? &none : &output, reason);
  if (output.value != NULL) {
    gss->of.gss_release_buffer(&ignored, &output);
  }
  gss->is_complete = verdict == COMPLETE;
  if (verdict == FAILED) {
    gss_forget(gss);
  }
}

/* ---- who may be this user ---- */

/*
 * k5login_directory (krb5.conf(5)): the lists are the administrator's. One that cannot be seen counts
 * as none, and then the principal of the user's own name gets in: nobody but root may look there.
 */
static bool are_lists_central(const struct kerberos *of) {
  krb5_context context = NULL;
  profile_t profile = NULL;
  char *directory = NULL;
  bool found = false;
  if (of->krb5_init_context(&context) != 0) {
    return false; /* nor will krb5_kuserok have one */
  }
  if (of->krb5_get_profile(context, &profile) == 0) {
    found = of->profile_get_string(profile, "libdefaults", "k5login_directory", NULL, NULL,
                                   &directory) == 0 &&
            directory != NULL;
    of->profile_release_string(directory);
    of->profile_release(profile);
  }
  of->krb5_free_context(context);
  return found;
}

/* As the user, mostly: ~/.k5login is a user's file, and may lie where root reads nothing. */
static void check_kuserok(const void *given, struct helper_result *result) {
  const struct kuserok_input *input = given;
  const struct kerberos *of = input->of;
  krb5_context context = NULL;
  krb5_principal principal = NULL;
  result->verdict = NOT_AUTHORISED;
  if (of->krb5_init_context(&context) != 0) {
    return;
  }
  if (of->krb5_parse_name(context, input->principal, &principal) == 0) {
    if (of->krb5_kuserok(context, principal, input->user)) {
      result->verdict = AUTHORISED;
    }
    of->krb5_free_principal(context, principal);
  }
  of->krb5_free_context(context);
}

static void is_authorised(struct leader *leader, const struct call *call,
                          const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
    return;
  }
  bool authorised = leader->account.exists && result->verdict == AUTHORISED;
  leader->gss->is_checked = authorised;
  link_reply_verdict(&leader->link, call, authorised ? AUTHORISED : NOT_AUTHORISED, leader->gss->principal);
}

void order_gss_check(struct leader *leader, const struct call *call, struct reader *reader) {
  struct bytes signed_bytes = read_string(reader);
  struct bytes mic = read_string(reader);
  if (!reader_done(reader)) {
    return;
  }
  struct gss *gss = leader->gss;
  if (gss == NULL || !gss->is_complete || gss->is_checked) {
    link_fail(&leader->link, call, EPROTO, NULL);
    return;
  }
  if (signed_bytes.length == 0 || signed_bytes.length > SIGNED_MAX || mic.length > TOKEN_MAX) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  gss_buffer_desc message = {.length = signed_bytes.length,
                             .value = (void *)(uintptr_t)signed_bytes.at};
  gss_buffer_desc token = {.length = mic.length, .value = (void *)(uintptr_t)mic.at};
  OM_uint32 minor = 0;
  OM_uint32 major = gss->of.gss_verify_mic(&minor, gss->context, &message, &token, NULL);
  gss->is_complete = false; /* one MIC for one exchange */
  if (major != GSS_S_COMPLETE) {
    char reason[REASON_MAX];
    describe(&gss->of, major, minor, reason);
    gss_forget(gss);
    link_reply_verdict(&leader->link, call, BAD_MIC, reason);
    return;
  }
  struct kuserok_input input = {
      .of = &gss->of, .principal = gss->principal, .user = leader->account.name};
  const struct account root = {.root = -1};
  const struct account *reader_of_lists = are_lists_central(&gss->of) ? &root : &leader->account;
  int error = helper_start(&leader->helpers, reader_of_lists, call, check_kuserok, &input,
                           is_authorised, KUSEROK_PATIENCE_MS);
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}
