/* The orders that are carried out as the user. Runs in: leader. */
#include "user-orders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect.h"
#include "leader.h"
#include "peer-name.h"
#include "process.h"
#include "read-file.h"
#include "x11.h"

enum { FILE_MAX_BYTES = 16 * 1024 * 1024, WATCH_MAX_MS = 120000 };

static void file_is_read(struct leader *leader, const struct call *call,
                         const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
    return;
  }
  /* What an unknown user's name leads to is nobody's key file. */
  bool given = leader->account.exists && result->verdict == READ_FILE_GIVEN;
  uint8_t verdict = leader->account.exists ? result->verdict : READ_FILE_ABSENT;
  if (verdict == READ_FILE_GIVEN && result->descriptor < 0) {
    link_fail(&leader->link, call, EMFILE, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_byte(&writer, verdict);
  write_text(&writer, verdict == READ_FILE_REFUSED ? result->text : "");
  link_reply(&leader->link, call, &writer, &result->descriptor, given ? 1 : 0);
}

static void start_helper(struct leader *leader, const struct call *call, helper_work *work,
                         const void *input, helper_done *done, int64_t patience_ms) {
  int error = helper_start(&leader->helpers, &leader->account, call, work, input, done,
                           patience_ms);
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}

void order_read_file(struct leader *leader, const struct call *call,
                            struct reader *reader) {
  struct read_file_input input = {.home = leader->account.home,
                                  .user = leader->account.name,
                                  .uid = leader->account.uid,
                                  .gid = leader->account.gid};
  input.path = read_text(reader);
  input.strict = read_bool(reader);
  input.max_bytes = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (input.max_bytes > FILE_MAX_BYTES || reader->has_nul) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  start_helper(leader, call, read_file, &input, file_is_read, HELPER_PATIENCE_MS);
}

static void is_connected(struct leader *leader, const struct call *call,
                         const struct helper_result *result) {
  if (result->error != 0 || result->descriptor < 0) {
    link_fail(&leader->link, call, result->error == 0 ? EMFILE : result->error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  link_reply(&leader->link, call, &writer, &result->descriptor, 1);
}

void order_connect_unix(struct leader *leader, const struct call *call,
                               struct reader *reader) {
  struct connect_unix_input input = {.path = read_text(reader)};
  input.not_below = read_text(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (reader->has_nul) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  start_helper(leader, call, connect_unix, &input, is_connected, HELPER_PATIENCE_MS);
}

static void peer_is_named(struct leader *leader, const struct call *call,
                          const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
    return;
  }
  link_reply_verdict(&leader->link, call, result->verdict, result->text);
}

/* In front of the account: whoever answers for the address is read by somebody without rights. */
void order_peer_name(struct leader *leader, const struct call *call,
                            struct reader *reader) {
  struct peer_name_input input = {.address = read_text(reader)};
  uint32_t patience_ms = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (patience_ms > HELPER_PATIENCE_MS || reader->has_nul) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  const struct account nobody = {.uid = leader->is_root ? NOBODY : geteuid(),
                                 .gid = leader->is_root ? NOBODY : getegid(),
                                 .root = -1};
  int error = helper_start(&leader->helpers, &nobody, call, peer_name, &input, peer_is_named,
                           patience_ms);
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}

static void windows_are_watched(struct leader *leader, const struct call *call,
                                const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_uint32(&writer, result->number);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

void order_watch_windows(struct leader *leader, const struct call *call,
                                struct reader *reader) {
  struct watch_windows_input input = {0};
  input.socket_path = read_text(reader);
  input.cookie = read_string(reader);
  input.timeout_ms = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (input.timeout_ms > WATCH_MAX_MS || reader->has_nul) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  start_helper(leader, call, watch_windows, &input, windows_are_watched,
               (int64_t)input.timeout_ms + HELPER_PATIENCE_MS);
}

static void size_is_known(struct leader *leader, const struct call *call,
                          const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_uint32(&writer, result->number >> 16);
  write_uint32(&writer, result->number & 0xffff);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

void order_display_size(struct leader *leader, const struct call *call,
                               struct reader *reader) {
  const struct desktop *desktop = &leader->desktop;
  struct display_size_input input = {
      .socket_path = read_text(reader),
      .xauthority = {.at = desktop->xauthority, .length = desktop->xauthority_length},
  };
  if (!reader_done(reader)) {
    return;
  }
  if (reader->has_nul) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  start_helper(leader, call, display_size, &input, size_is_known, HELPER_PATIENCE_MS);
}

void order_spawn(struct leader *leader, const struct call *call, struct reader *reader) {
  struct spawn_order order = {.limits = &leader->limits};
  order.origin = leader->is_root && leader->kind == KIND_LOGIN ? &leader->origin : NULL;
  size_t count;
  order.file = read_text(reader);
  order.arguments = read_texts(reader, LIST_MAX, &count);
  order.environment = read_texts(reader, LIST_MAX, &count);
  order.directory = read_text(reader);
  order.stdio = read_byte(reader);
  order.size.columns = read_uint32(reader);
  order.size.rows = read_uint32(reader);
  order.size.width_pixels = read_uint32(reader);
  order.size.height_pixels = read_uint32(reader);
  order.modes = read_string(reader);
  order.report = read_bool(reader);
  order.essential = read_bool(reader);
  order.stderr_text = read_string(reader);
  bool has_preparations = preparations_read(reader, &order.before);
  order.is_sftp_server = read_bool(reader);
  if (has_preparations && reader_done(reader)) {
    int error = leader->has_no_session ? EPERM
                : reader->has_nul
                    ? EINVAL
                    : spawn_start(&leader->children, &leader->account, call, &order);
    if (error != 0) {
      link_fail(&leader->link, call, error, NULL);
    }
  }
  preparations_free(&order.before);
  free(order.arguments);
  free(order.environment);
}

static void is_signalled(struct leader *leader, const struct call *call,
                         const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
  } else {
    link_reply_empty(&leader->link, call);
  }
}

static void signal_child(struct leader *leader, const struct call *call, struct reader *reader,
                         bool is_group) {
  uint32_t handle = read_uint32(reader);
  uint32_t number = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  const struct child *child = children_by_handle(&leader->children, handle);
  if (child == NULL || !child->alive || number == 0 || number > 64) {
    link_fail(&leader->link, call, child == NULL || !child->alive ? ESRCH : EINVAL, NULL);
    return;
  }
  struct signal_input input = {.target = is_group ? -child->pid : child->pid,
                               .number = (int)number};
  start_helper(leader, call, send_signal, &input, is_signalled, HELPER_PATIENCE_MS);
}

void order_signal(struct leader *leader, const struct call *call, struct reader *reader) {
  signal_child(leader, call, reader, true);
}

void order_signal_process(struct leader *leader, const struct call *call, struct reader *reader) {
  signal_child(leader, call, reader, false);
}

void order_log_tail(struct leader *leader, const struct call *call, struct reader *reader) {
  uint32_t handle = read_uint32(reader);
  uint32_t most = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  const struct child *child = children_by_handle(&leader->children, handle);
  if (child == NULL || child->log == NULL) {
    link_fail(&leader->link, call, child == NULL ? ESRCH : EINVAL, NULL);
    return;
  }
  if (child->log_pipe >= 0) {
    ring_fill(child->log, child->log_pipe); /* its end is the loop's to see */
  }
  uint8_t *tail = malloc(RING_BYTES);
  if (tail == NULL) {
    link_fail(&leader->link, call, ENOMEM, NULL);
    return;
  }
  size_t length = ring_tail(child->log, tail, most > RING_BYTES ? RING_BYTES : most);
  struct writer writer;
  reply_start(&writer, call);
  write_string(&writer, tail, length);
  free(tail);
  link_reply(&leader->link, call, &writer, NULL, 0);
}
