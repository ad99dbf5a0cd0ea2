/* Connecting to a Unix socket as the user. Runs in: child of a leader. */
#include "connect.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int connect_unix_path(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) {
    errno = length == 0 ? ENOENT : ENAMETOOLONG;
    return -1;
  }
  memcpy(address.sun_path, path, length + 1);
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    return -1;
  }
  if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
  }
  return descriptor;
}

void connect_unix(const void *input, struct helper_result *result) {
  result->descriptor = connect_unix_path(input);
  if (result->descriptor < 0) {
    result->error = errno;
  }
}
