/*
 * The agent socket of a desktop, for as long as it runs: each connection to it is the monitor's to
 * ask for, and told SSH_AGENT_FAILURE otherwise (draft-ietf-sshm-ssh-agent). Runs in: leader of a
 * desktop.
 */
#pragma once
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "frame.h"
#include "link.h"

enum { AGENT_SOCKETS_MAX = 64, AGENT_SOURCES_MAX = 1 + AGENT_SOCKETS_MAX };

enum agent_state { AGENT_WAITING, AGENT_GIVEN, AGENT_REFUSED };

struct agent_socket {
  uint32_t handle;
  enum agent_state state;
  int descriptor;      /* -1: given, and closed here */
  uint32_t generation; /* of the link whose monitor knows of it */
  int64_t deadline_ms; /* waiting: refused then; refused: closed then */
  uint8_t head[4];     /* of a request that is refused: its length */
  size_t head_length;
  uint32_t body_left;
  uint32_t budget; /* refused: what may be asked yet */
};

struct desktop_agent {
  int listener; /* -1: this desktop has none, or it is ending */
  uint32_t watched_by; /* the generation of the link that asked to be told; 0: none */
  uint32_t last_handle;
  struct agent_socket list[AGENT_SOCKETS_MAX]; /* oldest first */
  size_t count;
  int64_t window_ends_ms; /* no more than so many are accepted before */
  unsigned window_count;
};

struct leader;

/* In the directory `at`, which is the user's, as the user. A listener, or -1 with errno. */
int desktop_agent_bind(int at);
/* Writes at most AGENT_SOURCES_MAX entries. */
size_t desktop_agent_sources(const struct desktop_agent *agent, struct pollfd *sources);
/* What those entries, polled, say. Accepts last: a number that was free may be one of `sources`. */
void desktop_agent_turn(struct leader *leader, const struct pollfd *sources, size_t count);
/* For poll: -1 without a limit. */
int desktop_agent_timeout(const struct leader *leader);
/* Nobody can connect any more; those who are served here are closed. */
void desktop_agent_end(struct desktop_agent *agent);

void order_agent_watch(struct leader *leader, const struct call *call, struct reader *reader);
void order_agent_take(struct leader *leader, const struct call *call, struct reader *reader);
void order_agent_done(struct leader *leader, const struct call *call, struct reader *reader);
