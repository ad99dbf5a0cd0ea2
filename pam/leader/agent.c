/* The socket of a forwarded agent. Runs in: leader and its children. */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "drop.h"
#include "leader.h"
#include "random.h"

enum { NAME_LENGTH = 10, BACKLOG = 128 };

/* Names as sshd's: /tmp/ssh-RANDOM/agent.PID, RANDOM being ten letters and digits. */
static bool choose_place(struct agent *agent) {
  char name[NAME_LENGTH + 1];
  if (!random_letters(name, NAME_LENGTH)) {
    return false;
  }
  snprintf(agent->directory, sizeof agent->directory, "/tmp/ssh-%s", name);
  snprintf(agent->socket, sizeof agent->socket, "%s/agent.%ld", agent->directory, (long)getpid());
  return true;
}

/* Where others could take the directory away and put one of their own there, nothing is made. */
static bool tmp_is_safe(void) {
  struct stat status;
  if (lstat("/tmp", &status) != 0 || !S_ISDIR(status.st_mode)) {
    return false;
  }
  bool is_owned = status.st_uid == 0 || status.st_uid == geteuid();
  bool is_shared = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  return is_owned && (!is_shared || (status.st_mode & S_ISVTX) != 0);
}

/* A helper_work. mkdir follows no link and takes nothing that is there already. */
static void agent_listen(const void *data, struct helper_result *result) {
  const struct agent *agent = data;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, agent->socket, strlen(agent->socket) + 1);
  if (!tmp_is_safe()) {
    result->error = EPERM;
    return;
  }
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  umask(0077);
  if (listener < 0 || mkdir(agent->directory, 0700) != 0) {
    result->error = errno;
    return;
  }
  umask(0177);
  if (bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, BACKLOG) != 0) {
    result->error = errno;
    return;
  }
  result->descriptor = listener;
}

static void agent_listens(struct leader *leader, const struct call *call,
                          const struct helper_result *result) {
  if (result->error != 0 || result->descriptor < 0) {
    agent_remove(&leader->agent, &leader->account);
    leader->agent = (struct agent){0};
    link_fail(&leader->link, call, result->error == 0 ? EMFILE : result->error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_text(&writer, leader->agent.socket);
  link_reply(&leader->link, call, &writer, &result->descriptor, 1);
}

void order_agent_listen(struct leader *leader, const struct call *call, struct reader *reader) {
  if (!reader_done(reader)) {
    return;
  }
  if (leader->kind != KIND_LOGIN || leader->has_no_session || leader->agent.directory[0] != '\0') {
    link_fail(&leader->link, call, leader->agent.directory[0] != '\0' ? EEXIST : EPERM, NULL);
    return;
  }
  int error = choose_place(&leader->agent) ? 0 : EIO;
  if (error == 0) {
    error = helper_start(&leader->helpers, &leader->account, call, agent_listen, &leader->agent,
                         agent_listens, HELPER_PATIENCE_MS);
  }
  if (error != 0) {
    leader->agent = (struct agent){0};
    link_fail(&leader->link, call, error, NULL);
  }
}

/* Others' files in it are others' to remove: it stays then. */
static void remove_socket(const void *data) {
  const struct agent *agent = data;
  unlink(agent->socket);
  rmdir(agent->directory);
}

void agent_remove(const struct agent *agent, const struct account *account) {
  if (agent->directory[0] != '\0') {
    do_as_user(account, remove_socket, agent);
  }
}
