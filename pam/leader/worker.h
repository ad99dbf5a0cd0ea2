/*
 * Starting a worker, confined (ARCHITECTURE.md §1): what reads the network may see nothing but its
 * own program. Runs in: a child of the zygote, before it becomes the worker.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { WORKER_LIST_MAX = 64, WORKER_READ_ONLY_MAX = 16, WORKER_REPORT_MAX = 4096 };

struct worker_order {
  char **arguments; /* argv[0] is the file, absolute */
  char **environment;
  char **read_only; /* directories, absolute */
  const char *directory;
  uid_t uid; /* 0: ids stay as they are (only without root) */
  gid_t gid;
  bool relaxed;
  int link;
  int standard_error;
};

/*
 * What the starting child writes to `report`: `s` or `f`, an errno in decimal and a text, ended by
 * NUL, for a step that was skipped or that failed. Nothing more comes when execve went well.
 */
_Noreturn void worker_become(const struct worker_order *order, int report);
