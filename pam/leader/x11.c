/*
 * Is there a window on the display, and how large is it? Requests and replies of the X11 protocol, Encoding appendix.
 * Runs in: a child of a leader, as the user.
 */
#include "x11.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "connect.h"
#include "process.h"

enum {
  LOOK_EVERY_MS = 200,
  SIZE_PATIENCE_MS = 1000,
  WINDOWS_MAX = 4096,
  SETUP_MAX = 256 * 1024,
  GET_WINDOW_ATTRIBUTES = 3,
  GET_GEOMETRY = 14,
  QUERY_TREE = 15,
  CLASS_INPUT_OUTPUT = 1,
  MAP_STATE_VIEWABLE = 2,
};

struct display {
  int descriptor;
  uint32_t root;
  uint16_t width;
  uint16_t height;
  int64_t deadline_ms;
};

static uint16_t get16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint32_t get32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static bool wait_for(const struct display *display, short events) {
  int64_t left = display->deadline_ms - monotonic_ms();
  struct pollfd one = {.fd = display->descriptor, .events = events};
  return left > 0 && poll(&one, 1, (int)left) == 1;
}

static bool send_all(const struct display *display, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    if (!wait_for(display, POLLOUT)) {
      return false;
    }
    ssize_t sent = send(display->descriptor, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return false;
    }
    if (sent > 0) {
      bytes += sent;
      length -= (size_t)sent;
    }
  }
  return true;
}

static bool receive_all(const struct display *display, uint8_t *bytes, size_t length) {
  while (length > 0) {
    if (!wait_for(display, POLLIN)) {
      return false;
    }
    ssize_t received = recv(display->descriptor, bytes, length, MSG_DONTWAIT);
    if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR)) {
      return false;
    }
    if (received > 0) {
      bytes += received;
      length -= (size_t)received;
    }
  }
  return true;
}

/* The first screen stands behind the vendor's name and the pixmap formats. */
static bool find_root(struct display *display, const uint8_t *setup, size_t length) {
  if (length < 32) {
    return false;
  }
  size_t vendor = get16(setup + 16);
  size_t formats = setup[21];
  size_t screen = 32 + ((vendor + 3) & ~(size_t)3) + formats * 8;
  if (setup[20] == 0 || screen + 24 > length) {
    return false;
  }
  display->root = get32(setup + screen);
  display->width = get16(setup + screen + 20);
  display->height = get16(setup + screen + 22);
  return true;
}

static bool greet(struct display *display, struct bytes cookie) {
  static const char name[] = "MIT-MAGIC-COOKIE-1";
  uint8_t hello[12 + 20 + 256] = {0};
  uint16_t one = 1;
  uint16_t numbers[4] = {11, 0, sizeof name - 1, (uint16_t)cookie.length};
  if (cookie.length > 256) {
    return false;
  }
  hello[0] = *(const uint8_t *)&one == 1 ? 'l' : 'B'; /* the byte order of this machine */
  memcpy(hello + 2, numbers, sizeof numbers);
  memcpy(hello + 12, name, sizeof name - 1);
  memcpy(hello + 32, cookie.at, cookie.length);
  uint8_t head[8];
  if (!send_all(display, hello, 32 + ((cookie.length + 3) & ~(size_t)3)) ||
      !receive_all(display, head, sizeof head) || head[0] != 1) {
    return false;
  }
  size_t length = (size_t)get16(head + 6) * 4;
  uint8_t *setup = length > SETUP_MAX ? NULL : malloc(length + 1);
  bool found = setup != NULL && receive_all(display, setup, length) &&
               find_root(display, setup, length);
  free(setup);
  return found;
}

/* Sends one request about a window; *extra is what follows the 32 bytes. false: the link is over. */
static bool ask(const struct display *display, uint8_t opcode, uint32_t window, uint8_t reply[32],
                bool *failed, uint8_t **extra, size_t *extra_length) {
  uint8_t request[8] = {opcode, 0};
  uint16_t units = 2;
  memcpy(request + 2, &units, sizeof units);
  memcpy(request + 4, &window, sizeof window);
  *extra = NULL;
  *extra_length = 0;
  if (!send_all(display, request, sizeof request)) {
    return false;
  }
  do {
    if (!receive_all(display, reply, 32)) {
      return false;
    }
  } while (reply[0] > 1); /* events that everybody gets (MappingNotify) */
  *failed = reply[0] == 0; /* such as: the window is gone meanwhile */
  size_t length = *failed ? 0 : (size_t)get32(reply + 4) * 4;
  if (length > SETUP_MAX) {
    return false;
  }
  if (length > 0) {
    *extra = malloc(length);
    *extra_length = length;
    if (*extra == NULL || !receive_all(display, *extra, length)) {
      free(*extra);
      *extra = NULL;
      return false;
    }
  }
  return true;
}

static bool is_visible(const struct display *display, uint32_t window, bool *visible) {
  uint8_t reply[32];
  uint8_t *extra;
  size_t length;
  bool failed;
  *visible = false;
  if (!ask(display, GET_WINDOW_ATTRIBUTES, window, reply, &failed, &extra, &length)) {
    return false;
  }
  bool viewable = !failed && get16(reply + 12) == CLASS_INPUT_OUTPUT && length >= 12 &&
                  reply[26] == MAP_STATE_VIEWABLE;
  free(extra);
  if (!viewable) {
    return true;
  }
  if (!ask(display, GET_GEOMETRY, window, reply, &failed, &extra, &length)) {
    return false;
  }
  free(extra);
  /* Window managers keep a window of one point to say who they are: it shows nothing. */
  *visible = !failed && get16(reply + 16) > 1 && get16(reply + 18) > 1;
  return true;
}

static bool count_windows(const struct display *display, uint32_t *count) {
  uint8_t reply[32];
  uint8_t *children;
  size_t length;
  bool failed;
  *count = 0;
  if (!ask(display, QUERY_TREE, display->root, reply, &failed, &children, &length) || failed) {
    return false;
  }
  size_t windows = length / 4 < get16(reply + 16) ? length / 4 : get16(reply + 16);
  bool alive = true;
  for (size_t i = 0; i < windows && i < WINDOWS_MAX && alive; i++) {
    bool visible;
    alive = is_visible(display, get32(children + i * 4), &visible);
    *count += alive && visible ? 1 : 0;
  }
  free(children);
  return alive;
}

/* The data of an entry: behind the family, the address, the number and the name. */
static struct bytes cookie_of(struct bytes entry) {
  enum { ADDRESS, NUMBER, NAME, DATA };
  size_t at = 2;
  for (int field = ADDRESS; at + 2 <= entry.length; field++) {
    size_t length = (size_t)(entry.at[at] << 8 | entry.at[at + 1]);
    at += 2;
    if (length > entry.length - at) {
      break;
    }
    if (field == DATA) {
      return (struct bytes){.at = entry.at + at, .length = length};
    }
    at += length;
  }
  return (struct bytes){0};
}

void display_size(const void *data, struct helper_result *result) {
  const struct display_size_input *input = data;
  struct display display = {
      .descriptor = connect_unix_path(input->socket_path),
      .deadline_ms = monotonic_ms() + SIZE_PATIENCE_MS,
  };
  if (display.descriptor < 0) {
    result->error = errno;
    return;
  }
  if (greet(&display, cookie_of(input->xauthority))) {
    result->number = (uint32_t)display.width << 16 | display.height;
  } else {
    result->error = EPROTO;
  }
  close(display.descriptor);
}

static void nap(int64_t deadline_ms) {
  int64_t left = deadline_ms - monotonic_ms();
  int64_t ms = left < LOOK_EVERY_MS ? left : LOOK_EVERY_MS;
  if (ms > 0) {
    struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
  }
}

void watch_windows(const void *data, struct helper_result *result) {
  const struct watch_windows_input *input = data;
  struct display display = {
      .descriptor = -1,
      .deadline_ms = monotonic_ms() + input->timeout_ms,
  };
  bool is_silent = false;
  while (monotonic_ms() < display.deadline_ms) {
    if (display.descriptor < 0) {
      display.descriptor = connect_unix_path(input->socket_path);
      if (display.descriptor >= 0 && !greet(&display, input->cookie)) {
        close(display.descriptor); /* an X server in the middle of its start: once more */
        display.descriptor = -1;
        is_silent = monotonic_ms() >= display.deadline_ms;
      }
    }
    if (display.descriptor >= 0) {
      if (!count_windows(&display, &result->number)) {
        result->number = 0;
        close(display.descriptor);
        display.descriptor = -1;
        is_silent = monotonic_ms() >= display.deadline_ms;
      } else if (result->number > 0) {
        break;
      }
    }
    nap(display.deadline_ms);
  }
  if (display.descriptor >= 0) {
    close(display.descriptor);
  }
  /* A server that waits for its own viewer answers nobody: that says nothing of windows. */
  result->error = is_silent ? ETIMEDOUT : 0;
}
