/* Displays of X11 forwarding. Runs in: leader and its children. */
#include "x11-forward.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drop.h"
#include "leader.h"

enum { X11_FIRST_PORT = 6000, DISPLAYS_TRIED = 1000, BACKLOG = 5, LAST_PORT = 65535 };
enum { UNDO_PATIENCE_MS = 30000, LOOK_EVERY_US = 10000 };

/* ---- listening ---- */

struct x11_listen_input {
  uint32_t offset;
  bool loopback_only;
  uint8_t family; /* 0: both, 4, 6 */
  bool keeps_number;
  const char *xauth;
};

static socklen_t address_of(uint8_t family, bool loopback_only, uint16_t port,
                            struct sockaddr_storage *address) {
  *address = (struct sockaddr_storage){0};
  if (family == 4) {
    struct sockaddr_in *in = (struct sockaddr_in *)address;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    in->sin_addr.s_addr = htonl(loopback_only ? INADDR_LOOPBACK : INADDR_ANY);
    return sizeof *in;
  }
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(port);
  in6->sin6_addr = loopback_only ? in6addr_loopback : in6addr_any;
  return sizeof *in6;
}

/* -1: errno says why. */
static int bind_one(uint8_t family, bool loopback_only, uint16_t port) {
  struct sockaddr_storage address;
  socklen_t length = address_of(family, loopback_only, port, &address);
  int on = 1;
  int listener = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) {
    return -1;
  }
  /* As sshd: a display of a moment ago may be used again, except where the network reaches it. */
  if ((family == 6 && setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
      (loopback_only && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) ||
      bind(listener, (const struct sockaddr *)&address, length) != 0 ||
      listen(listener, BACKLOG) != 0) {
    int error = errno;
    close(listener);
    errno = error;
    return -1;
  }
  return listener;
}

/* The machine has no such addresses: the other family will do. */
static bool is_absent(int error) {
  return error == EAFNOSUPPORT || error == EINVAL || error == EADDRNOTAVAIL;
}

/* All addresses of a number, or none: someone else's display is not shared. false: try the next. */
static bool bind_display(const struct x11_listen_input *input, uint16_t port, int *sockets) {
  static const uint8_t families[X11_SOCKETS] = {4, 6};
  int count = 0;
  sockets[0] = -1;
  sockets[1] = -1;
  for (int i = 0; i < X11_SOCKETS; i++) {
    if (input->family != 0 && input->family != families[i]) {
      continue;
    }
    int listener = bind_one(families[i], input->loopback_only, port);
    if (listener >= 0) {
      sockets[count++] = listener;
    } else if (!is_absent(errno)) {
      int error = errno;
      while (count > 0) {
        close(sockets[--count]);
      }
      errno = error;
      return false;
    }
  }
  errno = EADDRNOTAVAIL;
  return count > 0;
}

/* A helper_work. */
static void x11_listen(const void *data, struct helper_result *result) {
  const struct x11_listen_input *input = data;
  struct stat status;
  if (stat(input->xauth, &status) != 0) {
    result->error = ENOENT;
    return;
  }
  for (uint32_t i = 0; i < DISPLAYS_TRIED; i++) {
    uint32_t number = input->offset + i;
    if (number > LAST_PORT - X11_FIRST_PORT) {
      break;
    }
    int sockets[X11_SOCKETS];
    if (bind_display(input, (uint16_t)(X11_FIRST_PORT + number), sockets)) {
      result->number = number;
      result->verdict = input->keeps_number ? 1 : 0;
      result->descriptor = sockets[0];
      result->others[0] = sockets[1];
      result->other_count = sockets[1] < 0 ? 0 : 1;
      return;
    }
    if (errno != EADDRINUSE && errno != EACCES) {
      result->error = errno;
      return;
    }
  }
  result->error = EADDRINUSE;
}

static int keep_display(struct x11_displays *displays, const struct helper_result *result) {
  if (displays->count == X11_DISPLAYS_MAX) {
    return EAGAIN;
  }
  struct x11_display display = {.number = result->number, .sockets = {-1, -1}};
  const int given[X11_SOCKETS] = {result->descriptor,
                                  result->other_count > 0 ? result->others[0] : -1};
  for (int i = 0; i < X11_SOCKETS; i++) {
    if (given[i] < 0 || result->verdict == 0) {
      continue;
    }
    display.sockets[i] = fcntl(given[i], F_DUPFD_CLOEXEC, 3);
    if (display.sockets[i] < 0) {
      int error = errno;
      if (display.sockets[0] >= 0) {
        close(display.sockets[0]);
      }
      return error;
    }
  }
  displays->list[displays->count++] = display;
  return 0;
}

static void x11_listens(struct leader *leader, const struct call *call,
                        const struct helper_result *result) {
  int error = result->error == 0 && result->descriptor < 0 ? EMFILE : result->error;
  error = error == 0 ? keep_display(&leader->x11, result) : error;
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
    return;
  }
  const int given[X11_SOCKETS] = {result->descriptor, result->others[0]};
  struct writer writer;
  reply_start(&writer, call);
  write_uint32(&writer, result->number);
  link_reply(&leader->link, call, &writer, given, result->other_count > 0 ? 2 : 1);
}

void order_x11_listen(struct leader *leader, const struct call *call, struct reader *reader) {
  struct x11_listen_input input = {0};
  input.offset = read_uint32(reader);
  input.loopback_only = read_bool(reader);
  input.family = read_byte(reader);
  input.keeps_number = read_bool(reader);
  input.xauth = read_text(reader);
  if (!reader_done(reader)) {
    return;
  }
  int error = 0;
  if (leader->kind != KIND_LOGIN || leader->has_no_session) {
    error = EPERM;
  } else if (reader->has_nul || input.offset > LAST_PORT) {
    error = EINVAL;
  } else {
    error = helper_start(&leader->helpers, &leader->account, call, x11_listen, &input, x11_listens,
                         HELPER_PATIENCE_MS);
  }
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}

/* ---- the undo ---- */

static struct x11_display *display_of(struct x11_displays *displays, uint32_t number) {
  for (size_t i = 0; i < displays->count; i++) {
    if (displays->list[i].number == number) {
      return &displays->list[i];
    }
  }
  return NULL;
}

static void drop_undo(struct x11_display *display) {
  if (display->frame != NULL) {
    free(display->undo.arguments);
    free(display->environment);
    free(display->frame);
    display->frame = NULL;
  }
}

static void forget_display(struct x11_displays *displays, struct x11_display *display) {
  for (int i = 0; i < X11_SOCKETS; i++) {
    if (display->sockets[i] >= 0) {
      close(display->sockets[i]);
    }
  }
  drop_undo(display);
  *display = displays->list[--displays->count];
}

/* Reads display, program and environment from `reader`, which is over memory that stays. */
static bool read_undo(struct reader *reader, uint32_t *number, struct x11_display *into) {
  size_t count;
  *number = read_uint32(reader);
  bool is_good = program_read(reader, &into->undo);
  into->environment = read_texts(reader, LIST_MAX, &count);
  if (is_good && into->environment != NULL && reader_done(reader)) {
    return true;
  }
  if (is_good) {
    free(into->undo.arguments);
  }
  free(into->environment);
  return false;
}

void order_x11_undo(struct leader *leader, const struct call *call, struct reader *reader) {
  struct x11_display read = {0};
  uint32_t number;
  size_t length = reader->left;
  read.frame = malloc(length + 1);
  if (read.frame == NULL) {
    reader->left = 0;
    link_fail(&leader->link, call, ENOMEM, NULL);
    return;
  }
  memcpy(read.frame, reader->at, length);
  struct reader copy;
  reader_start(&copy, read.frame, length);
  if (!read_undo(&copy, &number, &read)) {
    free(read.frame);
    reader->broken = true;
    return;
  }
  reader->left = 0;
  struct x11_display *display = display_of(&leader->x11, number);
  if (display == NULL || display->is_closing || copy.has_nul) {
    drop_undo(&read);
    link_fail(&leader->link, call, copy.has_nul ? EINVAL : ESRCH, NULL);
    return;
  }
  drop_undo(display);
  display->frame = read.frame;
  display->undo = read.undo;
  display->environment = read.environment;
  link_reply_empty(&leader->link, call);
}

static void be_quiet(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
  }
}

/* A helper_work. */
static void run_undo(const void *data, struct helper_result *result) {
  const struct x11_display *display = data;
  be_quiet();
  result->error = program_run(&display->undo, display->environment);
  result->number = display->number;
}

static void undo_is_done(struct leader *leader, const struct call *call,
                         const struct helper_result *result) {
  /* Which of them is known by its call. A failure changes nothing: the display is gone. */
  for (size_t i = 0; i < leader->x11.count; i++) {
    struct x11_display *display = &leader->x11.list[i];
    if (display->is_closing && display->closing_call == call->id) {
      forget_display(&leader->x11, display);
      break;
    }
  }
  link_reply_empty(&leader->link, call);
}

void order_x11_close(struct leader *leader, const struct call *call, struct reader *reader) {
  uint32_t number = read_uint32(reader);
  if (!reader_done(reader)) {
    return;
  }
  struct x11_display *display = display_of(&leader->x11, number);
  if (display == NULL || display->is_closing) {
    link_fail(&leader->link, call, ESRCH, NULL);
    return;
  }
  if (display->frame != NULL &&
      helper_start(&leader->helpers, &leader->account, call, run_undo, display, undo_is_done,
                   UNDO_PATIENCE_MS) == 0) {
    helper_spare(&leader->helpers);
    display->is_closing = true;
    display->closing_call = call->id;
    return;
  }
  forget_display(&leader->x11, display);
  link_reply_empty(&leader->link, call);
}

/* ---- the end ---- */

/* The listeners alone stay open: the number is free when the entry is gone. */
static void close_others(const struct x11_display *display) {
  unsigned from = STDERR_FILENO + 1;
  const int first = display->sockets[0];
  const int second = display->sockets[1];
  const bool is_turned = second >= 0 && second < first;
  const int kept[X11_SOCKETS] = {is_turned ? second : first, is_turned ? first : second};
  for (int i = 0; i < X11_SOCKETS; i++) {
    if (kept[i] >= 0) {
      if ((unsigned)kept[i] > from) {
        close_range(from, (unsigned)kept[i] - 1, 0);
      }
      from = (unsigned)kept[i] + 1;
    }
  }
  close_range(from, ~0U, 0);
}

static pid_t start_undo(const struct leader *leader, const struct x11_display *display) {
  pid_t pid = fork();
  if (pid == 0) {
    signals_reset();
    bool is_user = become_user(&leader->account);
    close_others(display);
    if (is_user) {
      be_quiet();
      program_run(&display->undo, display->environment);
    }
    _exit(0);
  }
  return pid;
}

void x11_close_all(struct leader *leader, int64_t patience_ms) {
  pid_t undoing[X11_DISPLAYS_MAX];
  size_t count = 0;
  for (size_t i = 0; i < leader->x11.count; i++) {
    const struct x11_display *display = &leader->x11.list[i];
    pid_t pid = display->frame == NULL || display->is_closing ? -1 : start_undo(leader, display);
    if (pid > 0) {
      undoing[count++] = pid;
    }
  }
  /* One that is kept waiting, by a lock on the authority file, goes on without us. */
  int64_t deadline = monotonic_ms() + patience_ms;
  while (count > 0) {
    pid_t ended = waitpid(undoing[count - 1], NULL, WNOHANG);
    if (ended != 0) {
      count--;
    } else if (monotonic_ms() > deadline) {
      return;
    } else {
      usleep(LOOK_EVERY_US);
    }
  }
  helpers_wait(&leader->helpers, true, deadline - monotonic_ms());
}
