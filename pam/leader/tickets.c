/* The tickets of a desktop. Runs in: leader of a desktop, and its children. */
#include "tickets.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kerberos.h"
#include "leader.h"
#include "process.h"
#include "random.h"

enum { TAKE_PATIENCE_MS = 10000, RENEW_PATIENCE_MS = 60000, NAME_MAX_BYTES = 1024 };
enum { RENEWAL_LEAST_S = 5, RENEWAL_RETRY_S = 60, RENEWAL_TRIES = 30, LETTERS = 6 };

struct take_input {
  const char *from; /* NULL: those that are there are renewed */
  const char *directory;
};

/* A cache that is made beside the one that it will take the place of. */
struct making {
  struct kerberos of;
  krb5_context context;
  char place[PATH_MAX];
  char name[sizeof "FILE:" + PATH_MAX + LETTERS + 1];
  krb5_ccache cache;
  krb5_principal principal;
  krb5_timestamp ends_at;
  krb5_timestamp renewable_until; /* 0: it cannot be renewed */
};

/* Of the ticket that gets the others, which is the first of a cache. */
static krb5_error_code read_times(struct making *making) {
  const struct kerberos *of = &making->of;
  krb5_cc_cursor cursor;
  krb5_creds creds;
  krb5_error_code error = of->krb5_cc_start_seq_get(making->context, making->cache, &cursor);
  if (error != 0) {
    return error;
  }
  while (of->krb5_cc_next_cred(making->context, making->cache, &cursor, &creds) == 0) {
    const krb5_data *name = creds.server->length > 0 ? &creds.server->data[0] : NULL;
    bool is_first = name != NULL && name->length == 6 && memcmp(name->data, "krbtgt", 6) == 0 &&
                    making->ends_at == 0;
    if (is_first && !of->krb5_is_config_principal(making->context, creds.server)) {
      making->ends_at = creds.times.endtime;
      making->renewable_until =
          (creds.ticket_flags & TKT_FLG_RENEWABLE) != 0 ? creds.times.renew_till : 0;
    }
    of->krb5_free_cred_contents(making->context, &creds);
  }
  return of->krb5_cc_end_seq_get(making->context, making->cache, &cursor);
}

static krb5_error_code copy(struct making *making, krb5_ccache source) {
  const struct kerberos *of = &making->of;
  krb5_error_code error = of->krb5_cc_initialize(making->context, making->cache, making->principal);
  return error != 0 ? error : of->krb5_cc_copy_creds(making->context, source, making->cache);
}

static krb5_error_code renew(struct making *making, krb5_ccache source) {
  const struct kerberos *of = &making->of;
  krb5_creds creds;
  memset(&creds, 0, sizeof creds);
  krb5_error_code error =
      of->krb5_get_renewed_creds(making->context, &creds, making->principal, source, NULL);
  if (error != 0) {
    return error;
  }
  error = of->krb5_cc_initialize(making->context, making->cache, making->principal);
  if (error == 0) {
    error = of->krb5_cc_store_cred(making->context, making->cache, &creds);
  }
  of->krb5_free_cred_contents(making->context, &creds);
  return error;
}

/* Returns 0 or an error of krb5. */
static krb5_error_code make(struct making *making, const struct take_input *input) {
  const struct kerberos *of = &making->of;
  char own[PATH_MAX + sizeof "FILE:"];
  krb5_ccache source = NULL;
  snprintf(own, sizeof own, "FILE:%s", making->place);
  krb5_error_code error = of->krb5_cc_resolve(making->context,
                                              input->from == NULL ? own : input->from, &source);
  if (error == 0) {
    error = of->krb5_cc_get_principal(making->context, source, &making->principal);
  }
  if (error == 0) {
    error = of->krb5_cc_resolve(making->context, making->name, &making->cache);
  }
  if (error == 0) {
    error = input->from == NULL ? renew(making, source) : copy(making, source);
  }
  if (error == 0) {
    error = read_times(making);
  }
  if (making->principal != NULL) {
    of->krb5_free_principal(making->context, making->principal);
  }
  if (making->cache != NULL) {
    of->krb5_cc_close(making->context, making->cache);
  }
  if (source != NULL) {
    of->krb5_cc_close(making->context, source);
  }
  return error;
}

/* Half of the time that is left; 0: there is nothing to renew. */
static uint32_t seconds_to_renewal(const struct making *making) {
  int64_t now = (int64_t)time(NULL);
  int64_t left = (int64_t)(uint32_t)making->ends_at - now;
  if ((uint32_t)making->renewable_until <= (uint32_t)making->ends_at || left <= 0) {
    return 0;
  }
  return left / 2 < RENEWAL_LEAST_S ? RENEWAL_LEAST_S : (uint32_t)(left / 2);
}

/* What is there is the same that was there: not what a login has brought meanwhile. */
static bool is_same(const struct stat *before, const char *place) {
  struct stat now;
  return stat(place, &now) == 0 && now.st_ino == before->st_ino &&
         now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

/*
 * As the user, whose cache `from` names: what it says counts for nobody else. Written beside the
 * place and moved there, so that a program never finds half of it.
 */
static void take(const void *given, struct helper_result *result) {
  const struct take_input *input = given;
  struct making making = {0};
  struct stat before = {0};
  int length = snprintf(making.place, sizeof making.place, "%s/user/tickets", input->directory);
  if (length < 0 || (size_t)length >= sizeof making.place) {
    result->error = ENAMETOOLONG;
    return;
  }
  if (input->from == NULL && stat(making.place, &before) != 0) {
    result->error = errno; /* the user has removed them */
    return;
  }
  if (!kerberos_load(&making.of)) {
    result->error = ENOSYS;
    return;
  }
  char letters[LETTERS + 1];
  if (!random_letters(letters, LETTERS)) {
    result->error = EIO;
    return;
  }
  snprintf(making.name, sizeof making.name, "FILE:%s.%s", making.place, letters);
  result->error = kerberos_make_file(making.name);
  if (result->error != 0) {
    return;
  }
  krb5_error_code error = making.of.krb5_init_context(&making.context);
  if (error == 0) {
    error = make(&making, input);
    making.of.krb5_free_context(making.context);
  }
  if (error == 0 && input->from == NULL && !is_same(&before, making.place)) {
    error = ESTALE; /* a login has brought others meanwhile, or the user */
  }
  if (error == 0 && rename(kerberos_path(making.name), making.place) != 0) {
    error = errno;
  }
  if (error == 0) {
    result->number = seconds_to_renewal(&making);
    return;
  }
  result->verdict = 1;
  snprintf(result->text, sizeof result->text, "code %d", (int)error);
  unlink(kerberos_path(making.name));
}

static void renew_in(struct desktop *desktop, uint32_t seconds) {
  desktop->renew_at_ms = seconds == 0 ? 0 : monotonic_ms() + (int64_t)seconds * 1000;
}

static void are_there(struct desktop *desktop, uint32_t seconds) {
  desktop->renewals_failed = 0;
  renew_in(desktop, seconds);
}

static void are_taken(struct leader *leader, const struct call *call,
                      const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
    return;
  }
  if (result->verdict == 0) {
    are_there(&leader->desktop, result->number);
  }
  link_reply_verdict(&leader->link, call, result->verdict, result->text);
}

void order_take_tickets(struct leader *leader, const struct call *call, struct reader *reader) {
  struct take_input input = {
      .from = read_text(reader),
      .directory = leader->desktop.directory,
  };
  if (!reader_done(reader)) {
    return;
  }
  if (reader->has_nul || input.from[0] == '\0' || strlen(input.from) > NAME_MAX_BYTES) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  int error = helper_start(&leader->helpers, &leader->account, call, take, &input, are_taken,
                           TAKE_PATIENCE_MS);
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}

/* Nobody has asked. The realm may be out of reach for a while. */
static void are_renewed(struct leader *leader, const struct call *call,
                        const struct helper_result *result) {
  struct desktop *desktop = &leader->desktop;
  (void)call;
  if (result->error == 0 && result->verdict == 0) {
    are_there(desktop, result->number);
  } else if (result->error != ENOENT && desktop->renew_at_ms == 0 &&
             ++desktop->renewals_failed < RENEWAL_TRIES) {
    renew_in(desktop, RENEWAL_RETRY_S);
  }
}

void tickets_renew(struct leader *leader) {
  struct desktop *desktop = &leader->desktop;
  if (desktop->renew_at_ms == 0 || desktop->is_ending || monotonic_ms() < desktop->renew_at_ms) {
    return;
  }
  const struct call nobody = {0};
  struct take_input input = {.directory = desktop->directory};
  desktop->renew_at_ms = 0;
  if (helper_start(&leader->helpers, &leader->account, &nobody, take, &input, are_renewed,
                   RENEW_PATIENCE_MS) != 0) {
    renew_in(desktop, RENEWAL_RETRY_S);
  }
}
