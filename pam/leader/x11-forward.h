/*
 * Displays of X11 forwarding: listeners bound as the user, and the entry in the user's authority file
 * that goes away with them. Runs in: leader and its children.
 */
#pragma once
#include <stdbool.h>

#include "frame.h"
#include "link.h"
#include "program.h"

enum { X11_DISPLAYS_MAX = 64, X11_SOCKETS = 2 };

struct x11_display {
  uint32_t number;
  /*
   * With keepsNumber duplicates of what the worker accepts from: the number stays taken until its entry in the
   * authority file is gone, or it would be removed from under whoever gets the number next.
   */
  int sockets[X11_SOCKETS]; /* -1: none */
  uint8_t *frame;           /* that holds what `undo` and `environment` point into; NULL: no undo */
  struct program undo;
  char **environment;
  bool is_closing;
  uint32_t closing_call; /* the id of the call that waits for it */
};

struct x11_displays {
  struct x11_display list[X11_DISPLAYS_MAX];
  size_t count;
};

struct leader;
void order_x11_listen(struct leader *leader, const struct call *call, struct reader *reader);
/* What removes the entry: kept for `x11-close` and for the end, when nobody can be asked. */
void order_x11_undo(struct leader *leader, const struct call *call, struct reader *reader);
void order_x11_close(struct leader *leader, const struct call *call, struct reader *reader);
/* At the end of the login: every undo, within `patience_ms`. */
void x11_close_all(struct leader *leader, int64_t patience_ms);
