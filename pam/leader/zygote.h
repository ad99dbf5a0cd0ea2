/*
 * Forks leaders, starts workers, binds ports: the orders of zygote-protocol.ts and nothing else.
 * Runs in: zygote.
 */
#pragma once
#include <sys/resource.h>

/* Owns `descriptor`. Ends with its link. */
/* soft_files: the soft limit of open files that the daemon was started with. */
_Noreturn void zygote_run(int descriptor, rlim_t soft_files);
