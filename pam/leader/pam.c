/* PAM on one handle in one process. Runs in: leader. */
#include "pam.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

enum { PROMPTS_MAX = 64 };

static bool is_prompt(int style) {
  return style == PAM_PROMPT_ECHO_OFF || style == PAM_PROMPT_ECHO_ON;
}

/* The answers of a batch; NULL where the message is no prompt. false: the attempt fails. */
static bool answer_prompts(struct conversation *conversation, const struct pam_message **messages,
                           size_t count, char **answers) {
  size_t prompts = 0;
  for (size_t i = 0; i < count; i++) {
    bool prompt = is_prompt(messages[i]->msg_style);
    if (!prompt && messages[i]->msg_style != PAM_ERROR_MSG &&
        messages[i]->msg_style != PAM_TEXT_INFO) {
      return false; /* Linux-PAM's binary prompts and radio buttons: SSH has no word for them */
    }
    prompts += prompt ? 1 : 0;
    bool keep = !prompt || conversation->mode == CONVERSE_LIVE;
    if (keep && !conversation_keep(conversation, (uint8_t)messages[i]->msg_style,
                                   messages[i]->msg)) {
      return false;
    }
  }
  if (prompts == 0) {
    return true;
  }
  if (conversation->mode == CONVERSE_LIVE) {
    return conversation_ask(conversation, answers, prompts);
  }
  for (size_t i = 0, next = 0; i < count; i++) {
    if (!is_prompt(messages[i]->msg_style)) {
      continue;
    }
    bool silent = messages[i]->msg_style == PAM_PROMPT_ECHO_OFF;
    if (conversation->mode != CONVERSE_PASSWORD || !silent) {
      return false;
    }
    answers[next] = conversation_answer(conversation, conversation->password);
    if (answers[next++] == NULL) {
      return false;
    }
  }
  return true;
}

static int converse(int count, const struct pam_message **messages, struct pam_response **responses,
                    void *data) {
  struct conversation *conversation = data;
  if (count <= 0 || count > PROMPTS_MAX || conversation->over) {
    return PAM_CONV_ERR;
  }
  char *answers[PROMPTS_MAX] = {NULL};
  struct pam_response *given = calloc((size_t)count, sizeof *given);
  if (given == NULL) {
    return PAM_BUF_ERR;
  }
  if (!answer_prompts(conversation, messages, (size_t)count, answers)) {
    for (size_t i = 0; i < PROMPTS_MAX; i++) {
      answer_free(answers[i]);
    }
    free(given);
    return PAM_CONV_ERR;
  }
  for (size_t i = 0, next = 0; i < (size_t)count; i++) {
    if (is_prompt(messages[i]->msg_style)) {
      given[i].resp = answers[next++];
    }
  }
  *responses = given;
  return PAM_SUCCESS;
}

/* In the place of libpam's own sleep: the monitor holds the answer back. */
static void note_delay(int code, unsigned delay_us, void *data) {
  struct conversation *conversation = data;
  if (code != PAM_SUCCESS) {
    conversation->delay_us = delay_us;
  }
}

static bool set_items(struct pam *pam, const char *rhost, const char *tty,
                      const char *connection) {
  /* PAM_FAIL_DELAY takes a function where the interface says pointer to data. */
  union {
    void (*function)(int, unsigned, void *);
    const void *data;
  } delay = {.function = note_delay};
  if (pam_set_item(pam->handle, PAM_FAIL_DELAY, delay.data) != PAM_SUCCESS ||
      (rhost[0] != '\0' && pam_set_item(pam->handle, PAM_RHOST, rhost) != PAM_SUCCESS) ||
      (tty[0] != '\0' && pam_set_item(pam->handle, PAM_TTY, tty) != PAM_SUCCESS)) {
    return false;
  }
  if (connection[0] == '\0') {
    return true;
  }
  char entry[512];
  int length = snprintf(entry, sizeof entry, "SSH_CONNECTION=%s", connection);
  return length > 0 && (size_t)length < sizeof entry &&
         pam_putenv(pam->handle, entry) == PAM_SUCCESS;
}

/*
 * What a module may have left behind on the process and nobody wants: other ids, the folder of a
 * user, an alarm, its own handlers (with SIGCHLD ignored no end of a child is ever told), cores.
 * Limits and umask are meant for the session and stay.
 */
static int settle(int code) {
  int error = errno;
  alarm(0);
  bool is_root = getuid() == 0 && geteuid() == 0 && getgid() == 0 && getegid() == 0;
  if (!is_root) {
    complain("a PAM module has left other ids behind");
    is_root = seteuid(0) == 0 && setresuid(0, 0, 0) == 0 && setresgid(0, 0, 0) == 0;
  }
  if (!is_root || chdir("/") != 0 || !signals_restore() || !memory_guard()) {
    complain("cannot go on after a PAM module: %s", strerror(errno));
    _exit(1);
  }
  if (fcntl(signals_descriptor(), F_GETFD) < 0 || !standard_descriptors_start()) {
    complain("a PAM module has closed what is not its own");
    _exit(1);
  }
  errno = error;
  return code;
}

int pam_begin(struct pam *pam, struct conversation *conversation, const char *service,
              const char *user, const char *rhost, const char *tty, const char *connection) {
  const struct pam_conv functions = {.conv = converse, .appdata_ptr = conversation};
  *pam = (struct pam){.conversation = conversation};
  int code = pam_start(service, user, &functions, &pam->handle);
  if (code != PAM_SUCCESS) {
    pam->handle = NULL;
    return code;
  }
  if (!set_items(pam, rhost, tty, connection)) {
    pam_end(pam->handle, PAM_SYSTEM_ERR);
    pam->handle = NULL;
    return PAM_SYSTEM_ERR;
  }
  return PAM_SUCCESS;
}

int pam_check_secret(struct pam *pam, bool allow_empty) {
  pam->conversation->delay_us = 0;
  pam->last_code =
      settle(pam_authenticate(pam->handle, allow_empty ? 0 : PAM_DISALLOW_NULL_AUTHTOK));
  return pam->last_code;
}

void pam_tell_factors(struct pam *pam, const char *info) {
  char *entry = NULL;
  if (asprintf(&entry, "SSH_AUTH_INFO_0=%s", info) < 0 ||
      pam_putenv(pam->handle, entry) != PAM_SUCCESS) {
    complain("the factors of the login cannot be told to PAM");
  }
  free(entry);
}

int pam_check_account(struct pam *pam) {
  pam->last_code = settle(pam_acct_mgmt(pam->handle, 0));
  return pam->last_code;
}

int pam_change_secret(struct pam *pam) {
  pam->last_code = settle(pam_chauthtok(pam->handle, PAM_CHANGE_EXPIRED_AUTHTOK));
  return pam->last_code;
}

bool pam_user_changed(const struct pam *pam, const char *user) {
  const void *now = NULL;
  return pam_get_item(pam->handle, PAM_USER, &now) != PAM_SUCCESS || now == NULL ||
         strcmp(now, user) != 0;
}

int pam_take_credentials(struct pam *pam) {
  pam->last_code = settle(pam_setcred(pam->handle, PAM_ESTABLISH_CRED));
  pam->has_credentials = true; /* even after an error: some module may have made some */
  return pam->last_code;
}

int pam_enter_session(struct pam *pam, const char *tty) {
  pam->last_code = tty[0] == '\0' ? PAM_SUCCESS : pam_set_item(pam->handle, PAM_TTY, tty);
  if (pam->last_code == PAM_SUCCESS) {
    pam->last_code = settle(pam_open_session(pam->handle, 0));
  }
  pam->has_session = pam->last_code == PAM_SUCCESS;
  return pam->last_code;
}

void pam_finish(struct pam *pam) {
  if (pam->handle == NULL) {
    return;
  }
  pam->conversation->mode = CONVERSE_NOT;
  if (pam->has_session) {
    int code = settle(pam_close_session(pam->handle, PAM_SILENT));
    if (code != PAM_SUCCESS) {
      complain("pam_close_session: %s", pam_strerror(pam->handle, code));
    }
    pam->last_code = code;
  }
  if (pam->has_credentials) {
    pam->last_code = settle(pam_setcred(pam->handle, PAM_DELETE_CRED | PAM_SILENT));
  }
  pam_end(pam->handle, pam->last_code);
  pam->handle = NULL;
}
