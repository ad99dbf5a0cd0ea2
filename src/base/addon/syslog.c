/*
 * Lines of the log on their way out, none of which may be waited for: syslog(3) blocks where its
 * reader does not read, and with it everybody who wants to log in. Runs in: monitor.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A pipe that poll finds writable takes as much without blocking (pipe(7), PIPE_BUF). */
#define PIPE_PIECE_BYTES 4096

/* connectLog(path): a datagram socket on the machine's log, such as /dev/log. */
static napi_value connect_log(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!take_arguments(env, info, 1, arguments) ||
      !take_path(env, arguments[0], address.sun_path, sizeof address.sun_path)) {
    return NULL;
  }
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return give_errno(env);
  }
  if (connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
    int failure = errno;
    close(descriptor);
    errno = failure;
    return give_errno(env);
  }
  return give_int(env, descriptor);
}

static bool can_write(int descriptor, int wait_ms) {
  struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
  return poll(&ready, 1, wait_ms) == 1;
}

/*
 * writeLog(descriptor, bytes, from, waitMs): how many of the bytes behind `from` were written, at
 * once or within waitMs; -EAGAIN: none. A descriptor that came from elsewhere (stderr) is left in the
 * mode that it is in: others write to it.
 */
static napi_value write_log(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t descriptor, from, wait_ms;
  struct bytes line;
  if (!take_arguments(env, info, 4, arguments) || !take_int(env, arguments[0], &descriptor) ||
      !take_bytes(env, arguments[1], &line) || !take_int(env, arguments[2], &from) ||
      !take_int(env, arguments[3], &wait_ms)) {
    return NULL;
  }
  if (from < 0 || (size_t)from > line.length) {
    return give_int(env, -EINVAL);
  }
  if (!can_write(descriptor, wait_ms)) {
    return give_int(env, -EAGAIN);
  }
  const uint8_t *data = line.data + from;
  size_t length = line.length - (size_t)from;
  struct stat status;
  if (fstat(descriptor, &status) < 0) {
    return give_errno(env);
  }
  ssize_t written;
  if (S_ISSOCK(status.st_mode)) {
    written = send(descriptor, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  } else if (S_ISREG(status.st_mode)) {
    written = write(descriptor, data, length);
  } else {
    written = write(descriptor, data, length < PIPE_PIECE_BYTES ? length : PIPE_PIECE_BYTES);
  }
  return written < 0 ? give_errno(env) : give_int(env, written);
}

bool syslog_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "connectLog", connect_log) &&
         export_function(env, exports, "writeLog", write_log);
}
