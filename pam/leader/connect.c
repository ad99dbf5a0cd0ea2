/* Connecting to a socket as the user. Runs in: child of a leader. */
#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "process.h"

/*
 * An address holds 107 bytes; a longer path is gone by way of its directory, whose descriptor is
 * `*held` then. false: errno says why.
 */
static bool make_address(const char *path, struct sockaddr_un *address, int *held) {
  size_t room = sizeof address->sun_path;
  size_t length = strlen(path);
  const char *name = strrchr(path, '/');
  *held = -1;
  if (length == 0 || length >= PATH_MAX || (length >= room && name == NULL)) {
    errno = length == 0 ? ENOENT : ENAMETOOLONG;
    return false;
  }
  if (length < room) {
    memcpy(address->sun_path, path, length + 1);
    return true;
  }
  char directory[PATH_MAX];
  memcpy(directory, path, (size_t)(name - path));
  directory[name - path] = '\0';
  *held = open(directory[0] == '\0' ? "/" : directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (*held < 0) {
    return false;
  }
  int written = snprintf(address->sun_path, room, "/proc/self/fd/%d/%s", *held, name + 1);
  if (written < 0 || (size_t)written >= room) {
    close(*held);
    *held = -1;
    errno = ENAMETOOLONG;
    return false;
  }
  return true;
}

static int connect_stream(const struct sockaddr_un *address) {
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    return -1;
  }
  if (connect(descriptor, (const struct sockaddr *)address, sizeof *address) != 0) {
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
  }
  return descriptor;
}

int connect_unix_path(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int held;
  if (!make_address(path, &address, &held)) {
    return -1;
  }
  int descriptor = connect_stream(&address);
  int error = errno;
  if (held >= 0) {
    close(held);
  }
  errno = error;
  return descriptor;
}

int check_place(const char *not_below, int held) {
  char name[sizeof "/proc/self/fd/" + 12];
  char real[PATH_MAX];
  char limit[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", held);
  ssize_t filled = readlink(name, real, sizeof real);
  if (filled < 0) {
    return errno;
  }
  if ((size_t)filled >= sizeof real) {
    return ENAMETOOLONG;
  }
  real[filled] = '\0';
  /* Without a slash in front it is no place of this file system. */
  if (real[0] != '/' || realpath(not_below, limit) == NULL) {
    return EACCES;
  }
  size_t length = strlen(limit);
  bool is_below = strncmp(real, limit, length) == 0 && (real[length] == '/' || real[length] == '\0');
  return is_below ? EACCES : 0;
}

/*
 * What is judged is what is connected to, whatever becomes of its names meanwhile. A socket with a
 * second name may have it below `not_below`.
 */
static int connect_outside(const char *path, const char *not_below) {
  int held = open(path, O_PATH | O_CLOEXEC);
  if (held < 0) {
    return -1;
  }
  struct stat status;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", held);
  int error = fstat(held, &status) != 0 ? errno
              : status.st_nlink != 1    ? EACCES
                                        : check_place(not_below, held);
  int descriptor = -1;
  if (error == 0) {
    descriptor = connect_stream(&address);
    error = errno;
  }
  close(held);
  errno = error;
  return descriptor;
}

void connect_unix(const void *given, struct helper_result *result) {
  const struct connect_unix_input *input = given;
  result->descriptor = input->not_below[0] == '\0' ? connect_unix_path(input->path)
                                                   : connect_outside(input->path, input->not_below);
  if (result->descriptor < 0) {
    result->error = errno;
  }
}

/* Waits for a connection that is under way. Returns 0 or an errno. */
static int await_connection(int descriptor, int64_t patience_ms) {
  int64_t deadline = monotonic_ms() + patience_ms;
  for (;;) {
    int64_t left = deadline - monotonic_ms();
    if (left <= 0) {
      return ETIMEDOUT;
    }
    struct pollfd wanted = {.fd = descriptor, .events = POLLOUT};
    int ready = poll(&wanted, 1, (int)left);
    if (ready < 0 && errno != EINTR) {
      return errno;
    }
    if (ready > 0) {
      int error = 0;
      socklen_t length = sizeof error;
      return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
    }
  }
}

/* A connected socket, or -1 with errno. */
static int connect_address(const struct addrinfo *to, int64_t patience_ms) {
  int descriptor = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return -1;
  }
  int error = 0;
  if (connect(descriptor, to->ai_addr, to->ai_addrlen) != 0) {
    error = errno == EINPROGRESS || errno == EINTR ? await_connection(descriptor, patience_ms)
                                                   : errno;
  }
  if (error == 0) {
    int on = 1;
    /* Without it what is typed waits for the other end's acknowledgement. */
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return descriptor;
  }
  close(descriptor);
  errno = error;
  return -1;
}

static bool is_of_use(const struct addrinfo *address) {
  return address->ai_family == AF_INET || address->ai_family == AF_INET6;
}

static void connect_one_of(const struct addrinfo *list, int64_t patience_ms,
                           struct helper_result *result) {
  int64_t deadline = monotonic_ms() + patience_ms;
  int64_t left_to_try = 0;
  for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
    left_to_try += is_of_use(at) ? 1 : 0;
  }
  int error = EADDRNOTAVAIL;
  for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
    if (!is_of_use(at)) {
      continue;
    }
    /* An address that does not answer leaves time for the others. */
    int64_t left_ms = deadline - monotonic_ms();
    result->descriptor = connect_address(at, left_ms / left_to_try--);
    if (result->descriptor >= 0) {
      result->verdict = CONNECT_DONE;
      return;
    }
    error = errno;
  }
  result->verdict = CONNECT_FAILED;
  snprintf(result->text, sizeof result->text, "%s", strerror(error));
}

void connect_tcp(const void *given, struct helper_result *result) {
  const struct connect_tcp_input *input = given;
  const struct addrinfo hints = {.ai_family = input->family, .ai_socktype = SOCK_STREAM};
  struct addrinfo *list = NULL;
  char port[16];
  snprintf(port, sizeof port, "%u", input->port);
  int64_t began = monotonic_ms();
  int code = getaddrinfo(input->host, port, &hints, &list);
  if (code != 0) {
    result->verdict = CONNECT_UNKNOWN_HOST;
    snprintf(result->text, sizeof result->text, "%s",
             code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    return;
  }
  connect_one_of(list, input->patience_ms - (monotonic_ms() - began), result);
  freeaddrinfo(list);
}
