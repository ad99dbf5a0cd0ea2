/* Title, signals, limits and time of zygote and leaders. Runs in: zygote, leader. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TITLE_ROOM = 160 };
static const char room_variable[] = "SSHDESK_TITLE_ROOM";

/* State that a signal handler or `ps` needs has no other place than a process-wide one. */
static char *title_from;
static size_t title_room;
static char title_now[256] = "sshdesk";
static int signal_pipe[2] = {-1, -1};
static struct rlimit old_core;
static bool has_old_core;
static volatile sig_atomic_t end_asked;
static volatile sig_atomic_t is_expendable;

extern char **environ;

static void make_printable(char *text) {
  for (; *text != '\0'; text++) {
    if ((unsigned char)*text < 0x20 || *text == 0x7f) {
      *text = '?';
    }
  }
}

static size_t room_of(int argc, char **argv) {
  char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
  for (char **entry = environ; *entry != NULL; entry++) {
    if (*entry == end) {
      end += strlen(*entry) + 1;
    }
  }
  return (size_t)(end - argv[0]);
}

/* The zone is the one thing that what runs below may want of the daemon's environment. */
static bool clean_environment(void) {
  const char *zone = getenv("TZ");
  char *kept_zone = zone == NULL ? NULL : strdup(zone);
  bool cleaned = (zone == NULL || kept_zone != NULL) && clearenv() == 0 &&
                 setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) == 0 &&
                 (kept_zone == NULL || setenv("TZ", kept_zone, 1) == 0);
  free(kept_zone);
  return cleaned;
}

bool standard_descriptors_start(void) {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
    /* The lowest number that is free is the one that is given out. */
    if (fcntl(descriptor, F_GETFD) < 0 && open("/dev/null", O_RDWR) != descriptor) {
      return false;
    }
  }
  return true;
}

void standard_descriptors_drop(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) {
    complain("/dev/null: %s", strerror(errno));
    return;
  }
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
    dup2(null, descriptor);
  }
  close(null);
}

bool title_start(int argc, char **argv) {
  if (argc < 1) {
    return false;
  }
  bool again = getenv(room_variable) == NULL && room_of(argc, argv) < TITLE_ROOM;
  if (again) {
    char padding[TITLE_ROOM + 1];
    memset(padding, '-', sizeof padding - 1);
    padding[sizeof padding - 1] = '\0';
    if (setenv(room_variable, padding, 1) == 0) {
      execve("/proc/self/exe", argv, environ);
      complain("titles are short: %s", strerror(errno)); /* goes on with what room there is */
    }
  }
  title_from = argv[0];
  title_room = room_of(argc, argv);
  return clean_environment();
}

void title_set(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(title_now, sizeof title_now, format, arguments);
  va_end(arguments);
  make_printable(title_now);
  memset(title_from, 0, title_room);
  snprintf(title_from, title_room, "%s", title_now);
}

void signals_wake(void) {
  /* A full pipe wakes poll just as well. */
  ssize_t written = write(signal_pipe[1], "", 1);
  (void)written;
}

static void on_signal(int number) {
  int saved = errno;
  if (number != SIGCHLD) {
    if (is_expendable) {
      _exit(128 + number);
    }
    end_asked = 1;
  }
  signals_wake();
  errno = saved;
}

bool signals_restore(void) {
  const int caught[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++) {
    if (sigaction(caught[i], &action, NULL) != 0) {
      return false;
    }
  }
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  sigset_t none;
  sigemptyset(&none);
  return sigaction(SIGPIPE, &ignore, NULL) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

bool signals_start(void) {
  if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
    return false;
  }
  end_asked = 0;
  return signals_restore();
}

void signals_forget(void) {
  signal_pipe[0] = -1;
  signal_pipe[1] = -1;
}

int signals_descriptor(void) {
  return signal_pipe[0];
}

void signals_drain(bool *ended) {
  char bytes[64];
  while (read(signal_pipe[0], bytes, sizeof bytes) > 0) {
  }
  if (end_asked) {
    *ended = true;
  }
}

void signals_expendable(bool expendable) {
  is_expendable = expendable;
}

void signals_reset(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  for (int number = 1; number < NSIG; number++) {
    sigaction(number, &action, NULL); /* fails for SIGKILL, SIGSTOP and libc's own: as it should */
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

bool memory_guard(void) {
  struct rlimit core;
  if (getrlimit(RLIMIT_CORE, &core) != 0) {
    return false;
  }
  if (!has_old_core) {
    old_core = core;
    has_old_core = true;
  }
  core.rlim_cur = 0; /* the hard limit stays, for the user's processes */
  return setrlimit(RLIMIT_CORE, &core) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0;
}

bool limits_read(struct limits *limits) {
  for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
    if (getrlimit((__rlimit_resource_t)resource, &limits->of[resource]) != 0) {
      return false;
    }
  }
  return true;
}

/* Only what differs: a process without CAP_SYS_RESOURCE may still do that much. */
bool limits_apply(const struct limits *limits) {
  struct limits now;
  if (!limits_read(&now)) {
    return false;
  }
  for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
    const struct rlimit *is = &now.of[resource];
    const struct rlimit *wanted = &limits->of[resource];
    if ((is->rlim_cur != wanted->rlim_cur || is->rlim_max != wanted->rlim_max) &&
        setrlimit((__rlimit_resource_t)resource, wanted) != 0) {
      return false;
    }
  }
  return true;
}

bool limits_take(const struct limits *ours, struct limits *users) {
  if (!limits_read(users)) {
    return false;
  }
  struct rlimit *core = &users->of[RLIMIT_CORE];
  if (core->rlim_cur == 0 && core->rlim_max == old_core.rlim_max) {
    *core = old_core;
  }
  for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
    struct rlimit limit = ours->of[resource];
    rlim_t most = users->of[resource].rlim_max;
    if (setrlimit((__rlimit_resource_t)resource, &limit) != 0) {
      /* Without CAP_SYS_RESOURCE (containers) what a module has lowered stays the most there is. */
      limit.rlim_max = most;
      limit.rlim_cur = limit.rlim_cur < most ? limit.rlim_cur : most;
      if (setrlimit((__rlimit_resource_t)resource, &limit) != 0) {
        return false;
      }
    }
  }
  return memory_guard();
}

int64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void complain(const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  make_printable(line);
  dprintf(STDERR_FILENO, "%s: %s\n", title_now, line);
}

bool wait_for_end(pid_t pid, int patience_ms) {
  const struct timespec pause = {.tv_nsec = 2 * 1000000};
  int64_t deadline_ms = monotonic_ms() + patience_ms;
  pid_t ended;
  while ((ended = waitpid(pid, NULL, WNOHANG)) == 0 && monotonic_ms() < deadline_ms) {
    nanosleep(&pause, NULL);
  }
  return ended != 0;
}
