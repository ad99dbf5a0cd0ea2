/*
 * internal-sftp in a ChrootDirectory: an object that the leader has preloaded into Debian's
 * sftp-server, which so enters the directory by itself: in its first getpwuid, when the dynamic linker
 * is done and before an argument or a byte of the client is looked at. Nothing has to be inside.
 * Runs in: sftp-server, as the user.
 *
 * What it is given (pam/leader/sftp-server.c): the directory as its working directory, CAP_SYS_CHROOT
 * and no other capability, the client's two pipes as 3 and 4, itself as 5. Stdin and stdout are
 * /dev/null until it has entered: where this does not run, the client is not heard.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { CLIENT_IN = 3, CLIENT_OUT = 4, OWN_OBJECT = 5, EXIT_NOT_INSIDE = 255 };

#define EXPORTED __attribute__((visibility("default")))

static bool is_inside;
static struct passwd user;
/* Known without a file, as sshd knows them. */
static struct passwd root_user = {.pw_name = "root", .pw_passwd = "*", .pw_dir = "/"};
static struct group root_group = {.gr_name = "root", .gr_passwd = "*"};

_Noreturn static void refuse(const char *what) {
  dprintf(STDERR_FILENO, "internal-sftp: %s: %s\n", what, strerror(errno));
  _exit(EXIT_NOT_INSIDE);
}

static bool has_capabilities(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3] = {0};
  if (syscall(SYS_capget, &head, held) != 0) {
    return true;
  }
  uint32_t any = 0;
  for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
    any |= held[i].effective | held[i].permitted | held[i].inheritable;
  }
  return any != 0;
}

static bool drop_capabilities(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 &&
         syscall(SYS_capset, &head, none) == 0 && !has_capabilities();
}

static char *copy_of(const char *variable) {
  const char *value = getenv(variable);
  char *copy = strdup(value == NULL ? "" : value);
  if (copy == NULL) {
    refuse(variable);
  }
  return copy;
}

static void enter(void) {
  /* Both are outside: the zone that times are told in, and the way to the log. */
  tzset();
  openlog("internal-sftp", LOG_PID | LOG_NDELAY, LOG_AUTH);
  if (chroot(".") != 0 || chdir("/") != 0) {
    refuse("chroot");
  }
  /* A chroot does not hold root, here or in sshd. */
  if (getuid() != 0 && (!drop_capabilities() || chroot("/") == 0)) {
    refuse("capabilities");
  }
  user = (struct passwd){
      .pw_name = copy_of("USER"),
      .pw_passwd = "*",
      .pw_uid = getuid(),
      .pw_gid = getgid(),
      .pw_gecos = "",
      .pw_dir = copy_of("HOME"),
      .pw_shell = "",
  };
  if (dup2(CLIENT_IN, STDIN_FILENO) < 0 || dup2(CLIENT_OUT, STDOUT_FILENO) < 0 ||
      close(CLIENT_IN) != 0 || close(CLIENT_OUT) != 0 || close(OWN_OBJECT) != 0 ||
      unsetenv("LD_PRELOAD") != 0) {
    refuse("descriptors");
  }
  is_inside = true;
  /* As sshd: where the home is not inside, the root is where it starts, without a word. */
  if (chdir(user.pw_dir) != 0) {
    errno = 0;
  }
}

/*
 * Names come from the directory's own files, if it has any: NSS would load modules from inside, and
 * what is inside may be the user's.
 */
static struct passwd *find_user(const char *name, uid_t uid) {
  FILE *file = fopen("/etc/passwd", "re");
  struct passwd *entry = NULL;
  if (file != NULL) {
    do {
      entry = fgetpwent(file);
    } while (entry != NULL &&
             (name == NULL ? entry->pw_uid != uid : strcmp(entry->pw_name, name) != 0));
    fclose(file);
  }
  return entry;
}

EXPORTED struct passwd *getpwuid(uid_t uid) {
  if (!is_inside) {
    enter();
  }
  if (uid == user.pw_uid || uid == 0) {
    return uid == user.pw_uid ? &user : &root_user;
  }
  return find_user(NULL, uid);
}

EXPORTED struct passwd *getpwnam(const char *name) {
  if (!is_inside) {
    enter();
  }
  return strcmp(name, user.pw_name) == 0 ? &user : find_user(name, 0);
}

EXPORTED struct group *getgrgid(gid_t gid) {
  if (!is_inside) {
    enter();
  }
  if (gid == 0) {
    return &root_group;
  }
  FILE *file = fopen("/etc/group", "re");
  struct group *entry = NULL;
  if (file != NULL) {
    do {
      entry = fgetgrent(file);
    } while (entry != NULL && entry->gr_gid != gid);
    fclose(file);
  }
  return entry;
}

/* It is called behind each line of the log; there is no way back to the log from inside. */
EXPORTED void closelog(void) {}
