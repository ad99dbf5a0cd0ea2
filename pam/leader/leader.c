/* The loop of a native session leader, and its end. Runs in: leader. */
#include "leader.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "orders.h"
#include "process.h"
#include "tickets.h"

enum { CALL_LOG_TAIL = 13, NOTICE_DESKTOP_ENDED = 18, CALL_END = 19, EXIT_MALFORMED = 65 };
enum { ESSENTIAL_GRACE_MS = 2000, SIGTERM_GRACE_MS = 2000, GRACE_MAX_MS = 30000 };
enum { HELPERS_PATIENCE_MS = 500, UNDO_PATIENCE_MS = 3000, CAUSE_PATIENCE_MS = 500 };
enum { LOOK_EVERY_MS = 20, KILL_PATIENCE_MS = 10000, FRAMES_PER_TURN = 64, REAPED_PER_TURN = 1024 };
enum { RENEWAL_LOOK_MS = 3600000 };
enum { FIXED_SOURCES_MAX = 3 + HELPERS_MAX + 2 * CHILDREN_ROOM };
enum { SOURCES_MAX = FIXED_SOURCES_MAX + AGENT_SOURCES_MAX };

static void nap(void) {
  struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * 1000000L};
  nanosleep(&pause, NULL);
}

/* ---- the end ---- */

/* The monitor may still read the log of what ended, and wait for the end. */
static void obey_while_ending(struct leader *leader) {
  struct reader reader;
  struct call call;
  while (leader->link.descriptor >= 0 && link_receive(&leader->link) == RECEIVED_FRAME &&
         link_head(&leader->link, &reader, &call)) {
    if (call.number == CALL_LOG_TAIL) {
      orders_obey(leader, &call, &reader);
    } else if (call.number == CALL_END && !leader->has_late_end) {
      leader->has_late_end = true;
      leader->late_end = call;
    } else {
      link_fail(&leader->link, &call, EBUSY, NULL);
    }
    link_wipe(&leader->link);
  }
}

static void end_descendants(struct leader *leader, uint32_t grace_ms) {
  const int asked[] = {SIGTERM, SIGCONT};
  const int reminded[] = {SIGHUP, SIGTERM}; /* shells at a terminal do not hear SIGTERM */
  grace_ms = grace_ms > GRACE_MAX_MS ? GRACE_MAX_MS : grace_ms;
  int64_t deadline = monotonic_ms() + grace_ms;
  bool is_reminded = false;
  size_t left = descendants_signal(asked, sizeof asked / sizeof asked[0]);
  while (left > 0 && monotonic_ms() < deadline) {
    if (!is_reminded && monotonic_ms() > deadline - grace_ms / 2) {
      is_reminded = true;
      descendants_signal(reminded, sizeof reminded / sizeof reminded[0]);
    }
    nap();
    obey_while_ending(leader);
    leader_reap(leader);
    left = descendants_signal(NULL, 0);
  }
  /*
   * What a killed one leaves behind becomes a child of this process: none is missed. Against
   * processes that fork faster than they are found, this one must get its share of time, and rest
   * only when nothing has ended.
   */
  int priority = getpriority(PRIO_PROCESS, 0);
  setpriority(PRIO_PROCESS, 0, -20);
  deadline = monotonic_ms() + KILL_PATIENCE_MS;
  while (left > 0 && monotonic_ms() < deadline) {
    left = children_of_process_kill();
    if (left > 0 && leader_reap(leader) == 0) {
      nap();
    }
  }
  setpriority(PRIO_PROCESS, 0, priority);
  if (left > 0) {
    complain("%zu processes cannot be killed", left);
  }
}

void leader_end(struct leader *leader, uint32_t grace_ms, const struct call *call) {
  leader->desktop.is_ending = true;
  desktop_agent_end(&leader->desktop_agent);
  helpers_kill(&leader->helpers);
  listeners_end(&leader->listeners, &leader->account);
  children_hang_up(&leader->children);
  if (leader->kind == KIND_DESKTOP) {
    end_descendants(leader, grace_ms);
  }
  leader_reap(leader);
  if (leader->kind == KIND_LOGIN) {
    helpers_wait(&leader->helpers, false, HELPERS_PATIENCE_MS); /* what they made is there, or is not */
    agent_remove(&leader->agent, &leader->account);
    auth_info_remove(&leader->auth_info, &leader->account);
    children_leave_terminals(&leader->children);
    x11_close_all(leader, UNDO_PATIENCE_MS);
  }
  if (leader->desktop.directory != NULL) {
    desktop_remove_directory(leader->desktop.directory, &leader->account);
  }
  gss_end(leader);
  pam_finish(&leader->pam);
  obey_while_ending(leader);
  if (leader->has_late_end) {
    link_reply_empty(&leader->link, &leader->late_end);
  }
  if (call != NULL) {
    link_reply_empty(&leader->link, call);
  }
  exit(leader->exit_status);
}

/*
 * When the X server dies the session, which has lost its display, may be reaped before it: of several
 * that end together the one that was started first is the reason.
 */
static void note_essential_end(struct leader *leader, const struct child *child, int status) {
  struct desktop *desktop = &leader->desktop;
  if (!child->essential || leader->kind != KIND_DESKTOP ||
      (desktop->is_ending && child->handle > desktop->ended_handle)) {
    return;
  }
  if (!desktop->is_ending) {
    desktop->end_at_ms = monotonic_ms() + CAUSE_PATIENCE_MS;
  }
  desktop->is_ending = true;
  desktop->ended_handle = child->handle;
  if (WIFSIGNALED(status)) {
    int number = WTERMSIG(status);
    snprintf(desktop->reason, sizeof desktop->reason, "%s ended (signal %d, %s)", child->name,
             number, strsignal(number));
  } else {
    snprintf(desktop->reason, sizeof desktop->reason, "%s ended (exit status %d)", child->name,
             WEXITSTATUS(status));
  }
  if (child->log != NULL) {
    if (child->log_pipe >= 0) {
      ring_fill(child->log, child->log_pipe); /* its last words */
    }
    desktop->tail_length = ring_tail(child->log, desktop->tail, sizeof desktop->tail);
  }
}

_Noreturn static void end_desktop(struct leader *leader) {
  struct desktop *desktop = &leader->desktop;
  struct writer writer;
  notice_start(&writer, NOTICE_DESKTOP_ENDED);
  write_text(&writer, desktop->reason);
  write_string(&writer, desktop->tail, desktop->tail_length);
  link_send(&leader->link, &writer, NULL, 0);
  leader_end(leader, ESSENTIAL_GRACE_MS, NULL);
}

static bool may_have_another_cause(const struct leader *leader) {
  for (size_t i = 0; i < leader->children.count; i++) {
    const struct child *child = leader->children.list[i];
    if (child->alive && child->essential && child->handle < leader->desktop.ended_handle) {
      return true;
    }
  }
  return false;
}

static bool is_over(const struct leader *leader) {
  const struct desktop *desktop = &leader->desktop;
  return desktop->is_ending &&
         (!may_have_another_cause(leader) || monotonic_ms() >= desktop->end_at_ms);
}

/* For poll: -1 without a limit. */
static int timeout_of(const struct leader *leader) {
  int timeout = helpers_timeout(&leader->helpers);
  if (leader->desktop.is_ending) {
    int64_t left = leader->desktop.end_at_ms - monotonic_ms();
    left = left < 0 ? 0 : left;
    timeout = timeout < 0 || left < timeout ? (int)left : timeout;
  }
  if (leader->desktop.renew_at_ms != 0) {
    int64_t left = leader->desktop.renew_at_ms - monotonic_ms();
    left = left < 0 ? 0 : left > RENEWAL_LOOK_MS ? RENEWAL_LOOK_MS : left;
    timeout = timeout < 0 || left < timeout ? (int)left : timeout;
  }
  int agent = desktop_agent_timeout(leader);
  return agent >= 0 && (timeout < 0 || agent < timeout) ? agent : timeout;
}

size_t leader_reap(struct leader *leader) {
  int status;
  for (size_t reaped = 0;; reaped++) {
    if (reaped == REAPED_PER_TURN) {
      signals_wake(); /* processes that fork and end without end are not all there is to do */
      return reaped;
    }
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) {
      return reaped;
    }
    struct child *child = children_by_pid(&leader->children, pid);
    if (child != NULL && child->starting) {
      spawn_settle(&leader->children, child, &leader->link);
      child = children_by_pid(&leader->children, pid); /* gone, if execve had failed */
    }
    if (child != NULL) {
      note_essential_end(leader, child, status);
      child_ended(&leader->children, child, status, &leader->link);
    } else {
      helpers_reaped(&leader->helpers, pid); /* else an orphan of the user's */
    }
  }
}

/* ---- the loop ---- */

_Noreturn static void malformed(struct leader *leader, const char *what) {
  complain("malformed %s", what);
  link_close(&leader->link);
  leader->exit_status = EXIT_MALFORMED;
  leader_end(leader, 0, NULL);
}

static void on_link_end(struct leader *leader) {
  if (!leader->desktop.begun) {
    leader_end(leader, ESSENTIAL_GRACE_MS, NULL);
  }
  link_close(&leader->link);
}

static void on_link(struct leader *leader) {
  for (int i = 0; i < FRAMES_PER_TURN && leader->link.descriptor >= 0; i++) {
    enum received received = link_receive(&leader->link);
    if (received == RECEIVED_NOTHING) {
      return;
    }
    if (received == RECEIVED_END) {
      link_wipe(&leader->link);
      on_link_end(leader);
      return;
    }
    struct reader reader;
    struct call call;
    if (received == RECEIVED_BROKEN || !link_head(&leader->link, &reader, &call)) {
      malformed(leader, "frame");
    }
    if (!orders_obey(leader, &call, &reader)) {
      malformed(leader, "order");
    }
    link_wipe(&leader->link);
  }
}

static void on_control(struct leader *leader) {
  int descriptor = desktop_accept(&leader->desktop);
  if (descriptor >= 0) {
    link_replace(&leader->link, descriptor);
  }
}

static size_t gather(const struct leader *leader, struct pollfd *sources) {
  size_t count = 0;
  /* poll passes over descriptors below zero. */
  sources[count++] = (struct pollfd){.fd = signals_descriptor(), .events = POLLIN};
  sources[count++] = (struct pollfd){.fd = leader->link.descriptor, .events = POLLIN};
  sources[count++] = (struct pollfd){.fd = leader->desktop.control, .events = POLLIN};
  for (size_t i = 0; i < leader->helpers.count; i++) {
    int descriptor = leader->helpers.list[i].descriptor;
    sources[count++] = (struct pollfd){.fd = descriptor, .events = POLLIN};
  }
  for (size_t i = 0; i < leader->children.count; i++) {
    const struct child *child = leader->children.list[i];
    sources[count++] = (struct pollfd){.fd = child->error_pipe, .events = POLLIN};
    sources[count++] = (struct pollfd){.fd = child->log_pipe, .events = POLLIN};
  }
  return count;
}

static void on_helper(struct leader *leader, int descriptor) {
  for (size_t i = 0; i < leader->helpers.count; i++) {
    if (leader->helpers.list[i].descriptor == descriptor) {
      helper_finish(leader, &leader->helpers, i);
      return;
    }
  }
}

static void on_child(struct leader *leader, int descriptor) {
  for (size_t i = 0; i < leader->children.count; i++) {
    struct child *child = leader->children.list[i];
    if (child->error_pipe == descriptor) {
      spawn_settle(&leader->children, child, &leader->link);
      return;
    }
    if (child->log_pipe == descriptor) {
      if (ring_fill(child->log, descriptor) == RING_ENDED) {
        close(descriptor);
        child->log_pipe = -1;
      }
      return;
    }
  }
}

static void turn(struct leader *leader) {
  struct pollfd sources[SOURCES_MAX];
  size_t helpers = leader->helpers.count;
  size_t count = gather(leader, sources);
  struct pollfd *agent_sources = sources + count;
  size_t agent_count = desktop_agent_sources(&leader->desktop_agent, agent_sources);
  if (poll(sources, count + agent_count, timeout_of(leader)) < 0 && errno != EINTR) {
    complain("poll: %s", strerror(errno));
    leader_end(leader, 0, NULL);
  }
  bool ended = false;
  signals_drain(&ended);
  if (ended) {
    leader_end(leader, SIGTERM_GRACE_MS, NULL);
  }
  /* The link comes last: orders make new descriptors, whose numbers may be ones of `sources`. */
  for (size_t i = 3; i < count; i++) {
    if (sources[i].fd >= 0 && sources[i].revents != 0) {
      if (i < 3 + helpers) {
        on_helper(leader, sources[i].fd);
      } else {
        on_child(leader, sources[i].fd);
      }
    }
  }
  helpers_expire(leader, &leader->helpers);
  desktop_agent_turn(leader, agent_sources, agent_count);
  tickets_renew(leader);
  leader_reap(leader);
  if (is_over(leader)) {
    end_desktop(leader);
  }
  if (sources[2].revents != 0) {
    on_control(leader);
  } else if (sources[1].revents != 0) {
    on_link(leader);
  }
}

void leader_run(int descriptor) {
  struct leader *leader = calloc(1, sizeof *leader);
  if (leader == NULL || !link_open(&leader->link, descriptor) || !signals_start() ||
      prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || !memory_guard()) {
    complain("cannot start: %s", strerror(errno));
    exit(1);
  }
  leader->is_root = geteuid() == 0;
  if (leader->is_root) {
    /* Or the user would possess what is in the session keyring of whoever started the daemon. */
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS) {
      complain("no session keyring of its own: %s", strerror(errno));
    }
  }
  leader->desktop.control = -1;
  leader->desktop_agent.listener = -1;
  leader->conversation.link = &leader->link;
  leader->children.most = CHILDREN_LOGIN_MAX;
  for (;;) {
    turn(leader);
  }
}
