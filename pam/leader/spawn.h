/* Starting processes of the user, and knowing when they end. Runs in: leader and its children. */
#pragma once
#include "account.h"
#include "helper.h"
#include "link.h"
#include "process.h"
#include "program.h"
#include "pty.h"
#include "record.h"
#include "ring.h"

enum { STDIO_PIPES = 0, STDIO_PTY = 1, STDIO_LOG = 2 };
enum { CHILDREN_LOGIN_MAX = 64, CHILDREN_DESKTOP_MAX = 256, LOGS_KEPT_MAX = 8 };
enum { CHILDREN_ROOM = CHILDREN_DESKTOP_MAX + LOGS_KEPT_MAX, STDERR_TEXT_MAX = 16 * 1024 };

struct child {
  uint32_t handle;
  pid_t pid;
  bool alive;    /* not reaped; afterwards only its log may be asked for */
  bool starting; /* execve has neither succeeded nor failed yet; `call` waits for it */
  bool essential;
  struct call call;
  int error_pipe;
  int given[4]; /* descriptors for the reply */
  size_t given_count;
  struct pty pty; /* inode -1: no terminal */
  bool is_recorded; /* utmp has its terminal */
  int log_pipe;
  struct ring *log; /* NULL: no log */
  char name[64];    /* of the program, for texts */
};

struct children {
  struct child *list[CHILDREN_ROOM];
  size_t count;
  size_t alive;
  uint32_t last_handle;
  size_t most;
};

struct spawn_order {
  const char *file;
  char **arguments;
  char **environment;
  const char *directory;
  uint8_t stdio;
  struct pty_size size;
  struct bytes modes;
  bool report;
  bool essential;
  struct bytes stderr_text;
  struct preparations before; /* the program */
  bool is_sftp_server; /* in a ChrootDirectory it is run outside and enters by itself */
  const struct limits *limits; /* that the user's processes get */
  const struct origin *origin; /* for the records of a terminal; NULL: there are none */
};

/* Returns 0 (the reply follows when execve has gone well or not) or an errno. */
int spawn_start(struct children *children, const struct account *account, const struct call *call,
                const struct spawn_order *order);
/* The error pipe of a starting child is readable, or it ended: answers the call. */
void spawn_settle(struct children *children, struct child *child, struct link *link);
struct child *children_by_pid(const struct children *children, pid_t pid);
struct child *children_by_handle(const struct children *children, uint32_t handle);
/* Reports the end once, restores its terminal, keeps its log. `status` is of wait(2). */
void child_ended(struct children *children, struct child *child, int status, struct link *link);
/* SIGHUP to the sessions that have a terminal. */
void children_hang_up(const struct children *children);
/* The login is over: their records end, whether or not they do. */
void children_leave_terminals(const struct children *children);

struct signal_input {
  pid_t target; /* below zero: a process group */
  int number;
};
/*
 * A helper_work: kill(2). Not by the leader itself: the kernel looks at the real
 * uid too, and root's reaches the setuid programs that the user may not touch.
 */
void send_signal(const void *input, struct helper_result *result);
