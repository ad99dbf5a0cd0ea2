/*
 * A desktop: its directory, the socket by which a new monitor finds it, and its end.
 * Runs in: leader.
 */
#pragma once
#include <sys/types.h>

#include "account.h"
#include "frame.h"

enum { NOTE_MAX = 8192, XAUTHORITY_MAX = 4096, DESKTOP_PATH_MAX = 3584 };

struct desktop {
  bool begun; /* from now on the leader outlives its monitor */
  char *id;
  char *directory;
  char *started_at;
  int control; /* listens; -1: not yet */
  uint8_t note[NOTE_MAX];
  size_t note_length;
  bool is_ending;
  uint32_t ended_handle; /* of the process whose end is the reason */
  int64_t end_at_ms;     /* until then one that started earlier may prove to be the cause */
  char reason[160];
  uint8_t tail[8192];
  size_t tail_length;
  /* As written into the user's file: with it the leader's own children reach the display. */
  uint8_t xauthority[XAUTHORITY_MAX];
  size_t xauthority_length;
  int64_t renew_at_ms; /* its Kerberos tickets; 0: there are none, or none that can be renewed */
  unsigned renewals_failed; /* in a row */
};

struct helper_result;
struct user_part_input {
  const char *directory;
  struct bytes xauthority;
  bool has_agent;
};

/* Makes `directory` and `directory/user`. Returns 0 or an errno (then nothing is left). */
int desktop_make_directory(const char *directory, const struct account *account);
/* A helper_work: what is in `directory/user`, made by the user himself. Its descriptor: the agent. */
void desktop_make_user_part(const void *input, struct helper_result *result);
/* Listens on `directory/control`. Returns 0 or an errno. */
int desktop_listen(struct desktop *desktop);
/* A connection of root's (without root: of the own user's), or -1. */
int desktop_accept(const struct desktop *desktop);
/* Removes `directory`: the user's part as the user, the rest as ourselves. */
void desktop_remove_directory(const char *directory, const struct account *account);

/*
 * Kills the children of this process. Returns how many there were, dead ones included. Nobody else
 * reaps them, so none of the pids can be another's.
 */
size_t children_of_process_kill(void);
/* Signals every descendant of this process. Returns how many there were. */
size_t descendants_signal(const int *signals, size_t count);
