/* The account of a name, through NSS. Runs in: leader. */
#include "account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRY_MAX = 256 * 1024 };

static int find_groups(struct account *account) {
  int room = 64;
  for (;;) {
    gid_t *groups = calloc((size_t)room, sizeof *groups);
    if (groups == NULL) {
      return ENOMEM;
    }
    int count = room;
    if (getgrouplist(account->name, account->gid, groups, &count) >= 0) {
      account->groups = groups;
      account->group_count = (size_t)count;
      return 0;
    }
    free(groups);
    if (room >= GROUPS_MAX) {
      return E2BIG;
    }
    room = count > room ? count : room * 2;
    room = room > GROUPS_MAX ? GROUPS_MAX : room;
  }
}

static int fill(struct account *account, const struct passwd *entry) {
  account->exists = true;
  account->uid = entry->pw_uid;
  account->gid = entry->pw_gid;
  account->name = strdup(entry->pw_name);
  account->home = strdup(entry->pw_dir);
  account->shell = strdup(entry->pw_shell[0] == '\0' ? "/bin/sh" : entry->pw_shell);
  if (account->name == NULL || account->home == NULL || account->shell == NULL) {
    return ENOMEM;
  }
  return find_groups(account);
}

static int fill_unknown(struct account *account, const char *name) {
  *account = (struct account){.uid = NOBODY, .gid = NOBODY};
  account->name = strdup(name);
  account->home = strdup("");
  account->shell = strdup("");
  if (account->name == NULL || account->home == NULL || account->shell == NULL) {
    return ENOMEM;
  }
  int error = find_groups(account); /* for the time that it takes: none of them counts */
  if (error != 0) {
    return error;
  }
  account->groups[0] = NOBODY;
  account->group_count = 1;
  return 0;
}

int account_find(const char *name, struct account *account) {
  *account = (struct account){0};
  size_t room = 4096;
  for (;;) {
    char *buffer = malloc(room);
    if (buffer == NULL) {
      return ENOMEM;
    }
    struct passwd entry;
    struct passwd *found = NULL;
    int error = getpwnam_r(name, &entry, buffer, room, &found);
    if (error == ERANGE && room < ENTRY_MAX) {
      free(buffer);
      room *= 2;
      continue;
    }
    bool own = found != NULL && (geteuid() == 0 || found->pw_uid == getuid());
    /* What getpwnam_r(3) lists as "not found" under several errnos of several libraries. */
    bool failed = error != 0 && error != ENOENT && error != ESRCH && error != EPERM;
    int result = failed ? error : own ? fill(account, found) : fill_unknown(account, name);
    free(buffer);
    return result;
  }
}

void account_free(struct account *account) {
  free(account->name);
  free(account->home);
  free(account->shell);
  free(account->groups);
  *account = (struct account){0};
}

bool account_take_groups(struct account *account) {
  int count = getgroups(0, NULL);
  if (count < 0 || count > GROUPS_MAX) {
    return false;
  }
  gid_t *groups = calloc((size_t)count + 1, sizeof *groups);
  if (groups == NULL) {
    return false;
  }
  count = getgroups(count, groups);
  if (count < 0) {
    free(groups);
    return false;
  }
  free(account->groups);
  account->groups = groups;
  account->group_count = (size_t)count;
  return true;
}

int account_shell_state(const struct account *account) {
  struct stat status;
  if (!account->exists) {
    return 0;
  }
  if (stat(account->shell, &status) != 0) {
    return 1;
  }
  bool executable = (status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0;
  return S_ISREG(status.st_mode) && executable ? 0 : 2;
}
