/*
 * What zygote and leaders do with their own process: title, signals, limits, time.
 * Runs in: zygote, leader, and in children before they become somebody else.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

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
/* In a fork that goes on with handlers of its own: the pipe is the parent's (and closed). */
void signals_forget(void);
/* Empties the pipe. Sets *ended if the process was asked to end since the last time. */
void signals_drain(bool *ended);
/* While true, a request to end ends the process at once: nothing is open that must be closed. */
void signals_expendable(bool expendable);
/* In a child: every disposition back to the default, nothing blocked. */
void signals_reset(void);

/* No core, not dumpable: memory holds passwords. The old limit of cores stays available to users. */
bool memory_guard(void);
/* The limit of cores for the user's processes: the one from before, or what a PAM module set since. */
bool memory_core_limit(struct rlimit *core);
int64_t monotonic_ms(void);
/* `sshdesk: ROLE: …` on stderr, control characters made harmless. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);
