/*
 * PAM: one handle for authentication, account, credentials and session, in one process, on its
 * main thread (modules keep state between the phases, and some of it is the process's own).
 * Runs in: leader.
 */
#pragma once
#include <security/pam_appl.h>

#include "conversation.h"

struct pam {
  pam_handle_t *handle; /* NULL: no service, or no root */
  int last_code;
  struct conversation *conversation;
  bool has_credentials;
  bool has_session;
};

/* Returns a PAM code. `connection` empty: not put into the PAM environment. */
int pam_begin(struct pam *pam, struct conversation *conversation, const char *service,
              const char *user, const char *rhost, const char *tty, const char *connection);
int pam_check_secret(struct pam *pam, bool allow_empty);
int pam_check_account(struct pam *pam);
/* SSH_AUTH_INFO_0 for the modules, as sshd has it: a line for each factor that was met. */
void pam_tell_factors(struct pam *pam, const char *info);
int pam_change_secret(struct pam *pam);
bool pam_user_changed(const struct pam *pam, const char *user);
int pam_take_credentials(struct pam *pam);
int pam_enter_session(struct pam *pam, const char *tty);
/* As root: pam_close_session, pam_setcred(DELETE), pam_end; whatever was begun. */
void pam_finish(struct pam *pam);
