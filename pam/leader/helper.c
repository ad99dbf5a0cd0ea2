/* Work done as the user in a forked child. Runs in: leader and its children. */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drop.h"
#include "process.h"

enum { DESCRIPTORS_MAX = 1 + HELPER_OTHERS_MAX, LOOK_EVERY_US = 5000 };

static void send_result(int to, const struct helper_result *result) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
    struct cmsghdr align;
  } control = {0};
  size_t others = result->other_count > HELPER_OTHERS_MAX ? HELPER_OTHERS_MAX : result->other_count;
  struct iovec part = {.iov_base = (void *)(uintptr_t)result, .iov_len = sizeof *result};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (result->error == 0 && result->descriptor >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (1 + others));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * (1 + others));
    memcpy(CMSG_DATA(head), &result->descriptor, sizeof(int));
    memcpy(CMSG_DATA(head) + sizeof(int), result->others, others * sizeof(int));
  }
  sendmsg(to, &message, MSG_NOSIGNAL);
}

_Noreturn static void run(const struct account *account, int out, helper_work *work,
                          const void *input) {
  signals_reset();
  setpgid(0, 0); /* the leader does the same: whoever is first */
  bool is_user = become_user(account);
  int to = fcntl(out, F_DUPFD_CLOEXEC, 3);
  if (to < 0 || dup2(to, 3) != 3) {
    _exit(1);
  }
  if (close_range(4, ~0U, 0) != 0) {
    _exit(1);
  }
  struct helper_result result = {.descriptor = -1};
  if (is_user) {
    work(input, &result);
  } else {
    result.error = EPERM;
  }
  send_result(3, &result);
  if (result.ends_group) {
    kill(0, SIGKILL);
  }
  _exit(0);
}

int helper_start(struct helpers *helpers, const struct account *account, const struct call *call,
                 helper_work *work, const void *input, helper_done *done, int64_t patience_ms) {
  if (helpers->count == HELPERS_MAX) {
    return EAGAIN;
  }
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return errno;
  }
  pid_t pid = fork();
  if (pid == 0) {
    run(account, ends[1], work, input);
  }
  int error = errno;
  if (pid > 0) {
    setpgid(pid, pid);
  }
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return error;
  }
  helpers->list[helpers->count++] = (struct helper){
      .pid = pid,
      .descriptor = ends[0],
      .deadline_ms = monotonic_ms() + patience_ms,
      .call = *call,
      .done = done,
  };
  return 0;
}

static struct helper take_out(struct helpers *helpers, size_t index) {
  struct helper helper = helpers->list[index];
  helpers->list[index] = helpers->list[--helpers->count];
  return helper;
}

static void receive_result(int from, struct helper_result *result) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
    struct cmsghdr align;
  } control;
  struct iovec part = {.iov_base = result, .iov_len = sizeof *result};
  struct msghdr message = {
      .msg_iov = &part,
      .msg_iovlen = 1,
      .msg_control = control.bytes,
      .msg_controllen = sizeof control.bytes,
  };
  ssize_t length = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  int descriptors[DESCRIPTORS_MAX];
  size_t count = 0;
  if (length >= 0) {
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_type == SCM_RIGHTS && head->cmsg_len >= CMSG_LEN(0)) {
      count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      count = count > DESCRIPTORS_MAX ? DESCRIPTORS_MAX : count;
      memcpy(descriptors, CMSG_DATA(head), count * sizeof(int));
    }
  }
  if (length != sizeof *result) {
    *result = (struct helper_result){.error = EIO};
  }
  result->text[sizeof result->text - 1] = '\0';
  /* The numbers in the result are the child's; those that came are ours. */
  result->descriptor = count == 0 ? -1 : descriptors[0];
  result->other_count = (uint8_t)(count == 0 ? 0 : count - 1);
  memcpy(result->others, descriptors + 1, result->other_count * sizeof(int));
}

void helper_finish(struct leader *leader, struct helpers *helpers, size_t index) {
  struct helper helper = take_out(helpers, index);
  struct helper_result result = {.descriptor = -1};
  receive_result(helper.descriptor, &result);
  close(helper.descriptor);
  helper.done(leader, &helper.call, &result);
  if (result.descriptor >= 0) {
    close(result.descriptor);
  }
  for (size_t i = 0; i < result.other_count; i++) {
    close(result.others[i]);
  }
}

void helpers_expire(struct leader *leader, struct helpers *helpers) {
  int64_t now = monotonic_ms();
  for (size_t i = helpers->count; i-- > 0;) {
    if (helpers->list[i].deadline_ms > now) {
      continue;
    }
    struct helper helper = take_out(helpers, i);
    if (helper.pid > 0) {
      kill(-helper.pid, SIGKILL); /* and what it has started */
    }
    close(helper.descriptor);
    struct helper_result result = {.error = ETIMEDOUT, .descriptor = -1};
    helper.done(leader, &helper.call, &result);
  }
}

int helpers_timeout(const struct helpers *helpers) {
  int64_t now = monotonic_ms();
  int64_t least = -1;
  for (size_t i = 0; i < helpers->count; i++) {
    int64_t left = helpers->list[i].deadline_ms - now;
    left = left < 0 ? 0 : left;
    least = least < 0 || left < least ? left : least;
  }
  return (int)least;
}

bool helpers_reaped(struct helpers *helpers, pid_t pid) {
  for (size_t i = 0; i < helpers->count; i++) {
    if (helpers->list[i].pid == pid) {
      helpers->list[i].pid = 0;
      return true;
    }
  }
  return false;
}

void helpers_kill(struct helpers *helpers) {
  for (size_t i = 0; i < helpers->count; i++) {
    if (helpers->list[i].pid > 0 && !helpers->list[i].is_spared) {
      kill(-helpers->list[i].pid, SIGKILL);
    }
  }
}

void helper_spare(struct helpers *helpers) {
  helpers->list[helpers->count - 1].is_spared = true;
}

void helpers_wait(struct helpers *helpers, bool spared, int64_t patience_ms) {
  int64_t deadline = monotonic_ms() + patience_ms;
  for (size_t i = 0; i < helpers->count; i++) {
    struct helper *helper = &helpers->list[i];
    if (helper->is_spared && !spared) {
      continue;
    }
    while (helper->pid > 0 && waitpid(helper->pid, NULL, WNOHANG) == 0) {
      if (monotonic_ms() > deadline) {
        return;
      }
      usleep(LOOK_EVERY_US);
    }
    helper->pid = 0;
  }
}
