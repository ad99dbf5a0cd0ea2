/* Listening for forwarded ports and Unix sockets, as the user. Runs in: child of a leader. */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "connect.h"

enum { BACKLOG = 128, DESCRIPTORS_MAX = 1 + HELPER_OTHERS_MAX };

_Static_assert(sizeof(struct listen_unix_file) <= HELPER_TEXT_MAX, "it travels in the text");

static void set_port(struct addrinfo *address, uint16_t port) {
  if (address->ai_family == AF_INET) {
    ((struct sockaddr_in *)address->ai_addr)->sin_port = htons(port);
  } else {
    ((struct sockaddr_in6 *)address->ai_addr)->sin6_port = htons(port);
  }
}

static uint32_t port_of(int descriptor) {
  struct sockaddr_storage own = {0};
  socklen_t length = sizeof own;
  if (getsockname(descriptor, (struct sockaddr *)&own, &length) != 0) {
    return 0;
  }
  return ntohs(own.ss_family == AF_INET ? ((struct sockaddr_in *)&own)->sin_port
                                        : ((struct sockaddr_in6 *)&own)->sin6_port);
}

/* A listener, or -1 with errno. */
static int listen_on(const struct addrinfo *address) {
  int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return -1;
  }
  int on = 1;
  bool is_set = setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
  if (address->ai_family == AF_INET6) {
    /* The IPv4 addresses have a listener of their own. */
    is_set = setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0 && is_set;
  }
  if (!is_set || bind(descriptor, address->ai_addr, address->ai_addrlen) != 0 ||
      listen(descriptor, BACKLOG) != 0) {
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
  }
  return descriptor;
}

static void keep(struct helper_result *result, int descriptor) {
  if (result->descriptor < 0) {
    result->descriptor = descriptor;
  } else {
    result->others[result->other_count++] = descriptor;
  }
}

static void listen_on_each(struct addrinfo *list, uint32_t port, struct helper_result *result) {
  for (struct addrinfo *at = list; at != NULL && result->other_count < HELPER_OTHERS_MAX;
       at = at->ai_next) {
    if (at->ai_family != AF_INET && at->ai_family != AF_INET6) {
      continue;
    }
    set_port(at, (uint16_t)port);
    int descriptor = listen_on(at);
    if (descriptor >= 0) {
      keep(result, descriptor);
      port = port == 0 ? port_of(descriptor) : port;
      continue;
    }
    int error = errno;
    char host[NI_MAXHOST] = "?";
    getnameinfo(at->ai_addr, at->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    snprintf(result->text, sizeof result->text, "bind [%.200s]:%u: %s", host, port,
             strerror(error));
  }
  result->number = port;
}

void listen_tcp(const void *given, struct helper_result *result) {
  const struct listen_tcp_input *input = given;
  const struct addrinfo hints = {
      .ai_family = input->family,
      .ai_socktype = SOCK_STREAM,
      .ai_flags = input->where == LISTEN_WILDCARD ? AI_PASSIVE : 0,
  };
  struct addrinfo *list = NULL;
  int code =
      getaddrinfo(input->where == LISTEN_ADDRESS ? input->address : NULL, "0", &hints, &list);
  if (code != 0) {
    result->verdict = LISTEN_REFUSED;
    snprintf(result->text, sizeof result->text, "getaddrinfo: %.200s: %s", input->address,
             code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    return;
  }
  listen_on_each(list, input->port, result);
  result->verdict = result->descriptor >= 0 ? LISTEN_DONE : LISTEN_REFUSED;
  freeaddrinfo(list);
}

/* The directory of `path`, held (O_PATH): what is judged is where the socket is made. */
static int hold_directory(const char *path, const char **name) {
  char directory[PATH_MAX];
  const char *slash = strrchr(path, '/');
  size_t length = slash == NULL ? 0 : (size_t)(slash - path);
  if (length >= sizeof directory) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(directory, path, length);
  directory[length] = '\0';
  *name = slash == NULL ? path : slash + 1;
  const char *where = slash == NULL ? "." : length == 0 ? "/" : directory;
  return open(where, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* `name` in the directory `held`. */
static int bind_in(int held, const char *name, const struct listen_unix_input *input,
                   struct listen_unix_file *file) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int written = held == AT_FDCWD ? snprintf(address.sun_path, sizeof address.sun_path, "%s", name)
                                 : snprintf(address.sun_path, sizeof address.sun_path,
                                            "/proc/self/fd/%d/%s", held, name);
  if (written < 0 || (size_t)written >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (input->unlink_first && unlinkat(held, name, 0) != 0 && errno != ENOENT) {
    return -1;
  }
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return -1;
  }
  /* A child of its own: nobody else's files get this mask. */
  umask(input->mask);
  struct stat made;
  int error = 0;
  if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
    error = errno;
  } else if (listen(descriptor, BACKLOG) != 0 ||
             fstatat(held, name, &made, AT_SYMLINK_NOFOLLOW) != 0) {
    error = errno;
    unlinkat(held, name, 0);
  }
  if (error != 0) {
    close(descriptor);
    errno = error;
    return -1;
  }
  *file = (struct listen_unix_file){.device = made.st_dev, .inode = made.st_ino};
  return descriptor;
}

static int bind_unix(const struct listen_unix_input *input, struct listen_unix_file *file) {
  size_t length = strlen(input->path);
  if (length == 0 || length >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
    errno = length == 0 ? ENOENT : ENAMETOOLONG;
    return -1;
  }
  if (input->not_below[0] == '\0') {
    return bind_in(AT_FDCWD, input->path, input, file);
  }
  const char *name;
  int held = hold_directory(input->path, &name);
  if (held < 0) {
    return -1;
  }
  int error = check_place(input->not_below, held);
  int descriptor = error == 0 ? bind_in(held, name, input, file) : -1;
  error = error == 0 ? errno : error;
  close(held);
  errno = error;
  return descriptor;
}

void listen_unix(const void *given, struct helper_result *result) {
  const struct listen_unix_input *input = given;
  struct listen_unix_file file = {0};
  result->descriptor = bind_unix(input, &file);
  if (result->descriptor < 0) {
    result->verdict = LISTEN_REFUSED;
    snprintf(result->text, sizeof result->text, "cannot bind to path %.300s: %s", input->path,
             strerror(errno));
    return;
  }
  memcpy(result->text, &file, sizeof file);
}

void listen_unix_remove(const char *path, const struct listen_unix_file *file) {
  struct stat found;
  if (lstat(path, &found) == 0 && S_ISSOCK(found.st_mode) && found.st_dev == file->device &&
      found.st_ino == file->inode) {
    unlink(path);
  }
}
