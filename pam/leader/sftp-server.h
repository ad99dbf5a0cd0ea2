/* Debian's sftp-server in a ChrootDirectory. Runs in: child of a leader. */
#pragma once
#include "account.h"
#include "spawn.h"

/* The preload object beside this program. -1: errno says why. As root. */
int sftp_server_object(void);
/*
 * What the object finds (subsystems/sftp/enter-root.c): the login's root as working directory, the
 * user's ids, CAP_SYS_CHROOT alone, nothing to be gained by execve. false: the child must exit.
 */
bool sftp_server_drop(const struct account *account);
/* Returns only if it cannot be run: errno says why. */
void sftp_server_run(const struct spawn_order *order);
