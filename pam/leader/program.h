/*
 * A program that runs to its end with something on its stdin: rc files and xauth. A secret such as
 * a cookie goes there, never into argv. Runs in: children of a leader that have become the user.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "frame.h"

enum { PROGRAM_INPUT_MAX = 4096 }; /* a pipe takes as much without a reader */

struct program {
  const char *file;
  char **arguments; /* argv[0] first; freed by the caller */
  struct bytes input;
};

/* false: broken, or more input than there may be. `arguments` is NULL then. */
bool program_read(struct reader *reader, struct program *program);
/* Waits for its end. Returns 0, whatever it made of its task, or an errno: it did not run. */
int program_run(const struct program *program, char **environment);

/* Of several the first whose `exists` names something (empty: always) runs. */
struct preparation {
  const char *exists;
  struct program program;
};

enum { PREPARATIONS_MAX = 4 };

struct preparations {
  struct preparation list[PREPARATIONS_MAX];
  size_t count;
};

bool preparations_read(struct reader *reader, struct preparations *preparations);
void preparations_free(struct preparations *preparations);
/* As the user. NULL: there is none. */
const struct program *preparations_choose(const struct preparations *preparations);
