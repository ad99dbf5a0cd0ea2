/*
 * Who was logged in where: utmp(5), wtmp, lastlog and btmp, as who(1), last(1), lastlog(8) and
 * lastb(1) read them. Files that are not there are not made; a record that cannot be written is
 * complained of and holds nothing up. Runs in: leader, and in a child of the zygote.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"

/* Where a login comes from. `address`: none, if it is not the text of one (-i on pipes). */
struct origin {
  char *host;
  char *address;
};

/* The beginning of a session on the terminal `path` (/dev/pts/N). Needs root, as all of them. */
void record_login(const char *user, uid_t uid, const char *path, const struct origin *origin);
/* Its end. */
void record_logout(const char *path);
/* The end of all sessions that a leader, killed, has left behind. */
void record_lost(pid_t leader);
/* A password that was not the right one. `is_written` false: all but that, which takes as long. */
void record_failure(struct bytes user, const struct origin *origin, bool is_written);

struct last_login {
  int64_t at_s; /* 0: there was none */
  char host[257];
};
void record_last_login(uid_t uid, struct last_login *last);
