/*
 * Becoming a confined worker: own namespaces, a root of a few read-only directories, no ids, no
 * capabilities. Runs in: a child of the zygote.
 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"

enum { BINDS_MAX = WORKER_READ_ONLY_MAX + 12, MOVED_FROM = 10 };
enum { WORKER_LINK = 3 };

/* A directory or file that the new root holds; `target` is not NULL for a symbolic link. */
struct bind {
  char path[PATH_MAX];
  char *target;
  int tree;
  bool is_directory;
};

struct confinement {
  const struct worker_order *order;
  int report;
  bool is_root;
  bool failed; /* of the mount namespace: the steps that need it are passed over */
  struct bind *binds;
  size_t count;
  const char *place; /* of the new root: what is being worked at, for the report */
};

__attribute__((format(printf, 3, 4))) static void tell(int report, char kind, const char *format,
                                                       ...) {
  char text[300];
  int error = errno;
  int length = snprintf(text, sizeof text, "%c%d ", kind, error);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + length, sizeof text - (size_t)length, format, arguments);
  va_end(arguments);
  ssize_t written = write(report, text, strlen(text) + 1);
  (void)written; /* the zygote is gone: so is the link to the monitor, and the worker will end */
}

_Noreturn static void fail(const struct confinement *confinement, const char *step) {
  tell(confinement->report, 'f', "%s: %s", step, strerror(errno));
  _exit(1);
}

/* A step of the confinement that may be missing when the administrator, or the lack of root, says so. */
static void miss(struct confinement *confinement, const char *step) {
  if (confinement->is_root && !confinement->order->relaxed) {
    fail(confinement, step);
  }
  tell(confinement->report, 's', "%s: %s", step, strerror(errno));
}

/* ---- namespaces ---- */

static bool write_file(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  bool written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
  int error = errno;
  if (file >= 0) {
    close(file);
  }
  errno = error;
  return written;
}

/* Without root, a user namespace gives the right to the others; the ids in it are the same. */
static bool enter_user_namespace(void) {
  char uids[64];
  char gids[64];
  snprintf(uids, sizeof uids, "%u %u 1", getuid(), getuid());
  snprintf(gids, sizeof gids, "%u %u 1", getgid(), getgid());
  /* The files of /proc/self belong to root while the process is not dumpable. */
  prctl(PR_SET_DUMPABLE, 1);
  bool entered = unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/uid_map", uids) &&
                 write_file("/proc/self/setgroups", "deny") &&
                 write_file("/proc/self/gid_map", gids);
  int error = errno;
  prctl(PR_SET_DUMPABLE, 0);
  errno = error;
  return entered;
}

static void enter_namespaces(struct confinement *confinement) {
  if (!confinement->is_root && !enter_user_namespace()) {
    miss(confinement, "user namespace");
    confinement->failed = true;
  }
  if (unshare(CLONE_NEWNET) != 0) {
    miss(confinement, "network namespace");
  }
  if (unshare(CLONE_NEWIPC) != 0) {
    miss(confinement, "IPC namespace");
  }
  if (confinement->failed) {
    return;
  }
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
    miss(confinement, "mount namespace");
    confinement->failed = true;
  }
}

/* ---- the new root ---- */

static bool is_below(const char *path, const char *directory) {
  size_t length = strlen(directory);
  return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static struct bind *next_bind(struct confinement *confinement, const char *path) {
  if (confinement->count == BINDS_MAX || strlen(path) >= PATH_MAX / 2) {
    errno = E2BIG;
    return NULL;
  }
  struct bind *bind = &confinement->binds[confinement->count++];
  *bind = (struct bind){.tree = -1};
  strcpy(bind->path, path);
  return bind;
}

/*
 * A detached copy of the mount at `path`, taken while the whole file system is still visible: a
 * checkout below a home that only its owner may enter is reached here with the zygote's rights.
 */
static bool add_tree(struct confinement *confinement, const char *path, bool is_device) {
  confinement->place = path;
  for (size_t i = 0; i < confinement->count; i++) {
    if (confinement->binds[i].is_directory && is_below(path, confinement->binds[i].path)) {
      return true; /* is there already */
    }
  }
  struct stat status;
  struct bind *bind = next_bind(confinement, path);
  if (bind == NULL || stat(path, &status) != 0) {
    return false;
  }
  bind->is_directory = S_ISDIR(status.st_mode);
  unsigned recursive = bind->is_directory ? AT_RECURSIVE : 0;
  bind->tree = (int)syscall(SYS_open_tree, AT_FDCWD, path,
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
  if (bind->tree < 0) {
    return false;
  }
  struct mount_attr attributes = {
      .attr_set = MOUNT_ATTR_NOSUID | (is_device ? 0 : MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV),
  };
  return syscall(SYS_mount_setattr, bind->tree, "", AT_EMPTY_PATH | recursive, &attributes,
                 sizeof attributes) == 0;
}

/* /lib is a link to usr/lib on most systems: the dynamic linker is named by way of it. */
static bool add_library(struct confinement *confinement, const char *path) {
  struct stat status;
  if (lstat(path, &status) != 0) {
    return errno == ENOENT;
  }
  if (!S_ISLNK(status.st_mode)) {
    return add_tree(confinement, path, false);
  }
  char target[PATH_MAX];
  ssize_t length = readlink(path, target, sizeof target - 1);
  struct bind *bind = length < 0 ? NULL : next_bind(confinement, path);
  if (bind == NULL) {
    return false;
  }
  target[length] = '\0';
  bind->target = strdup(target);
  return bind->target != NULL;
}

static bool gather_trees(struct confinement *confinement) {
  static const char *const libraries[] = {"/usr/lib", "/usr/lib64", "/lib", "/lib64"};
  static const char *const devices[] = {"/dev/null", "/dev/urandom", "/dev/random"};
  for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
    if (!add_library(confinement, libraries[i])) {
      return false;
    }
  }
  for (char **path = confinement->order->read_only; *path != NULL; path++) {
    if (!add_tree(confinement, *path, false)) {
      return false;
    }
  }
  if (!add_tree(confinement, confinement->order->arguments[0], false)) {
    return false;
  }
  for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
    if (!add_tree(confinement, devices[i], true)) {
      return false;
    }
  }
  return true;
}

/* Makes what leads to `path` (absolute) below the current directory, and `path` itself if asked. */
static bool make_parents(const char *path) {
  char part[PATH_MAX + 2];
  snprintf(part, sizeof part, ".%s", path);
  for (char *slash = strchr(part + 2, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    if (mkdir(part, 0755) != 0 && errno != EEXIST) {
      return false;
    }
    *slash = '/';
  }
  return true;
}

static bool make_place(const struct bind *bind) {
  char place[PATH_MAX + 2];
  snprintf(place, sizeof place, ".%s", bind->path);
  if (!make_parents(bind->path)) {
    return false;
  }
  if (bind->target != NULL) {
    return symlink(bind->target, place) == 0;
  }
  if (bind->is_directory) {
    if (mkdir(place, 0755) != 0 && errno != EEXIST) {
      return false;
    }
  } else {
    int file = open(place, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (file < 0) {
      return false;
    }
    close(file);
  }
  return syscall(SYS_move_mount, bind->tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

/* Outer directories first: a bind below another one must come to lie on top of it. */
static int by_length(const void *a, const void *b) {
  size_t first = strlen(((const struct bind *)a)->path);
  size_t second = strlen(((const struct bind *)b)->path);
  return first < second ? -1 : first > second;
}

static bool change_root(struct confinement *confinement) {
  if (!gather_trees(confinement)) {
    return false;
  }
  confinement->place = "/tmp";
  if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m,nr_inodes=1k") != 0 ||
      chdir("/tmp") != 0) {
    return false;
  }
  qsort(confinement->binds, confinement->count, sizeof *confinement->binds, by_length);
  mode_t old = umask(022);
  for (size_t i = 0; i < confinement->count; i++) {
    confinement->place = confinement->binds[i].path;
    if (!make_place(&confinement->binds[i])) {
      return false;
    }
  }
  umask(old);
  confinement->place = "/";
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  return syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 &&
         chdir("/") == 0 &&
         syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof attributes) == 0;
}

/* ---- ids and capabilities ---- */

/*
 * libuv makes its rings before any code of ours runs, and a ring is a way around a later seccomp
 * filter: it is told that the kernel has none, and keeps to epoll. The worker's own filter comes on
 * top of this one.
 */
static void refuse_io_uring(struct confinement *confinement) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
    miss(confinement, "seccomp");
  }
}

static void drop_bounding_set(struct confinement *confinement) {
  for (int capability = 0; capability < 64; capability++) {
    int held = prctl(PR_CAPBSET_READ, capability);
    if (held < 0) {
      return; /* beyond the last one */
    }
    if (held == 1 && prctl(PR_CAPBSET_DROP, capability) != 0) {
      miss(confinement, "bounding set");
      return;
    }
  }
}

static void drop_ids(struct confinement *confinement) {
  const struct worker_order *order = confinement->order;
  if (!confinement->is_root) {
    return;
  }
  if (setgroups(0, NULL) != 0) {
    fail(confinement, "setgroups");
  }
  if (setresgid(order->gid, order->gid, order->gid) != 0) {
    fail(confinement, "setresgid");
  }
  if (setresuid(order->uid, order->uid, order->uid) != 0) {
    fail(confinement, "setresuid");
  }
  errno = EPERM;
  if (setuid(0) == 0 || getuid() != order->uid || geteuid() != order->uid ||
      getegid() != order->gid) {
    fail(confinement, "the ids can be taken back");
  }
}

/* What it may not read it would find out about after execve, in words that name no remedy. */
static void check_readable(const struct confinement *confinement) {
  for (char **path = confinement->order->read_only; *path != NULL; path++) {
    /* One that is not there has been told when it was to be bound. */
    if (access(*path, R_OK | X_OK) != 0 && errno != ENOENT) {
      fail(confinement, *path);
    }
  }
  for (char **argument = confinement->order->arguments; *argument != NULL; argument++) {
    if ((*argument)[0] == '/' && access(*argument, R_OK) != 0) {
      fail(confinement, *argument);
    }
  }
}

/* ---- descriptors ---- */

/* null → 0 and 1, stderr → 2, link → 3, report → 4 (closed by execve), nothing else. */
static void place_descriptors(struct confinement *confinement) {
  const struct worker_order *order = confinement->order;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int from[5] = {null, null, order->standard_error, order->link, confinement->report};
  for (int i = 0; i < 5; i++) {
    from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, MOVED_FROM);
    if (from[i] < 0) {
      fail(confinement, "descriptors");
    }
  }
  confinement->report = from[4];
  for (int i = 0; i <= WORKER_LINK; i++) {
    if (dup2(from[i], i) != i) {
      fail(confinement, "descriptors");
    }
  }
  if (dup3(from[4], WORKER_LINK + 1, O_CLOEXEC) < 0) {
    fail(confinement, "descriptors");
  }
  confinement->report = WORKER_LINK + 1;
}

void worker_become(const struct worker_order *order, int report) {
  struct confinement confinement = {
      .order = order,
      .report = report,
      .is_root = geteuid() == 0,
  };
  const struct rlimit no_core = {0, 0};
  signals_reset();
  confinement.binds = calloc(BINDS_MAX, sizeof *confinement.binds);
  if (confinement.binds == NULL || setsid() < 0) {
    fail(&confinement, "start");
  }
  if (setrlimit(RLIMIT_CORE, &no_core) != 0) {
    fail(&confinement, "RLIMIT_CORE");
  }
  place_descriptors(&confinement);
  enter_namespaces(&confinement);
  if (!confinement.failed && !change_root(&confinement)) {
    int error = errno;
    char step[PATH_MAX + 20];
    snprintf(step, sizeof step, "root directory (%s)", confinement.place);
    errno = error;
    miss(&confinement, step);
  }
  if (close_range(WORKER_LINK + 2, ~0U, 0) != 0) {
    fail(&confinement, "close_range");
  }
  if (chdir(order->directory) != 0) {
    fail(&confinement, order->directory);
  }
  drop_bounding_set(&confinement);
  drop_ids(&confinement);
  check_readable(&confinement);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    fail(&confinement, "no_new_privs");
  }
  refuse_io_uring(&confinement);
  /* One that hangs would not see its link end. A change of ids would have undone this. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    fail(&confinement, "parent's death");
  }
  execve(order->arguments[0], order->arguments, order->environment);
  fail(&confinement, order->arguments[0]);
}
