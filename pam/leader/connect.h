/* Connecting to a socket as the user. Runs in: child of a leader. */
#pragma once
#include "helper.h"

/* Returns a connected stream socket, or -1 with errno. */
int connect_unix_path(const char *path);
/*
 * 0, EACCES when what `held` (O_PATH) stands for lies at or below `not_below`, or why it cannot be told.
 */
int check_place(const char *not_below, int held);

struct connect_unix_input {
  const char *path;
  const char *not_below; /* empty: anywhere */
};

/* EACCES: by whatever name, the socket lies below that directory. */
helper_work connect_unix;

enum { CONNECT_DONE = 0, CONNECT_UNKNOWN_HOST = 1, CONNECT_FAILED = 2 };

struct connect_tcp_input {
  const char *host;
  uint32_t port;
  int family; /* AF_UNSPEC, AF_INET, AF_INET6 */
  int64_t patience_ms;
};

/*
 * Looks the name up and tries its addresses one after another. The result's verdict is one of the
 * above, its text why not, as people read it. Descriptor: connected, O_NONBLOCK, TCP_NODELAY.
 */
helper_work connect_tcp;
