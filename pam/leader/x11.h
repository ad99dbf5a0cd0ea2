/*
 * Is there a window on the display, and how large is it? A minimal client of the X11 protocol. It reads what the
 * user's X server says, therefore runs in: a child of a leader, as the user.
 */
#pragma once
#include "helper.h"

struct watch_windows_input {
  const char *socket_path;
  struct bytes cookie;
  uint32_t timeout_ms;
};

/* The result's number: top-level windows that are mapped, viewable and larger than a point. */
helper_work watch_windows;

struct display_size_input {
  const char *socket_path;
  /* A file of one entry, as the broker writes it. */
  struct bytes xauthority;
};

/* The result's number: width << 16 | height of the first screen, as it is now. */
helper_work display_size;
