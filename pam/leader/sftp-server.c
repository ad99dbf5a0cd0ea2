/*
 * Debian's sftp-server in a ChrootDirectory: it is run outside, where its libraries are, and enters the
 * directory by itself (subsystems/sftp/enter-root.c; docs/decisions/0007). Runs in: child of a leader.
 */
#include "sftp-server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "drop.h"

static char object_variable[] = "LD_PRELOAD=/proc/self/fd/5"; /* CHILD_OBJECT of spawn.c */

int sftp_server_object(void) {
  static const char object[] = "sshdesk-enter-root.so";
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof object);
  char *slash = length < 0 ? NULL : memrchr(path, '/', (size_t)length);
  if (slash == NULL) {
    return -1;
  }
  memcpy(slash + 1, object, sizeof object);
  /* The folder may be closed to the user; through the descriptor the linker gets at it all the same. */
  return open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static bool keep_one_capability(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct one[_LINUX_CAPABILITY_U32S_3] = {0};
  one[CAP_TO_INDEX(CAP_SYS_CHROOT)] = (struct __user_cap_data_struct){
      .effective = CAP_TO_MASK(CAP_SYS_CHROOT),
      .permitted = CAP_TO_MASK(CAP_SYS_CHROOT),
      .inheritable = CAP_TO_MASK(CAP_SYS_CHROOT),
  };
  return syscall(SYS_capset, &head, one) == 0 &&
         prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_CHROOT, 0, 0) == 0;
}

bool sftp_server_drop(const struct account *account) {
  if (account->uid == 0) {
    return drop_for_good(account) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  }
  return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && drop_ids(account) && keep_one_capability() &&
         setuid(0) != 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 &&
         prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

void sftp_server_run(const struct spawn_order *order) {
  size_t count = 0;
  while (order->environment[count] != NULL) {
    count++;
  }
  char **environment = calloc(count + 2, sizeof *environment);
  if (environment == NULL) {
    return;
  }
  memcpy(environment, order->environment, count * sizeof *environment);
  environment[count] = object_variable;
  execve(order->file, order->arguments, environment);
}
