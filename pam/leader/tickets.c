/* The tickets of a desktop. Runs in: leader of a desktop, and its children. */
#include "tickets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kerberos.h"
#include "leader.h"

enum { TAKE_PATIENCE_MS = 10000, NAME_MAX_BYTES = 1024 };

struct take_input {
  const char *from;
  const char *directory;
};

/* Returns 0 or an error of krb5. */
static krb5_error_code copy(const struct kerberos *of, krb5_context context, const char *from,
                            const char *to) {
  krb5_ccache source = NULL;
  krb5_ccache target = NULL;
  krb5_principal principal = NULL;
  krb5_error_code error = of->krb5_cc_resolve(context, from, &source);
  if (error == 0) {
    error = of->krb5_cc_get_principal(context, source, &principal);
  }
  if (error == 0) {
    error = of->krb5_cc_resolve(context, to, &target);
  }
  if (error == 0) {
    error = of->krb5_cc_initialize(context, target, principal);
  }
  if (error == 0) {
    error = of->krb5_cc_copy_creds(context, source, target);
  }
  if (principal != NULL) {
    of->krb5_free_principal(context, principal);
  }
  if (target != NULL) {
    of->krb5_cc_close(context, target);
  }
  if (source != NULL) {
    of->krb5_cc_close(context, source);
  }
  return error;
}

/*
 * As the user, whose cache `from` names: what it says counts for nobody else. Written beside the
 * place and moved there, so that a program never finds half of it.
 */
static void take(const void *given, struct helper_result *result) {
  const struct take_input *input = given;
  char place[PATH_MAX];
  char made[PATH_MAX + sizeof "FILE:"];
  struct kerberos of;
  krb5_context context = NULL;
  int length = snprintf(place, sizeof place, "%s/user/tickets", input->directory);
  if (length < 0 || (size_t)length >= sizeof place) {
    result->error = ENAMETOOLONG;
    return;
  }
  if (!kerberos_load(&of)) {
    result->error = ENOSYS;
    return;
  }
  snprintf(made, sizeof made, "FILE:%s.XXXXXX", place);
  char *path = made + sizeof "FILE:" - 1;
  int descriptor = mkostemp(path, O_CLOEXEC); /* 0600 */
  if (descriptor < 0) {
    result->error = errno;
    return;
  }
  close(descriptor);
  krb5_error_code error = of.krb5_init_context(&context);
  if (error == 0) {
    error = copy(&of, context, input->from, made);
    of.krb5_free_context(context);
  }
  if (error == 0 && rename(path, place) == 0) {
    return;
  }
  if (error == 0) {
    result->error = errno;
  } else {
    result->verdict = 1;
    snprintf(result->text, sizeof result->text, "code %d", (int)error);
  }
  unlink(path);
}

static void are_taken(struct leader *leader, const struct call *call,
                      const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_byte(&writer, result->verdict);
  write_text(&writer, result->text);
  link_reply(&leader->link, call, &writer, NULL, 0);
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
