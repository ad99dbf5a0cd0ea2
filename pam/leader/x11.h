/*
 * Is there a window on the display? A minimal client of the X11 protocol. It reads what the
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
