/* Starting processes of the user, and knowing when they end. Runs in: leader and its children. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chroot.h"
#include "drop.h"
#include "process.h"
#include "sftp-server.h"

enum { NOTICE_EXITED = 10, CHILD_DESCRIPTORS = 5, MOVED_FROM = 10, PIPE_BYTES = 256 * 1024 };
enum { PLACES_MAX = 6, CHILD_OBJECT = 5 };

/* What the child gets: 0, 1, 2, report (-1: none) and the error pipe. */
struct child_ends {
  int stdio[3];
  int report;
  int error;
};

/* Pairs of the child's end and ours, and all else that must be closed when something fails. */
struct plumbing {
  struct child_ends child;
  int ours[CHILD_DESCRIPTORS];
  size_t ours_count;
  int error_read;
  int log_read;
  struct pty pty;
};

static void close_one(int *descriptor) {
  if (*descriptor >= 0) {
    close(*descriptor);
    *descriptor = -1;
  }
}

static void close_child_ends(struct plumbing *plumbing) {
  /* With a terminal, or a log, the three are not three different descriptors. */
  int *ends = plumbing->child.stdio;
  for (int i = 0; i < 3; i++) {
    ends[i] = ends[i] == plumbing->pty.slave ? -1 : ends[i]; /* kept: see leave_terminal */
  }
  if (ends[1] == ends[2]) {
    ends[2] = -1;
  }
  if (ends[0] == ends[1]) {
    ends[1] = -1;
  }
  for (int i = 0; i < 3; i++) {
    close_one(&ends[i]);
  }
  close_one(&plumbing->child.report);
  close_one(&plumbing->child.error);
}

static void close_our_ends(struct plumbing *plumbing) {
  for (size_t i = 0; i < plumbing->ours_count; i++) {
    close_one(&plumbing->ours[i]);
  }
  close_one(&plumbing->error_read);
  close_one(&plumbing->log_read);
}

static bool make_pipe(int *reads, int *writes) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return false;
  }
  *reads = ends[0];
  *writes = ends[1];
  return true;
}

static bool make_pipes(struct plumbing *plumbing) {
  int *stdio = plumbing->child.stdio;
  plumbing->ours_count = 3;
  return make_pipe(&stdio[0], &plumbing->ours[0]) && make_pipe(&plumbing->ours[1], &stdio[1]) &&
         make_pipe(&plumbing->ours[2], &stdio[2]);
}

static bool make_log(struct plumbing *plumbing) {
  int *stdio = plumbing->child.stdio;
  if (!make_pipe(&plumbing->log_read, &stdio[1])) {
    return false;
  }
  stdio[2] = stdio[1];
  stdio[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
  return stdio[0] >= 0 && fcntl(plumbing->log_read, F_SETFL, O_NONBLOCK) == 0;
}

static int make_terminal(struct plumbing *plumbing, const struct account *account,
                         const struct spawn_order *order) {
  int error = pty_open(account, &order->size, order->modes, &plumbing->pty);
  if (error == 0) {
    for (int i = 0; i < 3; i++) {
      plumbing->child.stdio[i] = plumbing->pty.slave;
    }
    plumbing->ours[plumbing->ours_count++] = plumbing->pty.master;
  }
  return error;
}

/*
 * All pipes count as root's, and beyond fs.pipe-user-pages-soft the kernel makes the next ones
 * small, since they are made without privilege: one user's many would slow those of all others.
 */
static void widen_pipes(const struct plumbing *plumbing) {
  const int pipes[] = {plumbing->ours[0], plumbing->ours[1], plumbing->ours[2],
                       plumbing->log_read};
  for (size_t i = 0; i < sizeof pipes / sizeof pipes[0]; i++) {
    int bytes = pipes[i] < 0 ? -1 : fcntl(pipes[i], F_GETPIPE_SZ); /* of a terminal: EBADF */
    if (bytes >= 0 && bytes < PIPE_BYTES) {
      fcntl(pipes[i], F_SETPIPE_SZ, PIPE_BYTES); /* refused: a small one works too */
    }
  }
}

static int make_plumbing(struct plumbing *plumbing, const struct account *account,
                         const struct spawn_order *order) {
  *plumbing = (struct plumbing){
      .child = {.stdio = {-1, -1, -1}, .report = -1, .error = -1},
      .ours = {-1, -1, -1, -1, -1},
      .error_read = -1,
      .log_read = -1,
      .pty = {.master = -1, .slave = -1, .inode = -1},
  };
  if (!make_pipe(&plumbing->error_read, &plumbing->child.error) ||
      fcntl(plumbing->error_read, F_SETFL, O_NONBLOCK) != 0) {
    return errno;
  }
  if (order->stdio == STDIO_PTY) {
    int error = make_terminal(plumbing, account, order);
    if (error != 0) {
      return error;
    }
  }
  /* The inodes must be the user's, or `echo > /dev/stdout` is refused to him. */
  if (!drop_effective(account)) {
    return EPERM;
  }
  bool made = true;
  if (order->stdio == STDIO_PIPES) {
    made = make_pipes(plumbing);
  } else if (order->stdio == STDIO_LOG) {
    made = make_log(plumbing);
  }
  if (made && order->report) {
    made = make_pipe(&plumbing->ours[plumbing->ours_count], &plumbing->child.report);
    plumbing->ours_count += made ? 1 : 0;
  }
  int error = made ? 0 : errno;
  drop_restore();
  widen_pipes(plumbing);
  return error;
}

_Noreturn static void give_up(int error_pipe, int error) {
  ssize_t written = write(error_pipe, &error, sizeof error);
  (void)written;
  _exit(127);
}

/*
 * Puts the descriptors of `from` into the places 0, 1, 2 and so on, and the error pipe behind them;
 * whatever their numbers are, none is overwritten. All others are closed.
 */
static int place_descriptors(const int *from, int count, int error) {
  int moved[PLACES_MAX];
  int error_pipe = fcntl(error, F_DUPFD_CLOEXEC, MOVED_FROM);
  for (int i = 0; i < count; i++) {
    moved[i] = fcntl(from[i], F_DUPFD_CLOEXEC, MOVED_FROM);
    if (moved[i] < 0) {
      give_up(error, errno);
    }
  }
  for (int i = 0; i < count; i++) {
    if (dup2(moved[i], i) != i) {
      give_up(error_pipe, errno);
    }
  }
  if (dup3(error_pipe, count, O_CLOEXEC) != count || close_range((unsigned)count + 1, ~0U, 0) != 0) {
    give_up(error_pipe, errno);
  }
  return count;
}

/* Never waits: what reads here is told of this process only once it runs the program. */
static void say(const void *text, size_t length) {
  int flags = fcntl(STDERR_FILENO, F_GETFL);
  if (length == 0 || flags < 0 || fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK) != 0) {
    return;
  }
  ssize_t written = write(STDERR_FILENO, text, length);
  (void)written; /* nobody reads: the program is started all the same */
  fcntl(STDERR_FILENO, F_SETFL, flags);
}

/* The monitor leaves `SSH_TTY=` empty, because only here is known which terminal it is. */
static void name_terminal(char **environment, const char *path) {
  static char entry[sizeof "SSH_TTY=" + sizeof((struct pty *)NULL)->path];
  for (char **at = environment; *at != NULL; at++) {
    if (strcmp(*at, "SSH_TTY=") == 0) {
      snprintf(entry, sizeof entry, "SSH_TTY=%s", path);
      *at = entry;
      return;
    }
  }
}

/* In a ChrootDirectory as in sshd: without a home inside it is the root, and nothing is said. */
static void go_home(const struct account *account, const struct spawn_order *order,
                    int error_pipe) {
  if (chdir(order->directory) == 0) {
    return;
  }
  if (!account->has_root) {
    char line[4608];
    int length = snprintf(line, sizeof line, "Could not chdir to home directory %.4096s: %s\n",
                          order->directory, strerror(errno));
    say(line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
  }
  if (chdir("/") != 0) {
    give_up(error_pipe, errno);
  }
}

/* Stdin and stdout are nobody's until it is inside. */
_Noreturn static void run_sftp_server(const struct account *account,
                                      const struct spawn_order *order,
                                      const struct child_ends *ends) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int object = sftp_server_object();
  if (null < 0 || object < 0 || fchdir(account->root) != 0) {
    give_up(ends->error, errno);
  }
  const int places[] = {null, null, ends->stdio[2], ends->stdio[0], ends->stdio[1], object};
  _Static_assert(sizeof places / sizeof places[0] == CHILD_OBJECT + 1, "the last one");
  int error_pipe = place_descriptors(places, CHILD_OBJECT + 1, ends->error);
  if (!limits_apply(order->limits) || !sftp_server_drop(account)) {
    give_up(error_pipe, EPERM);
  }
  sftp_server_run(order);
  give_up(error_pipe, errno);
}

_Noreturn static void run_child(const struct account *account, const struct spawn_order *order,
                                const struct child_ends *ends, const char *terminal) {
  signals_reset();
  if (setsid() < 0 || (order->stdio == STDIO_PTY && ioctl(ends->stdio[0], TIOCSCTTY, 0) != 0)) {
    give_up(ends->error, errno);
  }
  if (order->is_sftp_server && account->has_root) {
    run_sftp_server(account, order, ends);
  }
  if (!chroot_enter(account)) {
    give_up(ends->error, errno);
  }
  const int places[] = {ends->stdio[0], ends->stdio[1], ends->stdio[2], ends->report};
  int error_pipe = place_descriptors(places, ends->report < 0 ? 3 : 4, ends->error);
  if (!limits_apply(order->limits) || !drop_for_good(account)) {
    give_up(error_pipe, EPERM);
  }
  say(order->stderr_text.at, order->stderr_text.length);
  go_home(account, order, error_pipe);
  if (order->stdio == STDIO_PTY) {
    name_terminal(order->environment, terminal);
  }
  const struct program *first = preparations_choose(&order->before);
  if (first == NULL && !account->has_root) {
    execve(order->file, order->arguments, order->environment);
    give_up(error_pipe, errno);
  }
  /*
   * It counts as started: what the one in front of it writes must find its reader; and that a
   * ChrootDirectory has no shell inside is for the user to read.
   */
  close(error_pipe);
  int error = first == NULL ? 0 : program_run(first, order->environment);
  if (error != 0) {
    dprintf(STDERR_FILENO, "Could not run %s: %s\n", first->file, strerror(error));
  }
  execve(order->file, order->arguments, order->environment);
  dprintf(STDERR_FILENO, "%s: %s\n", order->file, strerror(errno));
  _exit(1);
}

static void child_free(struct children *children, size_t index) {
  struct child *child = children->list[index];
  children->list[index] = children->list[--children->count];
  close_one(&child->error_pipe);
  close_one(&child->log_pipe);
  for (size_t i = 0; i < child->given_count; i++) {
    close_one(&child->given[i]);
  }
  free(child->log);
  free(child);
}

/* Room for one more: of those that ended, only the newest logs are kept. */
static void drop_old_logs(struct children *children) {
  for (;;) {
    size_t ended = 0;
    size_t oldest = 0;
    for (size_t i = 0; i < children->count; i++) {
      if (children->list[i]->alive) {
        continue;
      }
      if (ended == 0 || children->list[i]->handle < children->list[oldest]->handle) {
        oldest = i;
      }
      ended++;
    }
    if (ended <= LOGS_KEPT_MAX) {
      return;
    }
    child_free(children, oldest);
  }
}

static void name_child(struct child *child, const struct spawn_order *order) {
  const char *name = order->arguments[0];
  const char *slash = strrchr(name, '/');
  name = slash == NULL ? name : slash + 1;
  snprintf(child->name, sizeof child->name, "%s", name[0] == '-' ? name + 1 : name);
}

static struct child *make_child(const struct call *call, const struct spawn_order *order) {
  struct child *child = calloc(1, sizeof *child);
  struct ring *log = order->stdio == STDIO_LOG ? calloc(1, sizeof *log) : NULL;
  if (child == NULL || (order->stdio == STDIO_LOG && log == NULL)) {
    free(child);
    free(log);
    return NULL;
  }
  *child = (struct child){
      .alive = true,
      .starting = true,
      .essential = order->essential,
      .call = *call,
      .error_pipe = -1,
      .log_pipe = -1,
      .log = log,
      .given = {-1, -1, -1, -1},
      .pty = {.master = -1, .slave = -1, .inode = -1},
  };
  name_child(child, order);
  return child;
}

int spawn_start(struct children *children, const struct account *account, const struct call *call,
                const struct spawn_order *order) {
  drop_old_logs(children);
  if (order->arguments[0] == NULL || order->stdio > STDIO_LOG) {
    return EINVAL;
  }
  if (order->stderr_text.length > STDERR_TEXT_MAX) {
    return E2BIG; /* more than a pipe takes would wait for a reader that waits for us */
  }
  if (children->alive >= children->most || children->count == CHILDREN_ROOM) {
    return EAGAIN;
  }
  struct child *child = make_child(call, order);
  if (child == NULL) {
    return ENOMEM;
  }
  struct plumbing plumbing;
  int error = make_plumbing(&plumbing, account, order);
  if (error == 0 && order->stdio == STDIO_PTY && order->origin != NULL) {
    /* Before the fork: a shell that asks who(1) is there finds itself. */
    record_login(account->name, account->uid, plumbing.pty.path, order->origin);
    child->is_recorded = true;
  }
  pid_t pid = error == 0 ? fork() : -1;
  if (pid == 0) {
    run_child(account, order, &plumbing.child, plumbing.pty.path);
  }
  error = error == 0 && pid < 0 ? errno : error;
  close_child_ends(&plumbing);
  if (error != 0) {
    if (child->is_recorded) {
      record_logout(plumbing.pty.path);
    }
    close_our_ends(&plumbing);
    plumbing.pty.master = -1; /* was one of them */
    pty_close(&plumbing.pty);
    free(child->log);
    free(child);
    return error;
  }
  child->pid = pid;
  child->handle = ++children->last_handle;
  child->error_pipe = plumbing.error_read;
  child->log_pipe = plumbing.log_read;
  child->pty = plumbing.pty;
  child->pty.master = -1; /* goes away with the reply */
  for (size_t i = 0; i < plumbing.ours_count; i++) {
    child->given[child->given_count++] = plumbing.ours[i];
  }
  children->list[children->count++] = child;
  children->alive++;
  return 0;
}

/*
 * As long as its slave is open here, the number of a terminal is nobody else's: what is written about
 * its end is not written over the login of whoever gets the number next.
 */
static void leave_terminal(struct child *child) {
  if (child->is_recorded) {
    record_logout(child->pty.path);
    child->is_recorded = false;
  }
  pty_release(&child->pty);
}

static size_t index_of(const struct children *children, const struct child *child) {
  size_t index = 0;
  while (children->list[index] != child) {
    index++;
  }
  return index;
}

void spawn_settle(struct children *children, struct child *child, struct link *link) {
  int error = 0;
  ssize_t length = read(child->error_pipe, &error, sizeof error);
  if (length < 0 && (errno == EINTR || errno == EAGAIN)) {
    return;
  }
  close_one(&child->error_pipe);
  child->starting = false;
  if (length != 0) {
    link_fail(link, &child->call, length == sizeof error && error != 0 ? error : EIO, NULL);
    leave_terminal(child);
    if (child->alive) {
      children->alive--; /* its end is nobody's concern: an unknown pid to the reaper */
    }
    child_free(children, index_of(children, child));
    return;
  }
  struct writer writer;
  reply_start(&writer, &child->call);
  write_uint32(&writer, child->handle);
  write_uint32(&writer, (uint32_t)child->pid);
  write_text(&writer, child->pty.path);
  link_reply(link, &child->call, &writer, child->given, child->given_count);
  for (size_t i = 0; i < child->given_count; i++) {
    close_one(&child->given[i]);
  }
  child->given_count = 0;
}

struct child *children_by_pid(const struct children *children, pid_t pid) {
  for (size_t i = 0; i < children->count; i++) {
    if (children->list[i]->alive && children->list[i]->pid == pid) {
      return children->list[i];
    }
  }
  return NULL;
}

struct child *children_by_handle(const struct children *children, uint32_t handle) {
  for (size_t i = 0; i < children->count; i++) {
    if (children->list[i]->handle == handle && !children->list[i]->starting) {
      return children->list[i];
    }
  }
  return NULL;
}

void child_ended(struct children *children, struct child *child, int status, struct link *link) {
  child->alive = false;
  children->alive--;
  leave_terminal(child);
  struct writer writer;
  notice_start(&writer, NOTICE_EXITED);
  write_uint32(&writer, child->handle);
  write_uint32(&writer, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0);
  write_uint32(&writer, WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
  write_bool(&writer, WIFSIGNALED(status) && WCOREDUMP(status));
  link_send(link, &writer, NULL, 0);
  if (child->log == NULL) {
    child_free(children, index_of(children, child));
  } else if (child->log_pipe >= 0 && ring_fill(child->log, child->log_pipe) == RING_ENDED) {
    close_one(&child->log_pipe);
  }
}

void children_hang_up(const struct children *children) {
  for (size_t i = 0; i < children->count; i++) {
    const struct child *child = children->list[i];
    if (child->alive && child->pty.inode >= 0) {
      kill(-child->pid, SIGHUP);
      kill(-child->pid, SIGCONT);
    }
  }
}

void children_leave_terminals(const struct children *children) {
  for (size_t i = 0; i < children->count; i++) {
    if (children->list[i]->alive) {
      leave_terminal(children->list[i]);
    }
  }
}

void send_signal(const void *data, struct helper_result *result) {
  const struct signal_input *order = data;
  result->error = kill(order->target, order->number) != 0 ? errno : 0;
}
