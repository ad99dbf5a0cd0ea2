/* Becoming the user, for a moment or for good. Runs in: leader and its children. */
#include "drop.h"

#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "chroot.h"
#include "process.h"

enum { WORK_PATIENCE_MS = 1000 };

static bool ids_are(const struct account *account) {
  uid_t uids[3];
  gid_t gids[3];
  if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
      getresgid(&gids[0], &gids[1], &gids[2]) != 0) {
    return false;
  }
  for (int i = 0; i < 3; i++) {
    if (uids[i] != account->uid || gids[i] != account->gid) {
      return false;
    }
  }
  return true;
}

bool drop_ids(const struct account *account) {
  return setgroups(account->group_count, account->groups) == 0 &&
         setresgid(account->gid, account->gid, account->gid) == 0 &&
         setresuid(account->uid, account->uid, account->uid) == 0 && ids_are(account);
}

bool drop_for_good(const struct account *account) {
  if (geteuid() != 0) {
    uid_t uids[3];
    return getresuid(&uids[0], &uids[1], &uids[2]) == 0 && uids[0] == account->uid &&
           uids[1] == account->uid && uids[2] == account->uid;
  }
  if (!drop_ids(account)) {
    return false;
  }
  /* A copy of the leader's memory is in here, and other ids may have made it readable again. */
  return prctl(PR_SET_DUMPABLE, 0) == 0 &&
         (account->uid == 0 || (setuid(0) != 0 && seteuid(0) != 0));
}

bool become_user(const struct account *account) {
  return chroot_enter(account) && drop_for_good(account);
}

void do_as_user(const struct account *account, void (*work)(const void *), const void *input) {
  pid_t pid = fork();
  if (pid == 0) {
    signals_reset();
    if (become_user(account)) {
      work(input);
    }
    _exit(0);
  }
  if (pid > 0 && !wait_for_end(pid, WORK_PATIENCE_MS)) {
    kill(pid, SIGKILL);
    wait_for_end(pid, WORK_PATIENCE_MS);
  }
}

bool drop_effective(const struct account *account) {
  if (geteuid() != 0) {
    return getuid() == account->uid;
  }
  if (setegid(account->gid) != 0) {
    return false;
  }
  if (seteuid(account->uid) != 0) {
    drop_restore();
    return false;
  }
  return true;
}

void drop_restore(void) {
  if (getuid() != 0) {
    return;
  }
  /* Each change of ids sets "dumpable" to fs.suid_dumpable, under which cores may be written. */
  if (seteuid(0) != 0 || setegid(0) != 0 || !memory_guard()) {
    complain("cannot become root again");
    abort();
  }
}
