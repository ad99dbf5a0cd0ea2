/* Reading, writing and resizing a pty master, never blocking. Runs in: worker. */
#include "addon.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define READ_BUDGET_BYTES (64 * 1024)

/*
 * ptyRead(descriptor): Buffer of up to 64 KiB, or -errno. The line discipline hands out 4 KiB at a
 * time, so it reads until nothing is left or the budget of the turn is used up. An error behind
 * bytes is seen again by the next call.
 */
static napi_value pty_read(napi_env env, napi_callback_info info) {
  napi_value arguments[1], out = NULL;
  int32_t descriptor;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], &descriptor)) {
    return NULL;
  }
  uint8_t bytes[READ_BUDGET_BYTES];
  size_t length = 0;
  while (length < sizeof bytes) {
    ssize_t got = read(descriptor, bytes + length, sizeof bytes - length);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      if (length == 0) {
        return got < 0 ? give_errno(env) : give_int(env, -EIO);
      }
      break;
    }
    length += (size_t)got;
  }
  return napi_create_buffer_copy(env, length, bytes, NULL, &out) == napi_ok ? out : NULL;
}

/* descriptorWrite(descriptor, Buffer, from): bytes written, or -errno. */
static napi_value descriptor_write(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t descriptor, from;
  struct bytes bytes;
  if (!take_arguments(env, info, 3, arguments) || !take_int(env, arguments[0], &descriptor) ||
      !take_bytes(env, arguments[1], &bytes) || !take_int(env, arguments[2], &from)) {
    return NULL;
  }
  if (from < 0 || (size_t)from > bytes.length) {
    return give_int(env, -EINVAL);
  }
  ssize_t written;
  do {
    written = write(descriptor, bytes.data + from, bytes.length - (size_t)from);
  } while (written < 0 && errno == EINTR);
  return written < 0 ? give_errno(env) : give_int(env, written);
}

/* ptyResize(descriptor, columns, rows, widthPixels, heightPixels): 0 or -errno. */
static napi_value pty_resize(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  int32_t values[5];
  if (!take_arguments(env, info, 5, arguments)) {
    return NULL;
  }
  for (size_t at = 0; at < 5; at++) {
    if (!take_int(env, arguments[at], &values[at])) {
      return NULL;
    }
  }
  struct winsize size = {
      .ws_col = (unsigned short)values[1],
      .ws_row = (unsigned short)values[2],
      .ws_xpixel = (unsigned short)values[3],
      .ws_ypixel = (unsigned short)values[4],
  };
  return ioctl(values[0], TIOCSWINSZ, &size) < 0 ? give_errno(env) : give_int(env, 0);
}

bool pty_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "ptyRead", pty_read) &&
         export_function(env, exports, "descriptorWrite", descriptor_write) &&
         export_function(env, exports, "ptyResize", pty_resize);
}
