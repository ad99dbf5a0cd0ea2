/* The table of orders of leader-protocol.ts and what each does. Runs in: leader. */
#include "log.h"
#include "orders.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chroot.h"
#include "connect.h"
#include "peer-name.h"
#include "forward.h"
#include "process.h"
#include "read-file.h"
#include "record-orders.h"
#include "run-command.h"
#include "shadow.h"
#include "tickets.h"
#include "x11.h"

enum { GROUP_ENTRY_MAX = 64 * 1024 * 1024, FILE_MAX_BYTES = 16 * 1024 * 1024, WATCH_MAX_MS = 120000 };

/* ---- begin ---- */

/*
 * A group with thousands of members needs a large buffer. One whose name cannot be had may be the
 * one that DenyGroups names: an error, not an omission. Returns 0 or an errno.
 */
static int write_group(gid_t gid, struct writer *writer, uint32_t *count) {
  for (size_t room = 16384; room <= GROUP_ENTRY_MAX; room *= 4) {
    char *buffer = malloc(room);
    if (buffer == NULL) {
      return ENOMEM;
    }
    struct group entry;
    struct group *found = NULL;
    int error = getgrgid_r(gid, &entry, buffer, room, &found);
    if (error == 0 && found != NULL) {
      write_text(writer, found->gr_name);
      (*count)++;
    }
    free(buffer);
    if (error != ERANGE) {
      return error == ENOENT || error == ESRCH ? 0 : error;
    }
  }
  return ERANGE;
}

static int write_groups(const struct account *account, struct writer *writer) {
  size_t where = write_count(writer);
  uint32_t count = 0;
  for (size_t i = 0; i < account->group_count; i++) {
    /* An unknown user's too is looked up, for the time that it takes. */
    struct writer none = {.broken = true};
    int error = write_group(account->groups[i], account->exists ? writer : &none, &count);
    if (error != 0) {
      return error;
    }
  }
  set_count(writer, where, account->exists ? count : 0);
  return 0;
}

static int start_pam(struct leader *leader, const char *service, const char *user,
                     const char *rhost, const char *tty, const char *connection) {
  if (service[0] == '\0' || !leader->is_root) {
    return 0;
  }
  if (strchr(service, '/') != NULL) {
    return EINVAL;
  }
  int code = pam_begin(&leader->pam, &leader->conversation, service, user, rhost, tty, connection);
  if (code != PAM_SUCCESS) {
    complain("pam_start: code %d", code);
    return EIO;
  }
  return 0;
}

/* `connection` begins with the address. */
static int keep_origin(struct origin *origin, const char *host, const char *connection) {
  free(origin->host);
  free(origin->address);
  origin->host = strdup(host);
  origin->address = strndup(connection, strcspn(connection, " "));
  return origin->host == NULL || origin->address == NULL ? ENOMEM : 0;
}

static void begin(struct leader *leader, const struct call *call, struct reader *reader) {
  uint8_t kind = read_byte(reader);
  const char *user = read_text(reader);
  const char *service = read_text(reader);
  const char *rhost = read_text(reader);
  const char *tty = read_text(reader);
  const char *connection = read_text(reader);
  const char *logged_as = read_text(reader);
  if (!reader_done(reader)) {
    return;
  }
  log_name_set(logged_as);
  int error = kind > KIND_DESKTOP || reader->has_nul ? EINVAL : 0;
  if (error == 0) {
    error = keep_origin(&leader->origin, rhost, connection);
  }
  if (error == 0) {
    error = start_pam(leader, service, user, rhost, tty, connection);
  }
  if (error == 0) {
    error = account_find(user, &leader->account);
  }
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
    return;
  }
  const struct account *account = &leader->account;
  leader->begun = true;
  leader->kind = kind;
  leader->children.most = kind == KIND_DESKTOP ? CHILDREN_DESKTOP_MAX : CHILDREN_LOGIN_MAX;
  title_set("sshdesk: leader %.100s", account->name);
  struct writer writer;
  reply_start(&writer, call);
  write_bool(&writer, account->exists);
  write_text(&writer, account->name);
  write_uint32(&writer, account->uid);
  write_uint32(&writer, account->gid);
  write_text(&writer, account->home);
  write_text(&writer, account->shell);
  error = write_groups(account, &writer);
  if (error != 0) {
    leader->begun = false;
    writer_free(&writer);
    link_fail(&leader->link, call, error, "groups");
    return;
  }
  write_byte(&writer, (uint8_t)account_shell_state(account));
  write_byte(&writer, (uint8_t)(leader->is_root ? shadow_state(account) : SHADOW_USABLE));
  link_reply(&leader->link, call, &writer, NULL, 0);
}

/* Once the account has said which service it is to be. */
static void begin_pam(struct leader *leader, const struct call *call, struct reader *reader) {
  const char *user = read_text(reader);
  const char *service = read_text(reader);
  const char *rhost = read_text(reader);
  const char *tty = read_text(reader);
  const char *connection = read_text(reader);
  if (!reader_done(reader)) {
    return;
  }
  int error = reader->has_nul || leader->pam.handle != NULL ? EINVAL : 0;
  if (error == 0) {
    error = start_pam(leader, service, user, rhost, tty, connection);
  }
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

/* ---- who is it, and may he ---- */

/* The link, or the login, may have ended while a module waited for an answer. */
static void obey_end_of_conversation(struct leader *leader) {
  if (leader->conversation.over) {
    leader_end(leader, 0, leader->conversation.has_end ? &leader->conversation.end : NULL);
  }
}

static void reply_code(const struct call *call, int code, struct writer *writer) {
  reply_start(writer, call);
  write_uint32(writer, (uint32_t)code);
}

static bool user_changed(const struct leader *leader) {
  return leader->pam.handle != NULL && pam_user_changed(&leader->pam, leader->account.name);
}

static int check_secret(struct leader *leader, bool allow_empty) {
  if (leader->pam.handle != NULL) {
    return pam_check_secret(&leader->pam, allow_empty);
  }
  if (!leader->is_root) {
    return PAM_AUTH_ERR; /* no shadow file for us: public keys only */
  }
  return shadow_check_secret(&leader->account, &leader->conversation, allow_empty);
}

static void authenticate(struct leader *leader, const struct call *call, struct reader *reader) {
  struct conversation *conversation = &leader->conversation;
  uint8_t mode = read_byte(reader);
  struct bytes given = read_string(reader);
  bool allow_empty = read_bool(reader);
  bool refused = read_bool(reader) || !leader->account.exists;
  if (!reader_done(reader)) {
    return;
  }
  if (mode > 1) {
    link_fail(&leader->link, call, EINVAL, NULL);
    return;
  }
  /* The frame is used again by the conversation. */
  uint8_t *password = malloc(given.length + 1);
  if (password == NULL) {
    link_fail(&leader->link, call, ENOMEM, NULL);
    return;
  }
  memcpy(password, given.at, given.length);
  link_wipe(&leader->link);
  conversation->mode = mode == 0 ? CONVERSE_LIVE : CONVERSE_PASSWORD;
  conversation->password = (struct bytes){.at = password, .length = given.length};
  conversation->refused = refused;
  signals_expendable(true);
  int code = check_secret(leader, allow_empty);
  signals_expendable(false);
  if (refused && code == PAM_SUCCESS) {
    code = PAM_PERM_DENIED; /* a stack that takes anything does not make the user another one */
  }
  explicit_bzero(password, given.length + 1);
  free(password);
  conversation->mode = CONVERSE_NOT;
  conversation->password = (struct bytes){0};
  obey_end_of_conversation(leader);
  struct writer writer;
  reply_code(call, code, &writer);
  write_uint32(&writer, conversation->delay_us);
  write_bool(&writer, user_changed(leader));
  conversation_write_kept(conversation, &writer);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

static int check_account_without_pam(const struct leader *leader) {
  if (!leader->account.exists) {
    return PAM_USER_UNKNOWN;
  }
  switch (leader->is_root ? shadow_state(&leader->account) : SHADOW_USABLE) {
    case SHADOW_LOCKED:
      return PAM_PERM_DENIED;
    case SHADOW_ACCOUNT_EXPIRED:
      return PAM_ACCT_EXPIRED;
    case SHADOW_PASSWORD_EXPIRED:
      return PAM_NEW_AUTHTOK_REQD;
    default:
      return PAM_SUCCESS;
  }
}

static void check_account(struct leader *leader, const struct call *call, struct reader *reader) {
  const char *info = read_text(reader);
  if (!reader_done(reader)) {
    return;
  }
  int code;
  if (leader->pam.handle != NULL) {
    if (leader->kind == KIND_LOGIN) {
      pam_tell_factors(&leader->pam, info);
    }
    signals_expendable(true);
    code = pam_check_account(&leader->pam);
    signals_expendable(false);
    code = code == PAM_SUCCESS && !leader->account.exists ? PAM_USER_UNKNOWN : code;
  } else {
    code = check_account_without_pam(leader);
  }
  struct writer writer;
  reply_code(call, code, &writer);
  write_bool(&writer, code == PAM_NEW_AUTHTOK_REQD);
  write_bool(&writer, user_changed(leader));
  conversation_write_kept(&leader->conversation, &writer);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

static void change_password(struct leader *leader, const struct call *call,
                            struct reader *reader) {
  if (!reader_done(reader)) {
    return;
  }
  if (leader->pam.handle == NULL || !leader->account.exists) {
    link_fail(&leader->link, call, ENOSYS, NULL);
    return;
  }
  leader->conversation.mode = CONVERSE_LIVE;
  leader->conversation.refused = false;
  int code = pam_change_secret(&leader->pam);
  leader->conversation.mode = CONVERSE_NOT;
  obey_end_of_conversation(leader);
  struct writer writer;
  reply_code(call, code, &writer);
  conversation_write_kept(&leader->conversation, &writer);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

/* ---- establish ---- */

static void write_environment(struct leader *leader, struct writer *writer) {
  char **entries = leader->pam.handle == NULL ? NULL : pam_getenvlist(leader->pam.handle);
  size_t where = write_count(writer);
  uint32_t count = 0;
  for (size_t i = 0; entries != NULL && entries[i] != NULL; i++) {
    if (count < LIST_MAX) {
      write_string(writer, entries[i], strlen(entries[i]));
      count++;
    }
    explicit_bzero(entries[i], strlen(entries[i]));
    free(entries[i]);
  }
  free(entries);
  set_count(writer, where, count);
}

/* From here on whatever is done as the user is done inside, or not at all. */
static bool take_root(struct leader *leader, const char *path, char *why, size_t room) {
  leader->account.has_root = true;
  leader->account.root = -1;
  if (!leader->is_root) {
    snprintf(why, room, "server lacks privileges to chroot to ChrootDirectory");
    return false;
  }
  leader->account.root = chroot_open(path, why, room);
  return leader->account.root >= 0;
}

static void establish(struct leader *leader, const struct call *call, struct reader *reader) {
  const char *tty = read_text(reader);
  const char *info = read_text(reader);
  char root[PATH_MAX] = "";
  char root_refusal[PATH_MAX + 128] = "";
  int root_length = snprintf(root, sizeof root, "%s", read_text(reader));
  if (!reader_done(reader)) {
    return;
  }
  struct account *account = &leader->account;
  if (!account->exists || reader->has_nul || root_length < 0 ||
      (size_t)root_length >= sizeof root) {
    link_fail(&leader->link, call, account->exists ? EINVAL : ENOENT, NULL);
    return;
  }
  int credentials = PAM_SUCCESS;
  int session = PAM_SUCCESS;
  struct limits ours;
  leader->established = true;
  leader->has_no_session = true; /* until it is known better */
  if (!limits_read(&ours)) {
    link_fail(&leader->link, call, errno, "limits");
    return;
  }
  if (leader->pam.handle != NULL) {
    /* initgroups first: a module (pam_group) adds to what the process has. */
    if (initgroups(account->name, account->gid) != 0) {
      link_fail(&leader->link, call, errno, "initgroups");
      return;
    }
    if (leader->kind == KIND_LOGIN) {
      pam_tell_factors(&leader->pam, info);
    }
    credentials = pam_take_credentials(&leader->pam);
    session = pam_enter_session(&leader->pam, tty);
    if (!account_take_groups(account)) {
      link_fail(&leader->link, call, EIO, "getgroups");
      return;
    }
  }
  if (!limits_take(&ours, &leader->limits)) {
    link_fail(&leader->link, call, errno, "limits");
    return;
  }
  /* Behind the modules: one of them may make the directory. */
  bool has_its_root = root[0] == '\0' || take_root(leader, root, root_refusal, sizeof root_refusal);
  leader->has_no_session = session != PAM_SUCCESS || !has_its_root;
  struct writer writer;
  reply_code(call, credentials, &writer);
  write_uint32(&writer, (uint32_t)session);
  write_text(&writer,
             session == PAM_SUCCESS ? "" : pam_strerror(leader->pam.handle, session));
  write_environment(leader, &writer);
  conversation_write_kept(&leader->conversation, &writer);
  write_text(&writer, root_refusal);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

/* ---- as the user ---- */

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

static void order_read_file(struct leader *leader, const struct call *call,
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

static void order_connect_unix(struct leader *leader, const struct call *call,
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
  struct writer writer;
  reply_start(&writer, call);
  write_byte(&writer, result->verdict);
  write_text(&writer, result->text);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

/* In front of the account: whoever answers for the address is read by somebody without rights. */
static void order_peer_name(struct leader *leader, const struct call *call,
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

static void order_watch_windows(struct leader *leader, const struct call *call,
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

static void order_display_size(struct leader *leader, const struct call *call,
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

static void order_spawn(struct leader *leader, const struct call *call, struct reader *reader) {
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

static void group_is_signalled(struct leader *leader, const struct call *call,
                               const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
  } else {
    link_reply_empty(&leader->link, call);
  }
}

static void order_signal(struct leader *leader, const struct call *call, struct reader *reader) {
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
  struct group_signal input = {.group = child->pid, .number = (int)number};
  start_helper(leader, call, signal_group, &input, group_is_signalled, HELPER_PATIENCE_MS);
}

static void log_tail(struct leader *leader, const struct call *call, struct reader *reader) {
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

/* ---- desktops ---- */

static void desktop_is_made(struct leader *leader, const struct call *call,
                            const struct helper_result *result) {
  struct desktop *desktop = &leader->desktop;
  int error = result->error == 0 ? desktop_listen(desktop) : result->error;
  if (error != 0) {
    desktop_remove_directory(desktop->directory, &leader->account);
    free(desktop->directory);
    desktop->directory = NULL;
    link_fail(&leader->link, call, error, NULL);
    return;
  }
  desktop->begun = true;
  standard_descriptors_drop();
  link_reply_empty(&leader->link, call);
}

static int keep_desktop(struct desktop *desktop, const char *id, const char *started_at,
                        const struct xauthority_input *input) {
  free(desktop->id);
  free(desktop->started_at);
  desktop->id = strdup(id);
  desktop->started_at = strdup(started_at);
  desktop->directory = strdup(input->directory);
  memcpy(desktop->xauthority, input->xauthority.at, input->xauthority.length);
  desktop->xauthority_length = input->xauthority.length;
  return desktop->id == NULL || desktop->started_at == NULL || desktop->directory == NULL ? ENOMEM
                                                                                           : 0;
}

static void desktop_begin(struct leader *leader, const struct call *call, struct reader *reader) {
  const char *id = read_text(reader);
  const char *directory = read_text(reader);
  const char *started_at = read_text(reader);
  struct xauthority_input input = {.directory = directory, .xauthority = read_string(reader)};
  if (!reader_done(reader)) {
    return;
  }
  int error = 0;
  if (leader->kind != KIND_DESKTOP || leader->desktop.directory != NULL) {
    error = EPROTO;
  } else if (reader->has_nul || input.xauthority.length > XAUTHORITY_MAX) {
    error = EINVAL;
  } else if (!leader->account.exists) {
    error = ENOENT;
  } else {
    error = desktop_make_directory(directory, &leader->account);
  }
  if (error == 0) {
    error = keep_desktop(&leader->desktop, id, started_at, &input);
    error = error != 0 ? error
                       : helper_start(&leader->helpers, &leader->account, call,
                                      desktop_make_user_part, &input, desktop_is_made,
                                      HELPER_PATIENCE_MS);
    if (error != 0) {
      desktop_remove_directory(directory, &leader->account);
      free(leader->desktop.directory);
      leader->desktop.directory = NULL;
    }
  }
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}

static void desktop_describe(struct leader *leader, const struct call *call,
                             struct reader *reader) {
  if (!reader_done(reader)) {
    return;
  }
  const struct desktop *desktop = &leader->desktop;
  struct writer writer;
  reply_start(&writer, call);
  write_text(&writer, desktop->id);
  write_text(&writer, leader->account.name);
  write_uint32(&writer, leader->account.uid);
  write_text(&writer, desktop->started_at);
  write_uint32(&writer, (uint32_t)getpid());
  write_string(&writer, desktop->note, desktop->note_length);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

static void desktop_note(struct leader *leader, const struct call *call, struct reader *reader) {
  struct bytes note = read_string(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (note.length > NOTE_MAX) {
    link_fail(&leader->link, call, E2BIG, NULL);
    return;
  }
  memcpy(leader->desktop.note, note.at, note.length);
  leader->desktop.note_length = note.length;
  link_reply_empty(&leader->link, call);
}

static void end(struct leader *leader, const struct call *call, struct reader *reader) {
  uint32_t grace_ms = read_uint32(reader);
  if (reader_done(reader)) {
    leader_end(leader, grace_ms, call);
  }
}

/* ---- the table ---- */

enum phase { FRESH = 1, BEGUN = 2, ESTABLISHED = 4, DESKTOP = 8 };

static const struct {
  uint8_t number;
  uint8_t phases;
  void (*handle)(struct leader *, const struct call *, struct reader *);
} orders[] = {
    {1, FRESH, begin},
    {2, BEGUN, authenticate},
    {21, BEGUN, begin_pam},
    {5, BEGUN, check_account},
    {6, BEGUN | ESTABLISHED, change_password},
    {7, BEGUN, establish},
    {8, BEGUN | ESTABLISHED, order_read_file},
    {9, ESTABLISHED, order_spawn},
    {11, ESTABLISHED, order_signal},
    {12, ESTABLISHED, order_connect_unix},
    {13, ESTABLISHED, log_tail},
    {14, BEGUN | ESTABLISHED, desktop_begin},
    {15, DESKTOP, desktop_describe},
    {16, DESKTOP, desktop_note},
    {17, ESTABLISHED, order_watch_windows},
    {19, FRESH | BEGUN | ESTABLISHED, end},
    {20, DESKTOP, order_display_size},
    {40, BEGUN, order_record_failure},
    {41, ESTABLISHED, order_last_login},
    {42, ESTABLISHED, order_auth_info},
    {70, ESTABLISHED, order_connect_tcp},
    {71, ESTABLISHED, order_listen_tcp},
    {72, ESTABLISHED, order_listen_unix},
    {73, ESTABLISHED, order_close_listener},
    {80, ESTABLISHED, order_agent_listen},
    {81, ESTABLISHED, order_x11_listen},
    {82, ESTABLISHED, order_x11_undo},
    {83, ESTABLISHED, order_x11_close},
    {65, BEGUN, order_run_command},
    {66, FRESH, order_peer_name},
    {90, BEGUN, order_gss_start},
    {91, BEGUN, order_gss_token},
    {92, BEGUN, order_gss_check},
    {93, BEGUN, order_gss_keep_tickets},
    {94, DESKTOP, order_take_tickets},
};

static unsigned phase_of(const struct leader *leader) {
  unsigned phase = !leader->begun ? FRESH : leader->established ? ESTABLISHED : BEGUN;
  return phase | (leader->desktop.begun ? DESKTOP : 0);
}

bool orders_obey(struct leader *leader, const struct call *call, struct reader *reader) {
  for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
    if (orders[i].number != call->number) {
      continue;
    }
    if (call->id == 0) {
      return false; /* all of them are calls */
    }
    if ((orders[i].phases & phase_of(leader)) == 0) {
      link_fail(&leader->link, call, EPROTO, NULL);
      return true;
    }
    orders[i].handle(leader, call, reader);
    return !reader->broken && reader->left == 0;
  }
  if (call->id == 0 || call->number >= REPLY_BIT) {
    return false; /* a notice, or an answer to no prompt */
  }
  /* The monitor may be of a newer build than a desktop that goes on: the desktop must outlive that. */
  link_fail(&leader->link, call, ENOSYS, NULL);
  return true;
}
