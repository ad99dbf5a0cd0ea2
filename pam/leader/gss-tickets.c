/* Tickets that a client passes on: kept for its login, as the user. Runs in: leader and its children. */
#include "gss.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drop.h"
#include "gss-state.h"
#include "leader.h"
#include "process.h"
#include "random.h"

enum { TICKETS_LETTERS = 6, KEEP_PATIENCE_MS = 60000 };
enum { REMOVE_PATIENCE_MS = 3000, KILL_PATIENCE_MS = 1000 };
enum { KEPT = 0, NOT_KEPT = 1 };

struct keep_input {
  const struct gss *gss;
};

/* A cache of its own of the kind that is usual here; a file has `name`. Returns 0 or an error of krb5. */
static krb5_error_code new_cache(const struct kerberos *of, krb5_context context, const char *name,
                                 krb5_ccache *cache) {
  const char *usual = of->krb5_cc_default_name(context);
  const char *colon = usual == NULL ? NULL : strchr(usual, ':');
  char kind[16];
  bool has_kind = colon != NULL && (size_t)(colon - usual) < sizeof kind && usual[0] != '/';
  if (has_kind) {
    memcpy(kind, usual, (size_t)(colon - usual));
    kind[colon - usual] = '\0';
  }
  /* A cache in this process's memory would end with it. */
  if (has_kind && strcmp(kind, "FILE") != 0 && strcmp(kind, "MEMORY") != 0) {
    return of->krb5_cc_new_unique(context, kind, NULL, cache);
  }
  int error = kerberos_make_file(name);
  return error != 0 ? error : of->krb5_cc_resolve(context, name, cache);
}

static krb5_error_code copy_tickets(const struct gss *gss, krb5_context context, krb5_ccache cache) {
  krb5_principal principal = NULL;
  krb5_error_code error = gss->of.krb5_parse_name(context, gss->principal, &principal);
  if (error == 0) {
    error = gss->of.krb5_cc_initialize(context, cache, principal);
    gss->of.krb5_free_principal(context, principal);
  }
  OM_uint32 minor = 0;
  if (error == 0 &&
      gss->of.gss_krb5_copy_ccache(&minor, gss->delegated, cache) != GSS_S_COMPLETE) {
    error = minor == 0 ? EIO : (krb5_error_code)minor;
  }
  return error;
}

/* As the user, in a fork that has a copy of what the client passed on. */
static void keep(const void *given, struct helper_result *result) {
  const struct keep_input *input = given;
  const struct kerberos *of = &input->gss->of;
  krb5_context context = NULL;
  krb5_ccache cache = NULL;
  char *name = NULL;
  result->verdict = NOT_KEPT;
  krb5_error_code error = of->krb5_init_context(&context);
  if (error == 0) {
    error = new_cache(of, context, input->gss->half_made, &cache);
  }
  if (error == 0) {
    error = copy_tickets(input->gss, context, cache);
    if (error == 0) {
      error = of->krb5_cc_get_full_name(context, cache, &name);
    }
    if (error == 0 && strlen(name) < sizeof result->text) {
      strcpy(result->text, name);
      result->verdict = KEPT;
      of->krb5_cc_close(context, cache);
    } else {
      of->krb5_cc_destroy(context, cache);
    }
  }
  if (result->verdict != KEPT) {
    snprintf(result->text, sizeof result->text, "code %d", (int)error);
  }
  if (name != NULL) {
    of->krb5_free_string(context, name);
  }
  if (context != NULL) {
    of->krb5_free_context(context);
  }
}

static void are_kept(struct leader *leader, const struct call *call,
                     const struct helper_result *result) {
  struct gss *gss = leader->gss;
  OM_uint32 minor;
  gss->of.gss_release_cred(&minor, &gss->delegated);
  if (result->error == 0) {
    gss->half_made[0] = '\0';
  }
  if (result->error != 0 || result->verdict != KEPT) {
    link_reply_verdict(&leader->link, call, NOT_KEPT,
                  result->error != 0 ? strerror(result->error) : result->text);
    return;
  }
  char entry[sizeof "KRB5CCNAME=" + HELPER_TEXT_MAX];
  snprintf(entry, sizeof entry, "KRB5CCNAME=%s", result->text);
  gss->tickets = strdup(result->text);
  if (gss->tickets == NULL ||
      (leader->pam.handle != NULL && pam_putenv(leader->pam.handle, entry) != PAM_SUCCESS)) {
    link_fail(&leader->link, call, ENOMEM, NULL);
    return;
  }
  link_reply_verdict(&leader->link, call, KEPT, gss->tickets);
}

void order_gss_keep_tickets(struct leader *leader, const struct call *call, struct reader *reader) {
  bool removes = read_bool(reader);
  if (!reader_done(reader)) {
    return;
  }
  struct gss *gss = leader->gss;
  if (gss == NULL || !gss->is_checked || gss->tickets != NULL || !leader->account.exists) {
    link_fail(&leader->link, call, EPROTO, NULL);
    return;
  }
  if (gss->delegated == GSS_C_NO_CREDENTIAL) {
    link_reply_verdict(&leader->link, call, NOT_KEPT, "");
    return;
  }
  gss->removes_tickets = removes;
  struct keep_input input = {.gss = gss};
  char letters[TICKETS_LETTERS + 1];
  int error = random_letters(letters, TICKETS_LETTERS) ? 0 : EIO;
  if (error == 0) {
    snprintf(gss->half_made, sizeof gss->half_made, "FILE:/tmp/krb5cc_%u_%s",
             (unsigned)leader->account.uid, letters);
    error = helper_start(&leader->helpers, &leader->account, call, keep, &input, are_kept,
                         KEEP_PATIENCE_MS);
  }
  if (error != 0) {
    gss->half_made[0] = '\0';
    link_fail(&leader->link, call, error, NULL);
  }
}

_Noreturn static void remove_tickets(const struct leader *leader, const char *name) {
  const struct kerberos *of = &leader->gss->of;
  krb5_context context;
  krb5_ccache cache;
  signals_reset();
  close_range(STDERR_FILENO + 1, ~0U, 0);
  if (drop_for_good(&leader->account) && of->krb5_init_context(&context) == 0 &&
      of->krb5_cc_resolve(context, name, &cache) == 0) {
    of->krb5_cc_destroy(context, cache);
  }
  _exit(0);
}

void gss_end(struct leader *leader) {
  struct gss *gss = leader->gss;
  if (gss == NULL) {
    return;
  }
  gss_forget(gss);
  /* The login may have ended while they were being kept: half of a cache is of no use to anybody. */
  const char *name = gss->half_made[0] != '\0' ? gss->half_made
                     : gss->removes_tickets     ? gss->tickets
                                                : NULL;
  if (name == NULL) {
    return;
  }
  pid_t pid = fork();
  if (pid == 0) {
    remove_tickets(leader, name);
  }
  /* A file system, or a daemon that keeps caches, may hang. */
  if (pid > 0 && !wait_for_end(pid, REMOVE_PATIENCE_MS)) {
    kill(pid, SIGKILL);
    wait_for_end(pid, KILL_PATIENCE_MS);
    complain("tickets of %.100s stay in %.200s", leader->account.name, name);
  }
}
