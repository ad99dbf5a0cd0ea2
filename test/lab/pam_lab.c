/*
 * A PAM module for tests; the tests build it (`lab.ts`, buildPamLab). It runs in whatever process
 * speaks PAM. Options, in any order, in the pam.d line:
 *
 *   ask=three      authenticate: ONE conversation call with an information, a prompt without echo
 *                  ("Password: ", right answer `secret`) and one with echo ("One-time code: ",
 *                  right answer `123456`)
 *   ask=rounds:N   authenticate: N calls, each with an information and an echo-on prompt
 *                  ("Round I: ", right answer `answer-I`)
 *   ask=error      authenticate: an error text, then a prompt without echo (`secret`)
 *   ask=password   authenticate: one prompt without echo ("Password: ", right answer `secret`)
 *   ask=many:N     authenticate: ONE call of N - 1 informations ("line I") and a prompt (`secret`)
 *   ask=empty      authenticate: a prompt without echo and without a text (`secret`)
 *   ask=long:N     authenticate: an information of N bytes, then a prompt (`secret`)
 *   ask=odd        authenticate: an information and a prompt (`secret`) of bytes that are no text
 *   user=NAME      authenticate: sets PAM_USER to NAME
 *   delay=MS       authenticate: asks for pam_fail_delay of MS milliseconds
 *   slow=MS        authenticate: takes MS milliseconds before it answers
 *   fail=PHASE     PHASE auth, account, cred or session fails with an error text
 *   expired        account: PAM_NEW_AUTHTOK_REQD
 *   mess=PHASE     PHASE auth or session leaves other ids, folder, handlers, mask, alarm behind
 *   die=PHASE:HOW  PHASE auth, account, cred, session, close: HOW segv, abort or exit ends the process,
 *                  hang never returns, closed closes every descriptor
 *   count=FILE     appends one line per call: phase, pid, PAM_USER, PAM_RHOST, PAM_TTY, rc
 *
 * setcred puts LABCRED=1, open_session LABSESS=tty:T,rhost:R into the PAM environment.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MESSAGES = 512 };

static const char *option(int argc, const char **argv, const char *name) {
  size_t length = strlen(name);
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], name, length) == 0 && (argv[i][length] == '=' || argv[i][length] == 0)) {
      return argv[i][length] == '=' ? argv[i] + length + 1 : "";
    }
  }
  return NULL;
}

static const char *item(pam_handle_t *handle, int which) {
  const void *value = NULL;
  return pam_get_item(handle, which, &value) == PAM_SUCCESS && value != NULL ? value : "-";
}

static int count(pam_handle_t *handle, int argc, const char **argv, const char *phase, int rc) {
  const char *path = option(argc, argv, "count");
  if (path != NULL) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) {
      char line[512];
      int length = snprintf(line, sizeof line, "%s pid=%d tid=%ld uid=%d user=%s rhost=%s tty=%s rc=%d\n",
                            phase, getpid(), (long)syscall(SYS_gettid), (int)getuid(),
                            item(handle, PAM_USER), item(handle, PAM_RHOST), item(handle, PAM_TTY), rc);
      if (write(fd, line, (size_t)length) != length) {
        rc = PAM_SYSTEM_ERR;
      }
      close(fd);
    }
  }
  return rc;
}

/* One conversation call; answers[i] must be freed by the caller. */
static int converse(pam_handle_t *handle, int number, struct pam_message *messages, char **answers) {
  const void *item_value = NULL;
  const struct pam_message *pointers[MESSAGES];
  struct pam_response *replies = NULL;
  if (number > MESSAGES || pam_get_item(handle, PAM_CONV, &item_value) != PAM_SUCCESS || item_value == NULL) {
    return PAM_CONV_ERR;
  }
  const struct pam_conv *conversation = item_value;
  for (int i = 0; i < number; i++) {
    pointers[i] = &messages[i];
  }
  int rc = conversation->conv(number, pointers, &replies, conversation->appdata_ptr);
  if (rc != PAM_SUCCESS || replies == NULL) {
    return PAM_CONV_ERR;
  }
  for (int i = 0; i < number; i++) {
    answers[i] = replies[i].resp;
  }
  free(replies);
  return PAM_SUCCESS;
}

static int is(const char *answer, const char *wanted) {
  return answer != NULL && strcmp(answer, wanted) == 0;
}

static int say_error(pam_handle_t *handle, const char *text) {
  struct pam_message message = {PAM_ERROR_MSG, text};
  char *answers[1] = {NULL};
  int rc = converse(handle, 1, &message, answers);
  free(answers[0]);
  return rc;
}

static int fails(pam_handle_t *handle, int argc, const char **argv, const char *phase) {
  const char *which = option(argc, argv, "fail");
  if (which == NULL || strcmp(which, phase) != 0) {
    return 0;
  }
  char text[64];
  snprintf(text, sizeof text, "lab: %s refused", phase);
  (void)say_error(handle, text);
  return 1;
}

/* `count` messages, the last of them a prompt without echo. */
static int ask_last(pam_handle_t *handle, int number, struct pam_message *messages) {
  static char *answers[MESSAGES];
  int rc = converse(handle, number, messages, answers);
  if (rc == PAM_SUCCESS && !is(answers[number - 1], "secret")) {
    rc = PAM_AUTH_ERR;
  }
  for (int i = 0; i < number; i++) {
    free(answers[i]);
    answers[i] = NULL;
  }
  return rc;
}

static int ask_many(pam_handle_t *handle, int number) {
  static char texts[MESSAGES][16];
  static struct pam_message messages[MESSAGES];
  if (number < 1 || number > MESSAGES) {
    return PAM_SERVICE_ERR;
  }
  for (int i = 0; i < number - 1; i++) {
    snprintf(texts[i], sizeof texts[i], "line %d", i + 1);
    messages[i] = (struct pam_message){PAM_TEXT_INFO, texts[i]};
  }
  messages[number - 1] = (struct pam_message){PAM_PROMPT_ECHO_OFF, "Password: "};
  return ask_last(handle, number, messages);
}

static int ask_long(pam_handle_t *handle, size_t length) {
  char *text = malloc(length + 1);
  if (text == NULL) {
    return PAM_BUF_ERR;
  }
  memset(text, 'x', length);
  text[length] = 0;
  struct pam_message messages[2] = {{PAM_TEXT_INFO, text}, {PAM_PROMPT_ECHO_OFF, "Password: "}};
  int rc = ask_last(handle, 2, messages);
  free(text);
  return rc;
}

static int ask(pam_handle_t *handle, const char *how) {
  char *answers[3] = {NULL, NULL, NULL};
  int rc = PAM_AUTH_ERR;
  if (strcmp(how, "three") == 0) {
    struct pam_message messages[3] = {{PAM_TEXT_INFO, "Two things are asked"},
                                      {PAM_PROMPT_ECHO_OFF, "Password: "},
                                      {PAM_PROMPT_ECHO_ON, "One-time code: "}};
    rc = converse(handle, 3, messages, answers);
    if (rc == PAM_SUCCESS && !(is(answers[1], "secret") && is(answers[2], "123456"))) {
      rc = PAM_AUTH_ERR;
    }
  } else if (strcmp(how, "error") == 0) {
    struct pam_message messages[2] = {{PAM_ERROR_MSG, "Something is amiss"},
                                      {PAM_PROMPT_ECHO_OFF, "Password: "}};
    rc = converse(handle, 2, messages, answers);
    if (rc == PAM_SUCCESS && !is(answers[1], "secret")) {
      rc = PAM_AUTH_ERR;
    }
  } else if (strcmp(how, "password") == 0) {
    struct pam_message messages[1] = {{PAM_PROMPT_ECHO_OFF, "Password: "}};
    rc = converse(handle, 1, messages, answers);
    if (rc == PAM_SUCCESS && !is(answers[0], "secret")) {
      rc = PAM_AUTH_ERR;
    }
  } else if (strncmp(how, "many:", 5) == 0) {
    rc = ask_many(handle, atoi(how + 5));
  } else if (strncmp(how, "long:", 5) == 0) {
    rc = ask_long(handle, (size_t)atoi(how + 5));
  } else if (strcmp(how, "empty") == 0) {
    struct pam_message messages[1] = {{PAM_PROMPT_ECHO_OFF, ""}};
    rc = ask_last(handle, 1, messages);
  } else if (strcmp(how, "odd") == 0) {
    struct pam_message messages[2] = {
        {PAM_TEXT_INFO, "odd \377\376 \033]0;title\007\r\nAccepted password for root\001"},
        {PAM_PROMPT_ECHO_OFF, "\033[31m\300\200Password: "}};
    rc = ask_last(handle, 2, messages);
  } else if (strncmp(how, "rounds:", 7) == 0) {
    int rounds = atoi(how + 7);
    int right = 1;
    rc = PAM_SUCCESS;
    for (int i = 1; rc == PAM_SUCCESS && i <= rounds; i++) {
      char information[48], prompt[32], wanted[32];
      snprintf(information, sizeof information, "This is round %d of %d", i, rounds);
      snprintf(prompt, sizeof prompt, "Round %d: ", i);
      snprintf(wanted, sizeof wanted, "answer-%d", i);
      struct pam_message messages[2] = {{PAM_TEXT_INFO, information}, {PAM_PROMPT_ECHO_ON, prompt}};
      rc = converse(handle, 2, messages, answers);
      right = right && rc == PAM_SUCCESS && is(answers[1], wanted);
      free(answers[0]);
      free(answers[1]);
      answers[0] = answers[1] = NULL;
    }
    if (rc == PAM_SUCCESS && !right) {
      rc = PAM_AUTH_ERR;
    }
  }
  for (int i = 0; i < 3; i++) {
    free(answers[i]);
  }
  return rc;
}

/* What a careless module does to the process that called it. */
static void mess(int argc, const char **argv, const char *phase) {
  const char *which = option(argc, argv, "mess");
  if (which == NULL || strcmp(which, phase) != 0) {
    return;
  }
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGPIPE, SIG_DFL);
  alarm(1);
  if (chdir("/tmp") != 0 || setegid(65534) != 0 || seteuid(65534) != 0) {
    abort();
  }
}

/* What a broken module does to the process that called it. */
static void die(int argc, const char **argv, const char *phase) {
  const char *which = option(argc, argv, "die");
  size_t length = strlen(phase);
  if (which == NULL || strncmp(which, phase, length) != 0 || which[length] != ':') {
    return;
  }
  const char *how = which + length + 1;
  if (strcmp(how, "segv") == 0) {
    raise(SIGSEGV);
  } else if (strcmp(how, "abort") == 0) {
    abort();
  } else if (strcmp(how, "exit") == 0) {
    exit(0);
  } else if (strcmp(how, "closed") == 0) {
    for (int fd = 0; fd < 1024; fd++) {
      close(fd);
    }
  } else if (strcmp(how, "hang") == 0) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (;;) {
      pause();
    }
  }
}

int pam_sm_authenticate(pam_handle_t *handle, int flags, int argc, const char **argv) {
  (void)flags;
  die(argc, argv, "auth");
  const char *how = option(argc, argv, "ask");
  const char *user = option(argc, argv, "user");
  const char *delay = option(argc, argv, "delay");
  const char *slow = option(argc, argv, "slow");
  if (delay != NULL) {
    pam_fail_delay(handle, (unsigned)atoi(delay) * 1000);
  }
  if (slow != NULL) {
    usleep((useconds_t)atoi(slow) * 1000);
  }
  if (fails(handle, argc, argv, "auth")) {
    return count(handle, argc, argv, "auth", PAM_AUTH_ERR);
  }
  int rc = how != NULL ? ask(handle, how) : PAM_SUCCESS;
  if (rc == PAM_SUCCESS && user != NULL) {
    rc = pam_set_item(handle, PAM_USER, user);
  }
  mess(argc, argv, "auth");
  return count(handle, argc, argv, "auth", rc);
}

int pam_sm_setcred(pam_handle_t *handle, int flags, int argc, const char **argv) {
  if (flags & PAM_DELETE_CRED) {
    return count(handle, argc, argv, "cred-delete", PAM_SUCCESS);
  }
  die(argc, argv, "cred");
  pam_putenv(handle, "LABCRED=1");
  int rc = fails(handle, argc, argv, "cred") ? PAM_CRED_ERR : PAM_SUCCESS;
  return count(handle, argc, argv, "cred", rc);
}

int pam_sm_acct_mgmt(pam_handle_t *handle, int flags, int argc, const char **argv) {
  (void)flags;
  die(argc, argv, "account");
  int rc = fails(handle, argc, argv, "account") ? PAM_PERM_DENIED : PAM_SUCCESS;
  if (rc == PAM_SUCCESS && option(argc, argv, "expired") != NULL) {
    rc = PAM_NEW_AUTHTOK_REQD;
  }
  return count(handle, argc, argv, "account", rc);
}

int pam_sm_open_session(pam_handle_t *handle, int flags, int argc, const char **argv) {
  (void)flags;
  die(argc, argv, "session");
  char value[512];
  snprintf(value, sizeof value, "LABSESS=tty:%s,rhost:%s", item(handle, PAM_TTY), item(handle, PAM_RHOST));
  pam_putenv(handle, value);
  int rc = fails(handle, argc, argv, "session") ? PAM_SESSION_ERR : PAM_SUCCESS;
  mess(argc, argv, "session");
  return count(handle, argc, argv, "open", rc);
}

int pam_sm_close_session(pam_handle_t *handle, int flags, int argc, const char **argv) {
  (void)flags;
  die(argc, argv, "close");
  return count(handle, argc, argv, "close", PAM_SUCCESS);
}

int pam_sm_chauthtok(pam_handle_t *handle, int flags, int argc, const char **argv) {
  (void)flags;
  return count(handle, argc, argv, "chauthtok", PAM_SUCCESS);
}
