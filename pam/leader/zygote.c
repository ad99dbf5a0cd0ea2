/* Forks leaders, starts workers, binds ports. Runs in: zygote. */
#include "zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leader.h"
#include "link.h"
#include "preload.h"
#include "process.h"
#include "record.h"
#include "worker.h"

enum { CHILDREN_MAX = 65536, STARTS_MAX = 32, BACKLOG = 128 };
enum { WORKERS_PATIENCE_MS = 2000, LEADERS_PATIENCE_MS = 500, LOOK_EVERY_MS = 50 };
enum { CALL_FORK_LEADER = 1, CALL_BIND = 2, CALL_START_WORKER = 3, NOTICE_CHILD_ENDED = 4,
       CALL_KILL_CHILD = 5 };

/* A worker on its way to execve. */
struct start {
  pid_t pid;
  int report;
  struct call call;
  char text[WORKER_REPORT_MAX];
  size_t length;
};

struct child_process {
  pid_t pid;
  bool is_worker;
};

struct zygote {
  struct link link;
  struct child_process *children; /* that have not been reported ended */
  size_t count;
  size_t room;
  struct start *starts[STARTS_MAX];
  size_t start_count;
};

/* ---- children ---- */

static void add_child(struct zygote *zygote, pid_t pid, bool is_worker) {
  zygote->children[zygote->count++] = (struct child_process){.pid = pid, .is_worker = is_worker};
}

/* Before a fork, so that no child, those on their way included, is ever without a place. */
static bool make_room(struct zygote *zygote) {
  if (zygote->count + zygote->start_count < zygote->room) {
    return true;
  }
  size_t room = zygote->room == 0 ? 64 : zygote->room * 2;
  struct child_process *children =
      room > CHILDREN_MAX ? NULL : realloc(zygote->children, room * sizeof *children);
  if (children == NULL) {
    return false;
  }
  zygote->children = children;
  zygote->room = room;
  return true;
}

static size_t find_pid(const struct zygote *zygote, pid_t pid) {
  size_t i = 0;
  while (i < zygote->count && zygote->children[i].pid != pid) {
    i++;
  }
  return i;
}

/* ---- fork-leader ---- */

static void fork_leader(struct zygote *zygote, const struct call *call, struct reader *reader) {
  const char *title = read_text(reader);
  if (!reader_done(reader)) {
    return;
  }
  int descriptor = link_take_descriptor(&zygote->link, 0);
  if (descriptor < 0 || !make_room(zygote)) {
    link_fail(&zygote->link, call, descriptor < 0 ? EBADF : EAGAIN, NULL);
    if (descriptor >= 0) {
      close(descriptor);
    }
    return;
  }
  pid_t pid = fork();
  if (pid == 0) {
    signals_forget();
    title_set("%.100s", title[0] == '\0' ? "sshdesk: leader" : title);
    prctl(PR_SET_NAME, "sshdesk-leader");
    /* The link and the reports of workers are close-on-exec, but this child does not exec. */
    if (dup2(descriptor, 3) != 3 || close_range(4, ~0U, 0) != 0 || setsid() < 0) {
      complain("cannot start: %s", strerror(errno));
      _exit(1);
    }
    link_wipe(&zygote->link);
    leader_run(3);
  }
  int error = errno;
  close(descriptor);
  if (pid < 0) {
    link_fail(&zygote->link, call, error, NULL);
    return;
  }
  add_child(zygote, pid, false);
  struct writer writer;
  reply_start(&writer, call);
  write_uint32(&writer, (uint32_t)pid);
  link_reply(&zygote->link, call, &writer, NULL, 0);
}

/* ---- bind ---- */

static int listen_at(const struct addrinfo *address, int *listener) {
  const int on = 1;
  *listener = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*listener < 0) {
    return errno;
  }
  bool bound =
      setsockopt(*listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      (address->ai_family != AF_INET6 ||
       setsockopt(*listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
      bind(*listener, address->ai_addr, address->ai_addrlen) == 0 && listen(*listener, BACKLOG) == 0;
  if (!bound) {
    int error = errno;
    close(*listener);
    return error;
  }
  return 0;
}

static uint32_t port_of(int listener) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
    return 0;
  }
  if (address.ss_family == AF_INET6) {
    return ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
  }
  return ntohs(((const struct sockaddr_in *)&address)->sin_port);
}

static void bind_port(struct zygote *zygote, const struct call *call, struct reader *reader) {
  const char *address = read_text(reader);
  uint32_t port = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  char service[16];
  snprintf(service, sizeof service, "%u", port);
  const struct addrinfo hints = {
      .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
      .ai_socktype = SOCK_STREAM,
  };
  struct addrinfo *found = NULL;
  if (port > 65535 || reader->has_nul || getaddrinfo(address, service, &hints, &found) != 0) {
    link_fail(&zygote->link, call, EINVAL, NULL);
    return;
  }
  int listener = -1;
  int error = listen_at(found, &listener);
  freeaddrinfo(found);
  if (error != 0) {
    link_fail(&zygote->link, call, error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_uint32(&writer, port_of(listener));
  link_reply(&zygote->link, call, &writer, &listener, 1);
  close(listener);
}

/* ---- start-worker ---- */

static int check_worker(const struct zygote *zygote, const struct worker_order *order) {
  if (order->link < 0 || order->standard_error < 0) {
    return EBADF;
  }
  if (order->arguments[0] == NULL || order->arguments[0][0] != '/') {
    return EINVAL;
  }
  for (char **path = order->read_only; *path != NULL; path++) {
    if ((*path)[0] != '/' || strcmp(*path, "/") == 0) {
      return EINVAL;
    }
  }
  if (geteuid() == 0 && (order->uid == 0 || order->gid == 0)) {
    return EPERM; /* a worker of root's would be no worker */
  }
  return zygote->start_count == STARTS_MAX ? EAGAIN : 0;
}

static int fork_worker(struct zygote *zygote, const struct call *call,
                       const struct worker_order *order) {
  struct start *start = calloc(1, sizeof *start);
  int report[2] = {-1, -1};
  int error = 0;
  if (start == NULL || !make_room(zygote)) {
    error = ENOMEM;
  } else if (pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0) {
    error = errno;
  } else {
    start->pid = fork();
    if (start->pid == 0) {
      close(report[0]);
      worker_become(order, report[1]);
    }
    error = start->pid < 0 ? errno : 0;
    close(report[1]);
  }
  if (error != 0) {
    if (report[0] >= 0) {
      close(report[0]);
    }
    free(start);
    return error;
  }
  start->report = report[0];
  start->call = *call;
  zygote->starts[zygote->start_count++] = start;
  return 0;
}

static void start_worker(struct zygote *zygote, const struct call *call, struct reader *reader) {
  struct worker_order order = {0};
  size_t count;
  order.arguments = read_texts(reader, WORKER_LIST_MAX, &count);
  order.environment = read_texts(reader, WORKER_LIST_MAX, &count);
  order.read_only = read_texts(reader, WORKER_READ_ONLY_MAX, &count);
  order.directory = read_text(reader);
  order.uid = read_uint32(reader);
  order.gid = read_uint32(reader);
  order.relaxed = read_bool(reader);
  if (reader_done(reader)) {
    order.link = link_take_descriptor(&zygote->link, 0);
    order.standard_error = link_take_descriptor(&zygote->link, 1);
    int error = reader->has_nul ? EINVAL : check_worker(zygote, &order);
    error = error == 0 ? fork_worker(zygote, call, &order) : error;
    if (error != 0) {
      link_fail(&zygote->link, call, error, NULL);
    }
    if (order.link >= 0) {
      close(order.link);
    }
    if (order.standard_error >= 0) {
      close(order.standard_error);
    }
  }
  free(order.arguments);
  free(order.environment);
  free(order.read_only);
}

/* Walks the NUL-terminated lines of a report: those of `kind`, or NULL. */
static const char *next_line(const struct start *start, size_t *at, char kind) {
  while (*at < start->length) {
    const char *line = start->text + *at;
    *at += strlen(line) + 1;
    if (line[0] == kind) {
      return line + 1;
    }
  }
  return NULL;
}

static const char *text_of(const char *line, int *error) {
  char *behind;
  *error = (int)strtol(line, &behind, 10);
  return *behind == ' ' ? behind + 1 : behind;
}

/* The report has ended: by execve, or because the child gave up. */
static void settle_start(struct zygote *zygote, size_t index) {
  struct start *start = zygote->starts[index];
  zygote->starts[index] = zygote->starts[--zygote->start_count];
  close(start->report);
  int error = EIO;
  size_t at = 0;
  const char *line = next_line(start, &at, 'f');
  if (line != NULL) {
    const char *text = text_of(line, &error);
    link_fail(&zygote->link, &start->call, error, text);
    free(start);
    return;
  }
  add_child(zygote, start->pid, true);
  struct writer writer;
  reply_start(&writer, &start->call);
  write_uint32(&writer, (uint32_t)start->pid);
  size_t where = write_count(&writer);
  uint32_t count = 0;
  at = 0;
  while (count < 16 && (line = next_line(start, &at, 's')) != NULL) {
    write_text(&writer, text_of(line, &error));
    count++;
  }
  set_count(&writer, where, count);
  link_reply(&zygote->link, &start->call, &writer, NULL, 0);
  free(start);
}

static void read_report(struct zygote *zygote, size_t index) {
  struct start *start = zygote->starts[index];
  for (;;) {
    size_t room = sizeof start->text - 1 - start->length;
    ssize_t length = room == 0 ? 0 : read(start->report, start->text + start->length, room);
    if (length < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (errno == EAGAIN) {
        return;
      }
    }
    if (length <= 0) {
      settle_start(zygote, index);
      return;
    }
    start->length += (size_t)length;
  }
}

/* ---- the rest ---- */

static void kill_child(struct zygote *zygote, const struct call *call, struct reader *reader) {
  uint32_t pid = read_uint32(reader);
  uint32_t number = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  int error = 0;
  if (pid > INT32_MAX || find_pid(zygote, (pid_t)pid) == zygote->count) {
    error = ESRCH;
  } else if (number > 64 || kill((pid_t)pid, (int)number) != 0) {
    error = number > 64 ? EINVAL : errno;
  }
  if (error != 0) {
    link_fail(&zygote->link, call, error, NULL);
  } else {
    link_reply_empty(&zygote->link, call);
  }
}

static const struct {
  uint8_t number;
  void (*handle)(struct zygote *, const struct call *, struct reader *);
} orders[] = {
    {CALL_FORK_LEADER, fork_leader},
    {CALL_BIND, bind_port},
    {CALL_START_WORKER, start_worker},
    {CALL_KILL_CHILD, kill_child},
};

static bool obey(struct zygote *zygote) {
  struct reader reader;
  struct call call;
  if (!link_head(&zygote->link, &reader, &call) || call.id == 0) {
    return false;
  }
  for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
    if (orders[i].number == call.number) {
      orders[i].handle(zygote, &call, &reader);
      return reader_done(&reader);
    }
  }
  return false;
}

static void reap(struct zygote *zygote);

static size_t count_children(const struct zygote *zygote, bool are_workers) {
  size_t count = 0;
  for (size_t i = 0; i < zygote->count; i++) {
    count += zygote->children[i].is_worker == are_workers ? 1 : 0;
  }
  return count;
}

/*
 * Leaders and workers see to their own ends: workers, and the leaders of logins, now that there is
 * no monitor. They are waited for a while, because in a container nobody else may do it.
 */
_Noreturn static void end(struct zygote *zygote, int status) {
  link_close(&zygote->link);
  int64_t began_ms = monotonic_ms();
  for (;;) {
    reap(zygote);
    int64_t spent_ms = monotonic_ms() - began_ms;
    size_t workers = count_children(zygote, true) + zygote->start_count;
    if (!(workers > 0 && spent_ms < WORKERS_PATIENCE_MS) &&
        !(count_children(zygote, false) > 0 && spent_ms < LEADERS_PATIENCE_MS)) {
      exit(status);
    }
    struct pollfd wait = {.fd = signals_descriptor(), .events = POLLIN};
    poll(&wait, 1, LOOK_EVERY_MS);
    bool ended;
    signals_drain(&ended);
  }
}

static void on_link(struct zygote *zygote) {
  for (;;) {
    enum received received = link_receive(&zygote->link);
    if (received == RECEIVED_NOTHING) {
      return;
    }
    if (received == RECEIVED_END) {
      end(zygote, 0);
    }
    if (received == RECEIVED_BROKEN || !obey(zygote)) {
      complain("malformed frame");
      exit(65);
    }
    link_wipe(&zygote->link);
  }
}

/* A leader that was killed could not end the records of its terminals. */
static void end_records(pid_t leader) {
  if (geteuid() != 0) {
    return;
  }
  pid_t pid = fork();
  if (pid == 0) {
    record_lost(leader);
    _exit(0);
  }
  if (pid < 0) {
    complain("records of leader %ld: %s", (long)leader, strerror(errno));
  }
}

static void reap(struct zygote *zygote) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    for (size_t i = 0; i < zygote->start_count; i++) {
      if (zygote->starts[i]->pid == pid) {
        read_report(zygote, i);
        break;
      }
    }
    size_t index = find_pid(zygote, pid);
    if (index == zygote->count) {
      continue; /* a worker that was never one, or what ended the records of a leader */
    }
    bool is_leader = !zygote->children[index].is_worker;
    zygote->children[index] = zygote->children[--zygote->count];
    if (is_leader && status != 0) {
      end_records(pid);
    }
    struct writer writer;
    notice_start(&writer, NOTICE_CHILD_ENDED);
    write_uint32(&writer, (uint32_t)pid);
    write_uint32(&writer, (uint32_t)status);
    link_send(&zygote->link, &writer, NULL, 0);
  }
}

static void turn(struct zygote *zygote) {
  struct pollfd sources[2 + STARTS_MAX];
  size_t starts = zygote->start_count;
  sources[0] = (struct pollfd){.fd = signals_descriptor(), .events = POLLIN};
  sources[1] = (struct pollfd){.fd = zygote->link.descriptor, .events = POLLIN};
  for (size_t i = 0; i < starts; i++) {
    sources[2 + i] = (struct pollfd){.fd = zygote->starts[i]->report, .events = POLLIN};
  }
  if (poll(sources, 2 + starts, -1) < 0 && errno != EINTR) {
    complain("poll: %s", strerror(errno));
    exit(1);
  }
  bool ended = false;
  signals_drain(&ended);
  for (size_t i = starts; i-- > 0;) {
    if (sources[2 + i].revents != 0) {
      read_report(zygote, i);
    }
  }
  reap(zygote);
  if (ended) {
    end(zygote, 0);
  }
  if (sources[1].revents != 0) {
    on_link(zygote);
  }
}

/* Node has raised the soft limit to the hard one: programs of users get what the daemon had. */
static void lower_file_limit(rlim_t soft) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > soft) {
    files.rlim_cur = soft;
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

void zygote_run(int descriptor, rlim_t soft_files) {
  struct zygote zygote = {0};
  title_set("sshdesk: zygote");
  prctl(PR_SET_NAME, "sshdesk-zygote");
  umask(022);
  if (chdir("/") != 0) {
    complain("chdir: %s", strerror(errno)); /* PAM's modules get along in any other folder too */
  }
  lower_file_limit(soft_files);
  /* Signals of the terminal in which the daemon may run are none of ours, nor of the leaders'. */
  if ((getsid(0) != getpid() && setsid() < 0) || !memory_guard() || !signals_start() ||
      !link_open(&zygote.link, descriptor)) {
    complain("cannot start: %s", strerror(errno));
    exit(1);
  }
  if (geteuid() == 0) {
    preload_modules();
  }
  for (;;) {
    turn(&zygote);
  }
}
