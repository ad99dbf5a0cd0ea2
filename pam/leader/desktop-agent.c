/* The agent socket of a desktop. Runs in: leader of a desktop. */
#include "desktop-agent.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "leader.h"
#include "process.h"

enum { NOTICE_AGENT_WANTED = 96, BACKLOG = 128 };
/* As OpenSSH's ssh-agent. */
enum { REQUEST_MAX = 256 * 1024 };
enum { SSH_AGENT_FAILURE = 5 };
/* A monitor answers at once; a client that is refused may still ask for something else. */
enum { WAITING_PATIENCE_MS = 10000, REFUSED_PATIENCE_MS = 30000 };
/* ansible asks from dozens of processes; what asks faster waits in the kernel. */
enum { WINDOW_MS = 1000, WINDOW_MOST = 128 };
/* Of bytes and answers on one connection that is refused: this process is root's, its time not the user's. */
enum { REFUSED_BUDGET = 1024 * 1024, ANSWER_COSTS = 32 * 1024 };

int desktop_agent_bind(int at) {
  const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "agent"};
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  /* A child of its own: nobody else's files get this directory and this mask. */
  umask(0177);
  if (listener < 0 || fchdir(at) != 0 ||
      bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, BACKLOG) != 0) {
    int error = errno;
    if (listener >= 0) {
      close(listener);
    }
    errno = error;
    return -1;
  }
  return listener;
}

/* ---- those that there are ---- */

static void take_out(struct desktop_agent *agent, size_t index) {
  struct agent_socket *socket = &agent->list[index];
  if (socket->descriptor >= 0) {
    close(socket->descriptor);
  }
  agent->count--;
  memmove(socket, socket + 1, (agent->count - index) * sizeof *socket);
}

static void refuse(struct agent_socket *socket) {
  socket->state = AGENT_REFUSED;
  socket->budget = REFUSED_BUDGET;
  socket->deadline_ms = monotonic_ms() + REFUSED_PATIENCE_MS;
}

static bool is_watched(const struct leader *leader) {
  return leader->link.descriptor >= 0 &&
         leader->desktop_agent.watched_by == leader->link.generation;
}

/* AGENT_SOCKETS_MAX: there is none. */
static size_t oldest_refused(const struct desktop_agent *agent) {
  for (size_t i = 0; i < agent->count; i++) {
    if (agent->list[i].state == AGENT_REFUSED) {
      return i;
    }
  }
  return AGENT_SOCKETS_MAX;
}

static bool has_room(const struct desktop_agent *agent) {
  return agent->count < AGENT_SOCKETS_MAX || oldest_refused(agent) < AGENT_SOCKETS_MAX;
}

static bool is_paced(const struct desktop_agent *agent) {
  return agent->window_count >= WINDOW_MOST;
}

/* Its monitor has gone, and has told nobody what became of it. */
static bool is_lost(const struct leader *leader, const struct agent_socket *socket) {
  return socket->state != AGENT_REFUSED && (leader->link.descriptor < 0 ||
                                            socket->generation != leader->link.generation);
}

/* ---- accepting ---- */

static void count_accepted(struct desktop_agent *agent, unsigned number) {
  if (agent->window_count == 0) {
    agent->window_ends_ms = monotonic_ms() + WINDOW_MS;
  }
  agent->window_count += number;
}

/* The user may open the directory to others; his client's keys are not theirs. Root, as ssh-agent. */
static bool is_owner(const struct leader *leader, int descriptor) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         (peer.uid == leader->account.uid || peer.uid == 0);
}

static void tell(struct leader *leader, const struct agent_socket *socket) {
  struct writer writer;
  notice_start(&writer, NOTICE_AGENT_WANTED);
  write_uint32(&writer, socket->handle);
  link_send(&leader->link, &writer, NULL, 0);
}

/* Whoever was refused first has had longest: silence must not lock others out. */
static void admit(struct leader *leader, int descriptor) {
  struct desktop_agent *agent = &leader->desktop_agent;
  if (agent->count == AGENT_SOCKETS_MAX) {
    take_out(agent, oldest_refused(agent));
  }
  struct agent_socket *socket = &agent->list[agent->count++];
  *socket = (struct agent_socket){
      .handle = ++agent->last_handle,
      .state = AGENT_WAITING,
      .descriptor = descriptor,
      .generation = leader->link.generation,
      .deadline_ms = monotonic_ms() + WAITING_PATIENCE_MS,
  };
  if (is_watched(leader)) {
    tell(leader, socket);
  } else {
    refuse(socket);
  }
}

static void accept_all(struct leader *leader) {
  struct desktop_agent *agent = &leader->desktop_agent;
  while (has_room(agent) && !is_paced(agent)) {
    int descriptor = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor < 0) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        count_accepted(agent, WINDOW_MOST); /* out of descriptors: a moment later there may be some */
      }
      return;
    }
    count_accepted(agent, 1);
    if (is_owner(leader, descriptor)) {
      admit(leader, descriptor);
    } else {
      close(descriptor);
    }
  }
}

/* ---- refusing ---- */

static bool spend(struct agent_socket *socket, size_t much) {
  bool has_it = much <= socket->budget;
  socket->budget = has_it ? socket->budget - (uint32_t)much : 0;
  return has_it;
}

/* false: it is no request, its sender does not read, or has asked enough. */
static bool pass_over(struct agent_socket *socket, const uint8_t *bytes, size_t length) {
  static const uint8_t failure[] = {0, 0, 0, 1, SSH_AGENT_FAILURE};
  while (length > 0) {
    if (socket->head_length < sizeof socket->head) {
      socket->head[socket->head_length++] = *bytes++;
      length--;
      if (socket->head_length < sizeof socket->head) {
        continue;
      }
      socket->body_left = (uint32_t)socket->head[0] << 24 | (uint32_t)socket->head[1] << 16 |
                          (uint32_t)socket->head[2] << 8 | socket->head[3];
      if (socket->body_left == 0 || socket->body_left > REQUEST_MAX) {
        return false;
      }
    }
    size_t passed = length < socket->body_left ? length : socket->body_left;
    bytes += passed;
    length -= passed;
    socket->body_left -= (uint32_t)passed;
    if (socket->body_left == 0) {
      socket->head_length = 0;
      socket->deadline_ms = monotonic_ms() + REFUSED_PATIENCE_MS;
      if (!spend(socket, ANSWER_COSTS) ||
          send(socket->descriptor, failure, sizeof failure, MSG_DONTWAIT | MSG_NOSIGNAL) !=
              (ssize_t)sizeof failure) {
        return false;
      }
    }
  }
  return true;
}

static bool answer(struct agent_socket *socket) {
  uint8_t bytes[4096];
  ssize_t length = read(socket->descriptor, bytes, sizeof bytes);
  bool is_going_on = length > 0 ? spend(socket, (size_t)length) &&
                                      pass_over(socket, bytes, (size_t)length)
                                : length < 0 && (errno == EAGAIN || errno == EINTR);
  explicit_bzero(bytes, sizeof bytes); /* it may be a key that was to be added */
  return is_going_on;
}

/* ---- the loop ---- */

size_t desktop_agent_sources(const struct desktop_agent *agent, struct pollfd *sources) {
  size_t count = 0;
  bool accepts = agent->listener >= 0 && has_room(agent) && !is_paced(agent);
  /* poll passes over descriptors below zero. */
  sources[count++] = (struct pollfd){.fd = accepts ? agent->listener : -1, .events = POLLIN};
  for (size_t i = 0; i < agent->count; i++) {
    if (agent->list[i].state == AGENT_REFUSED) {
      sources[count++] = (struct pollfd){.fd = agent->list[i].descriptor, .events = POLLIN};
    }
  }
  return count;
}

static void on_refused(struct desktop_agent *agent, int descriptor) {
  for (size_t i = 0; i < agent->count; i++) {
    struct agent_socket *socket = &agent->list[i];
    if (socket->state == AGENT_REFUSED && socket->descriptor == descriptor) {
      if (!answer(socket)) {
        take_out(agent, i);
      }
      return;
    }
  }
}

static void expire(struct leader *leader) {
  struct desktop_agent *agent = &leader->desktop_agent;
  int64_t now = monotonic_ms();
  if (now >= agent->window_ends_ms) {
    agent->window_count = 0;
  }
  for (size_t i = 0; i < agent->count;) {
    struct agent_socket *socket = &agent->list[i];
    bool is_late = now >= socket->deadline_ms;
    if ((socket->state == AGENT_GIVEN && is_lost(leader, socket)) ||
        (socket->state == AGENT_REFUSED && is_late)) {
      take_out(agent, i);
      continue;
    }
    if (socket->state == AGENT_WAITING && (is_late || is_lost(leader, socket))) {
      refuse(socket);
    }
    i++;
  }
}

void desktop_agent_turn(struct leader *leader, const struct pollfd *sources, size_t count) {
  struct desktop_agent *agent = &leader->desktop_agent;
  for (size_t i = 1; i < count; i++) {
    if (sources[i].revents != 0) {
      on_refused(agent, sources[i].fd);
    }
  }
  expire(leader);
  if (count > 0 && sources[0].fd >= 0 && sources[0].revents != 0) {
    accept_all(leader);
  }
}

int desktop_agent_timeout(const struct leader *leader) {
  const struct desktop_agent *agent = &leader->desktop_agent;
  int64_t first = -1;
  for (size_t i = 0; i < agent->count; i++) {
    const struct agent_socket *socket = &agent->list[i];
    if (is_lost(leader, socket)) {
      return 0;
    }
    if (socket->state != AGENT_GIVEN && (first < 0 || socket->deadline_ms < first)) {
      first = socket->deadline_ms;
    }
  }
  if (is_paced(agent) && (first < 0 || agent->window_ends_ms < first)) {
    first = agent->window_ends_ms;
  }
  int64_t left = first < 0 ? -1 : first - monotonic_ms();
  return first < 0 ? -1 : left < 0 ? 0 : (int)left;
}

void desktop_agent_end(struct desktop_agent *agent) {
  if (agent->listener >= 0) {
    close(agent->listener);
    agent->listener = -1;
  }
  while (agent->count > 0) {
    take_out(agent, agent->count - 1);
  }
}

/* ---- orders ---- */

void order_agent_watch(struct leader *leader, const struct call *call, struct reader *reader) {
  if (!reader_done(reader)) {
    return;
  }
  leader->desktop_agent.watched_by = leader->link.generation;
  link_reply_empty(&leader->link, call);
}

/* Known to the monitor of this link, or NULL. */
static struct agent_socket *known(struct leader *leader, uint32_t handle) {
  struct desktop_agent *agent = &leader->desktop_agent;
  for (size_t i = 0; i < agent->count; i++) {
    struct agent_socket *socket = &agent->list[i];
    if (socket->handle == handle && socket->generation == leader->link.generation) {
      return socket;
    }
  }
  return NULL;
}

void order_agent_take(struct leader *leader, const struct call *call, struct reader *reader) {
  uint32_t handle = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  struct agent_socket *socket = known(leader, handle);
  if (socket == NULL || socket->state != AGENT_WAITING) {
    link_fail(&leader->link, call, ENOENT, NULL); /* it was made to wait for too long */
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  link_reply(&leader->link, call, &writer, &socket->descriptor, 1);
  close(socket->descriptor);
  socket->descriptor = -1;
  socket->state = AGENT_GIVEN;
}

void order_agent_done(struct leader *leader, const struct call *call, struct reader *reader) {
  uint32_t handle = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  struct agent_socket *socket = known(leader, handle);
  if (socket != NULL && socket->state == AGENT_WAITING) {
    refuse(socket);
  } else if (socket != NULL && socket->state == AGENT_GIVEN) {
    take_out(&leader->desktop_agent, (size_t)(socket - leader->desktop_agent.list));
  }
  link_reply_empty(&leader->link, call);
}
