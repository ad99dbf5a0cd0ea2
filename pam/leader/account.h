/* The account of a name, through NSS. Runs in: leader. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

enum { GROUPS_MAX = 4096, NOBODY = 65534 };

struct account {
  bool exists;
  char *name;
  char *home;
  char *shell;
  uid_t uid;
  gid_t gid;
  gid_t *groups; /* what children get by setgroups */
  size_t group_count;
  bool has_root; /* a ChrootDirectory is in effect: nothing is done outside it */
  int root;      /* it, O_PATH; -1: it cannot be had, so nothing is done at all */
};

/*
 * Looks `name` up. A name that is unknown (or, without root, not the own one) gives an account
 * that does not exist with nobody's ids, so that the same steps can be gone with it.
 * Returns 0 or an errno (the directory service failed).
 */
int account_find(const char *name, struct account *account);
void account_free(struct account *account);
/* The process's own groups become the account's: a PAM module may have added to them. */
bool account_take_groups(struct account *account);
/* 0 executable, 1 missing, 2 not executable. */
int account_shell_state(const struct account *account);
