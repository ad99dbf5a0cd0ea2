/*
 * What zygote and leaders do with their own process: title, signals, limits, time.
 * Runs in: zygote, leader, and in children before they become somebody else.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Opens what is closed of 0, 1 and 2, so that no link or file ever gets such a number. */
bool standard_descriptors_start(void);
/* 0, 1 and 2 become /dev/null: whoever started the daemon is not kept waiting for a desktop. */
void standard_descriptors_drop(void);

/*
 * Remembers where argv lies, so that `ps` can show a title, and empties the environment but for the
 * time zone. Executes the program once more if there is too little room for a user's name.
 */
bool title_start(int argc, char **argv);
/* The title as it stands in `ps`; what is not printable is replaced: names are data. */
__attribute__((format(printf, 1, 2))) void title_set(const char *format, ...);

/*
 * SIGCHLD, SIGTERM, SIGINT and SIGHUP wake poll through a pipe; SIGPIPE is ignored. Handlers, not
 * a mask: what PAM modules start must not inherit blocked signals.
 */
bool signals_start(void);
int signals_descriptor(void);
/* Puts handlers and mask back, whatever code of others has made of them. */
bool signals_restore(void);
/* In a fork that goes on with handlers of its own: the pipe is the parent's (and closed). */
void signals_forget(void);
/* Lets poll return at once, as a signal does. */
void signals_wake(void);
/* Empties the pipe. Sets *ended if the process was asked to end since the last time. */
void signals_drain(bool *ended);
/* While true, a request to end ends the process at once: nothing is open that must be closed. */
void signals_expendable(bool expendable);
/* In a child: every disposition back to the default, nothing blocked. */
void signals_reset(void);

/* No core, not dumpable: memory holds passwords. The old limit of cores stays available to users. */
bool memory_guard(void);

/* Limits of resources. PAM's modules set those of the user on the process that called them. */
struct limits {
  struct rlimit of[RLIM_NLIMITS];
};
bool limits_read(struct limits *limits);
/*
 * Reads what is for the user's processes and puts `ours` back: a limit of the user's must not end,
 * or starve, what acts for root. Cores: the limit from before `memory_guard`, or one set since.
 */
bool limits_take(const struct limits *ours, struct limits *users);
bool limits_apply(const struct limits *limits);

int64_t monotonic_ms(void);
/* Waits for a child of this process and reaps it. false: it still runs. */
bool wait_for_end(pid_t pid, int patience_ms);
/* `sshdesk: ROLE: …` on stderr, control characters made harmless. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);
