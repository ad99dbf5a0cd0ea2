/*
 * ChrootDirectory: judged once for a login, and from then on the root of everything that is done as
 * its user. Runs in: leader and its children.
 */
#pragma once
#include <stddef.h>

#include "account.h"

/*
 * The directory `path`, step by step: it and everything above it, links' targets too, belongs to root
 * and can be written by nobody else. What was judged is what the descriptor (O_PATH) is of. -1: sshd's
 * words in `why`.
 */
int chroot_open(const char *path, char *why, size_t room);
/* As root, in a child, in front of the drop. true at once where the account has no such root. */
bool chroot_enter(const struct account *account);
