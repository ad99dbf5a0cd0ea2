/* The orders of a login from its beginning to its end. Runs in: leader. */
#include "login-orders.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chroot.h"
#include "leader.h"
#include "log.h"
#include "process.h"
#include "shadow.h"

enum { GROUP_ENTRY_MAX = 64 * 1024 * 1024 };

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

void order_begin(struct leader *leader, const struct call *call, struct reader *reader) {
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
void order_begin_pam(struct leader *leader, const struct call *call, struct reader *reader) {
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

void order_authenticate(struct leader *leader, const struct call *call, struct reader *reader) {
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

void order_account(struct leader *leader, const struct call *call, struct reader *reader) {
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

void order_change_password(struct leader *leader, const struct call *call,
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

void order_establish(struct leader *leader, const struct call *call, struct reader *reader) {
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

/* ---- the end ---- */

void order_end(struct leader *leader, const struct call *call, struct reader *reader) {
  uint32_t grace_ms = read_uint32(reader);
  if (reader_done(reader)) {
    leader_end(leader, grace_ms, call);
  }
}
