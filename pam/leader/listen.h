/* Listening for forwarded ports and Unix sockets, as the user. Runs in: child of a leader. */
#pragma once
#include <sys/types.h>

#include "helper.h"

enum { LISTEN_ADDRESS = 0, LISTEN_LOOPBACK = 1, LISTEN_WILDCARD = 2 };
enum { LISTEN_DONE = 0, LISTEN_REFUSED = 1 };

struct listen_tcp_input {
  uint8_t where;       /* LISTEN_… */
  const char *address; /* a name or number, with LISTEN_ADDRESS */
  uint32_t port;       /* 0: any, the same for every address */
  int family;
};

/*
 * Listens on every address that it can be had on; one is enough. The result's number is the port,
 * its descriptors the listeners (O_NONBLOCK). Otherwise verdict LISTEN_REFUSED, and text says why.
 */
helper_work listen_tcp;

struct listen_unix_input {
  const char *path;
  mode_t mask;
  bool unlink_first;
  const char *not_below; /* empty: anywhere */
};

/* Which file it is: it is removed only as long as it is this one. */
struct listen_unix_file {
  dev_t device;
  ino_t inode;
};

/* The result's text is a `listen_unix_file`; with verdict LISTEN_REFUSED it says why not. */
helper_work listen_unix;

/* Removes the socket of `listen_unix` unless something else has its name by now. */
void listen_unix_remove(const char *path, const struct listen_unix_file *file);
