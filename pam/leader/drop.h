/* Becoming the user, for a moment or for good. Runs in: leader and its children. */
#pragma once
#include "account.h"

/* Groups and ids alone. false: some id is not what it should be. */
bool drop_ids(const struct account *account);
/* For good, in a child. false: some id is not what it should be; the child must exit. */
bool drop_for_good(const struct account *account);
/* The same behind the ChrootDirectory, if there is one; before descriptors are closed. */
bool become_user(const struct account *account);
/*
 * A little work in a child that has become the user so, waited for, but not for long: a file system
 * that hangs must not keep the leader.
 */
void do_as_user(const struct account *account, void (*work)(const void *), const void *input);
/* The effective ids only, in the leader: what is made meanwhile belongs to the user. */
bool drop_effective(const struct account *account);
/* Back to root. Ends the process if that is not possible. */
void drop_restore(void);
