/* A desktop's directory, control socket and descendants. Runs in: leader and its children. */
#include "desktop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "desktop-agent.h"
#include "drop.h"
#include "helper.h"
#include "process.h"

enum { REMOVE_DEPTH_MAX = 64, REMOVE_PATIENCE_MS = 5000, KILL_PATIENCE_MS = 1000 };
enum { DESCENDANTS_MAX = 8192, BACKLOG = 8 };
/* Sockets, an Xauthority, and what programs put into XDG_RUNTIME_DIR. */
enum { USER_PART_KIB = 16 * 1024, USER_PART_FILES = 4096 };

/* ---- the directory ---- */

/*
 * What the user may write is on a file system of its own, or he could fill the one that all of /run
 * is on. Without the right to mount (in many containers) it is left as it is.
 */
static void bound_user_part(const char *directory, const struct account *account) {
  char path[DESKTOP_PATH_MAX + 8];
  char options[128];
  snprintf(path, sizeof path, "%s/user", directory);
  snprintf(options, sizeof options, "mode=0700,uid=%u,gid=%u,size=%dk,nr_inodes=%d", account->uid,
           account->gid, USER_PART_KIB, USER_PART_FILES);
  if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) {
    complain("%s has no bound of its own: %s", path, strerror(errno));
  }
}

int desktop_make_directory(const char *directory, const struct account *account) {
  if (directory[0] != '/' || strlen(directory) > DESKTOP_PATH_MAX) {
    return EINVAL;
  }
  if (mkdir(directory, 0700) != 0) {
    return errno;
  }
  int at = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool made = at >= 0 && fchmod(at, 0711) == 0 && mkdirat(at, "user", 0700) == 0;
  if (made && geteuid() == 0) {
    made = fchownat(at, "user", account->uid, account->gid, AT_SYMLINK_NOFOLLOW) == 0;
    if (made) {
      bound_user_part(directory, account);
    }
  }
  int error = made ? 0 : errno;
  if (at >= 0) {
    if (!made) {
      unlinkat(at, "user", AT_REMOVEDIR);
    }
    close(at);
  }
  if (!made) {
    rmdir(directory);
  }
  return error;
}

static int open_user_part(const char *directory) {
  char path[DESKTOP_PATH_MAX + 8];
  snprintf(path, sizeof path, "%s/user", directory);
  return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

void desktop_make_user_part(const void *data, struct helper_result *result) {
  const struct user_part_input *input = data;
  int at = open_user_part(input->directory);
  int file = at < 0 ? -1 : openat(at, "Xauthority", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) {
    result->error = errno;
    return;
  }
  ssize_t written = write(file, input->xauthority.at, input->xauthority.length);
  if (written != (ssize_t)input->xauthority.length) {
    result->error = written < 0 ? errno : ENOSPC;
  } else if (fchmod(file, 0600) != 0 || mkdirat(at, "run", 0700) != 0) {
    result->error = errno;
  } else if (input->has_agent) {
    result->descriptor = desktop_agent_bind(at);
    result->error = result->descriptor < 0 ? errno : 0;
  }
}

static bool is_dot(const char *name) {
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Owns `at`. No link is followed, nothing is reached by more than one name at a time. */
static void empty_directory(int at, int depth) {
  DIR *directory = fdopendir(at);
  if (directory == NULL) {
    close(at);
    return;
  }
  const struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    if (is_dot(entry->d_name) || unlinkat(at, entry->d_name, 0) == 0 || depth == 0) {
      continue;
    }
    int below = openat(at, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0 && errno == EACCES && fchmodat(at, entry->d_name, 0700, 0) == 0) {
      below = openat(at, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (below >= 0) {
      empty_directory(below, depth - 1);
      unlinkat(at, entry->d_name, AT_REMOVEDIR);
    }
  }
  closedir(directory);
}

/* True: what was in it goes with it. */
static bool unmount_user_part(const char *directory) {
  char path[DESKTOP_PATH_MAX + 8];
  snprintf(path, sizeof path, "%s/user", directory);
  return geteuid() == 0 && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}

static void empty_user_part(const char *directory, const struct account *account) {
  pid_t pid = fork();
  if (pid == 0) {
    signals_reset();
    close_range(STDERR_FILENO + 1, ~0U, 0);
    int at = drop_for_good(account) ? open_user_part(directory) : -1;
    if (at >= 0) {
      empty_directory(at, REMOVE_DEPTH_MAX);
    }
    _exit(0);
  }
  /* A file system that hangs must not keep the leader, nor the user, who may stop the child. */
  if (pid > 0 && !wait_for_end(pid, REMOVE_PATIENCE_MS)) {
    kill(pid, SIGKILL);
    wait_for_end(pid, KILL_PATIENCE_MS);
  }
}

void desktop_remove_directory(const char *directory, const struct account *account) {
  if (!unmount_user_part(directory)) {
    empty_user_part(directory, account);
  }
  int at = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (at < 0) {
    return;
  }
  unlinkat(at, "control", 0);
  if (unlinkat(at, "user", AT_REMOVEDIR) != 0 || rmdir(directory) != 0) {
    complain("%s is not removed: %s", directory, strerror(errno));
  }
  close(at);
}

/* ---- the control socket ---- */

int desktop_listen(struct desktop *desktop) {
  int at = open(desktop->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int error = 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  /* By way of the descriptor: the directory's name may be longer than an address. */
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", at);
  mode_t old = umask(0177);
  if (at < 0 || listener < 0 ||
      bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, BACKLOG) != 0) {
    error = errno;
  }
  umask(old);
  if (at >= 0) {
    close(at);
  }
  if (error == 0) {
    desktop->control = listener;
  } else if (listener >= 0) {
    close(listener);
  }
  return error;
}

int desktop_accept(const struct desktop *desktop) {
  int descriptor = accept4(desktop->control, NULL, NULL, SOCK_CLOEXEC);
  if (descriptor < 0) {
    return -1;
  }
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
      peer.uid != geteuid()) {
    complain("a connection to the control socket by uid %u is refused", peer.uid);
    close(descriptor);
    return -1;
  }
  return descriptor;
}

/* ---- descendants ---- */

struct family {
  pid_t pids[DESCENDANTS_MAX];
  size_t count;
  const int *signals;
  size_t signal_count;
};

static pid_t parent_of(pid_t pid) {
  char path[64];
  char text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) {
    close(file);
  }
  if (length <= 0) {
    return -1;
  }
  text[length] = '\0';
  /* The name in parentheses is the process's own choice: what counts is behind the last one. */
  const char *behind = strrchr(text, ')');
  int parent = -1;
  return behind != NULL && sscanf(behind, ") %*c %d", &parent) == 1 ? parent : -1;
}

/* A pid may be somebody else's by now: it is pinned first, then looked at again. */
static void signal_descendant(pid_t pid, pid_t parent, const int *signals, size_t count) {
  int pinned = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pinned < 0) {
    return;
  }
  pid_t now = parent_of(pid);
  if (now == parent || now == getpid()) {
    for (size_t i = 0; i < count; i++) {
      syscall(SYS_pidfd_send_signal, pinned, signals[i], NULL, 0);
    }
  }
  close(pinned);
}

static void add_children_of_thread(struct family *family, pid_t parent, const char *thread) {
  char path[96];
  snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", parent, thread);
  FILE *file = fopen(path, "re");
  if (file == NULL) {
    return; /* it has ended meanwhile */
  }
  int pid;
  while (family->count < DESCENDANTS_MAX && fscanf(file, "%d", &pid) == 1) {
    family->pids[family->count++] = pid;
    if (family->signal_count > 0) {
      signal_descendant(pid, parent, family->signals, family->signal_count); /* while it is there */
    }
  }
  fclose(file);
}

static void add_children(struct family *family, pid_t parent) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", parent);
  DIR *threads = opendir(path);
  if (threads == NULL) {
    return;
  }
  const struct dirent *thread;
  while ((thread = readdir(threads)) != NULL) {
    if (!is_dot(thread->d_name)) {
      add_children_of_thread(family, parent, thread->d_name);
    }
  }
  closedir(threads);
}

size_t descendants_signal(const int *signals, size_t count) {
  struct family *family = calloc(1, sizeof *family);
  if (family == NULL) {
    return 0;
  }
  family->signals = signals;
  family->signal_count = count;
  add_children(family, getpid());
  for (size_t i = 0; i < family->count; i++) {
    add_children(family, family->pids[i]);
  }
  size_t found = family->count;
  free(family);
  return found;
}

size_t children_of_process_kill(void) {
  struct family *family = calloc(1, sizeof *family);
  if (family == NULL) {
    return 0;
  }
  add_children(family, getpid());
  for (size_t i = 0; i < family->count; i++) {
    kill(family->pids[i], SIGKILL);
  }
  size_t found = family->count;
  free(family);
  return found;
}
