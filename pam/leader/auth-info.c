/* The file of SSH_USER_AUTH. Runs in: leader and its children. */
#include "auth-info.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drop.h"
#include "leader.h"
#include "random.h"

enum { RANDOM_LETTERS = 15 };

struct auth_info_input {
  const char *path;
  struct bytes content;
};

/* A helper_work. O_EXCL follows no link and takes nothing that is there already. */
static void write_auth_info(const void *data, struct helper_result *result) {
  const struct auth_info_input *input = data;
  int file = open(input->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) {
    result->error = errno;
    return;
  }
  ssize_t written = write(file, input->content.at, input->content.length);
  result->error = written == (ssize_t)input->content.length ? 0 : written < 0 ? errno : EIO;
  close(file);
}

static void auth_info_is_written(struct leader *leader, const struct call *call,
                                 const struct helper_result *result) {
  if (result->error != 0) {
    auth_info_remove(&leader->auth_info, &leader->account);
    leader->auth_info.path[0] = '\0';
    link_fail(&leader->link, call, result->error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_text(&writer, leader->auth_info.path);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

void order_auth_info(struct leader *leader, const struct call *call, struct reader *reader) {
  struct auth_info_input input = {.path = leader->auth_info.path, .content = read_string(reader)};
  if (!reader_done(reader)) {
    return;
  }
  char letters[RANDOM_LETTERS + 1];
  int error = 0;
  if (leader->kind != KIND_LOGIN || leader->has_no_session) {
    error = EPERM;
  } else if (leader->auth_info.path[0] != '\0') {
    error = EEXIST;
  } else if (input.content.length > AUTH_INFO_MAX) {
    error = E2BIG;
  } else if (!random_letters(letters, RANDOM_LETTERS)) {
    error = EIO;
  }
  if (error == 0) {
    snprintf(leader->auth_info.path, sizeof leader->auth_info.path, "/tmp/sshauth.%s", letters);
    error = helper_start(&leader->helpers, &leader->account, call, write_auth_info, &input,
                         auth_info_is_written, HELPER_PATIENCE_MS);
    if (error != 0) {
      leader->auth_info.path[0] = '\0';
    }
  }
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}

static void remove_file(const void *data) {
  const struct auth_info *info = data;
  unlink(info->path); /* gone, or somebody else's: not ours to remove */
}

void auth_info_remove(const struct auth_info *info, const struct account *account) {
  if (info->path[0] != '\0') {
    do_as_user(account, remove_file, info);
  }
}
