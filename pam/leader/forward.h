/*
 * Orders for forwarding: connecting and listening as the user. What listens for a login is known
 * here to the end of it: a listener that a worker has kept is deaf from then on. Runs in: leader.
 */
#pragma once
#include "frame.h"
#include "link.h"
#include "listen.h"

struct leader;
struct account;

enum { LISTENERS_MAX = 256 };

struct listener {
  uint32_t handle;
  bool is_ready;    /* false: it is being made for `call` */
  struct call call;
  int descriptors[1 + HELPER_OTHERS_MAX];
  size_t count;
  char *path; /* of a Unix socket; NULL: a port */
  struct listen_unix_file file;
};

struct listeners {
  struct listener *list; /* NULL: there never was one */
  size_t count;
  uint32_t last_handle;
};

void order_connect_tcp(struct leader *leader, const struct call *call, struct reader *reader);
void order_listen_tcp(struct leader *leader, const struct call *call, struct reader *reader);
void order_listen_unix(struct leader *leader, const struct call *call, struct reader *reader);
void order_close_listener(struct leader *leader, const struct call *call, struct reader *reader);

/* The end of the login: nothing listens any more, and the user's sockets are removed as the user. */
void listeners_end(struct listeners *listeners, const struct account *account);
