/* Orders for forwarding: connecting and listening as the user. Runs in: leader. */
#include "forward.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connect.h"
#include "drop.h"
#include "leader.h"

enum { CONNECT_PATIENCE_MAX_MS = 120000, PORT_MAX = 65535 };
enum { REMOVE_PATIENCE_MS = 2000, KILL_PATIENCE_MS = 1000 };

/* As the protocol numbers them. */
static int family_of(uint8_t number) {
  return number == 4 ? AF_INET : number == 6 ? AF_INET6 : AF_UNSPEC;
}

static void start_as(struct leader *leader, const struct account *account,
                     const struct call *call, helper_work *work, const void *input,
                     helper_done *done, int64_t patience_ms) {
  int error = leader->has_no_session
                  ? EPERM
                  : helper_start(&leader->helpers, account, call, work, input, done, patience_ms);
  if (error != 0) {
    const struct helper_result result = {.error = error, .descriptor = -1};
    done(leader, call, &result);
  }
}

static void start(struct leader *leader, const struct call *call, helper_work *work,
                  const void *input, helper_done *done, int64_t patience_ms) {
  start_as(leader, &leader->account, call, work, input, done, patience_ms);
}

/* Ports are outside every ChrootDirectory, and so are the files that say what a host's name means. */
static void start_for_ports(struct leader *leader, const struct call *call, helper_work *work,
                            const void *input, helper_done *done, int64_t patience_ms) {
  struct account account = leader->account;
  account.has_root = false;
  start_as(leader, &account, call, work, input, done, patience_ms);
}

/* ---- connecting ---- */

static void is_connected(struct leader *leader, const struct call *call,
                         const struct helper_result *result) {
  bool has_none = result->verdict == CONNECT_DONE && result->descriptor < 0;
  if (result->error != 0 || has_none) {
    link_fail(&leader->link, call, result->error == 0 ? EMFILE : result->error, NULL);
    return;
  }
  bool is_given = result->verdict == CONNECT_DONE;
  struct writer writer;
  reply_start(&writer, call);
  write_byte(&writer, result->verdict);
  write_text(&writer, is_given ? "" : result->text);
  link_reply(&leader->link, call, &writer, &result->descriptor, is_given ? 1 : 0);
}

void order_connect_tcp(struct leader *leader, const struct call *call, struct reader *reader) {
  struct connect_tcp_input input = {.host = read_text(reader)};
  input.port = read_uint32(reader);
  uint8_t family = read_byte(reader);
  uint32_t patience_ms = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (reader->has_nul || input.port > PORT_MAX || patience_ms > CONNECT_PATIENCE_MAX_MS) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  input.family = family_of(family);
  input.patience_ms = patience_ms;
  start_for_ports(leader, call, connect_tcp, &input, is_connected,
                  (int64_t)patience_ms + HELPER_PATIENCE_MS);
}

/* ---- listening ---- */

static void forget(struct listeners *listeners, struct listener *listener) {
  free(listener->path);
  *listener = listeners->list[--listeners->count];
}

/* For every holder of a copy: what is shut down accepts nothing more, and nobody can connect. */
static void deafen(struct listener *listener) {
  for (size_t i = 0; i < listener->count; i++) {
    (void)shutdown(listener->descriptors[i], SHUT_RDWR);
    close(listener->descriptors[i]);
  }
  listener->count = 0;
}

/* The room for one more, or NULL and the call is answered. */
static struct listener *announce(struct leader *leader, const struct call *call,
                                 const char *path) {
  struct listeners *listeners = &leader->listeners;
  int error = 0;
  char *copy = NULL;
  if (listeners->list == NULL) {
    listeners->list = calloc(LISTENERS_MAX, sizeof *listeners->list);
  }
  if (listeners->list == NULL) {
    error = ENOMEM;
  } else if (listeners->count == LISTENERS_MAX) {
    error = ENOSPC;
  } else if (path != NULL && (copy = strdup(path)) == NULL) {
    error = ENOMEM;
  }
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
    return NULL;
  }
  struct listener *listener = &listeners->list[listeners->count++];
  *listener = (struct listener){.handle = ++listeners->last_handle, .call = *call, .path = copy};
  return listener;
}

static struct listener *announced(struct listeners *listeners, const struct call *call) {
  for (size_t i = 0; i < listeners->count; i++) {
    struct listener *listener = &listeners->list[i];
    if (!listener->is_ready && listener->call.id == call->id &&
        listener->call.generation == call->generation) {
      return listener;
    }
  }
  return NULL;
}

/* Copies for the time of the login; the ones that came go on to the monitor. */
static bool keep_copies(struct listener *listener, const int *descriptors, size_t count) {
  for (size_t i = 0; i < count; i++) {
    int copy = fcntl(descriptors[i], F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
      return false;
    }
    listener->descriptors[listener->count++] = copy;
  }
  return true;
}

static void listens(struct leader *leader, const struct call *call,
                    const struct helper_result *result) {
  struct listener *listener = announced(&leader->listeners, call);
  if (listener == NULL) {
    link_fail(&leader->link, call, EPROTO, NULL);
    return;
  }
  int descriptors[1 + HELPER_OTHERS_MAX] = {result->descriptor};
  size_t count = result->descriptor < 0 ? 0 : 1 + (size_t)result->other_count;
  memcpy(descriptors + 1, result->others, sizeof result->others);
  int error = result->error;
  if (error == 0 && result->verdict == LISTEN_DONE) {
    error = count > 0 && keep_copies(listener, descriptors, count) ? 0 : EMFILE;
  }
  if (listener->path != NULL && count > 0) {
    memcpy(&listener->file, result->text, sizeof listener->file);
  }
  if (error != 0) {
    /* A socket's file stays until the end of the login: it is removed then. */
    deafen(listener);
    listener->is_ready = true;
    if (listener->path == NULL || count == 0) {
      forget(&leader->listeners, listener);
    }
    link_fail(&leader->link, call, error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_byte(&writer, result->verdict);
  bool is_given = result->verdict == LISTEN_DONE;
  write_text(&writer, is_given ? "" : result->text);
  write_uint32(&writer, is_given ? listener->handle : 0);
  write_uint32(&writer, is_given ? result->number : 0);
  listener->is_ready = true;
  if (!is_given) {
    forget(&leader->listeners, listener);
  }
  link_reply(&leader->link, call, &writer, descriptors, is_given ? count : 0);
}

void order_listen_tcp(struct leader *leader, const struct call *call, struct reader *reader) {
  struct listen_tcp_input input = {.where = read_byte(reader)};
  input.address = read_text(reader);
  input.port = read_uint32(reader);
  uint8_t family = read_byte(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (reader->has_nul || input.where > LISTEN_WILDCARD || input.port > PORT_MAX) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  input.family = family_of(family);
  if (announce(leader, call, NULL) != NULL) {
    start_for_ports(leader, call, listen_tcp, &input, listens, HELPER_PATIENCE_MS);
  }
}

void order_listen_unix(struct leader *leader, const struct call *call, struct reader *reader) {
  struct listen_unix_input input = {.path = read_text(reader)};
  input.mask = (mode_t)(read_uint32(reader) & 0777);
  input.unlink_first = read_bool(reader);
  input.not_below = read_text(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (reader->has_nul) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  if (announce(leader, call, input.path) != NULL) {
    start(leader, call, listen_unix, &input, listens, HELPER_PATIENCE_MS);
  }
}

/* ---- the end of a listener ---- */

static void remove_socket(const void *input, struct helper_result *result) {
  const struct listener *listener = input;
  (void)result;
  listen_unix_remove(listener->path, &listener->file);
}

static void is_removed(struct leader *leader, const struct call *call,
                       const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
  } else {
    link_reply_empty(&leader->link, call);
  }
}

void order_close_listener(struct leader *leader, const struct call *call, struct reader *reader) {
  uint32_t handle = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  struct listeners *listeners = &leader->listeners;
  for (size_t i = 0; i < listeners->count; i++) {
    struct listener *listener = &listeners->list[i];
    if (!listener->is_ready || listener->handle != handle) {
      continue;
    }
    deafen(listener);
    if (listener->path == NULL) {
      forget(listeners, listener);
      link_reply_empty(&leader->link, call);
      return;
    }
    int error = helper_start(&leader->helpers, &leader->account, call, remove_socket, listener,
                             is_removed, HELPER_PATIENCE_MS);
    if (error != 0) {
      link_fail(&leader->link, call, error, NULL); /* it stays for `listeners_end` */
      return;
    }
    forget(listeners, listener);
    return;
  }
  link_fail(&leader->link, call, ENOENT, NULL);
}

void listeners_end(struct listeners *listeners, const struct account *account) {
  bool has_paths = false;
  for (size_t i = 0; i < listeners->count; i++) {
    deafen(&listeners->list[i]);
    has_paths = has_paths || (listeners->list[i].is_ready && listeners->list[i].path != NULL);
  }
  if (!has_paths) {
    return;
  }
  pid_t pid = fork();
  if (pid == 0) {
    signals_reset();
    bool is_user = become_user(account);
    close_range(STDERR_FILENO + 1, ~0U, 0);
    for (size_t i = 0; is_user && i < listeners->count; i++) {
      const struct listener *listener = &listeners->list[i];
      if (listener->is_ready && listener->path != NULL) {
        listen_unix_remove(listener->path, &listener->file);
      }
    }
    _exit(0);
  }
  /* A file system that hangs must not keep the leader. */
  if (pid > 0 && !wait_for_end(pid, REMOVE_PATIENCE_MS)) {
    kill(pid, SIGKILL);
    wait_for_end(pid, KILL_PATIENCE_MS);
  }
}
