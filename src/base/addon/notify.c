/* sd_notify(3): Node has no datagram sockets of the Unix kind. Runs in: monitor, launcher. */
#include "addon.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* sendToUnix(path, message): 0 | -errno. `@` in front means the abstract name space. Never waits. */
static napi_value send_to_unix(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct bytes message;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!take_arguments(env, info, 2, arguments) ||
      !take_path(env, arguments[0], address.sun_path, sizeof address.sun_path) ||
      !take_bytes(env, arguments[1], &message)) {
    return NULL;
  }
  size_t length = strlen(address.sun_path);
  if (length < 2 || (address.sun_path[0] != '/' && address.sun_path[0] != '@')) {
    return give_int(env, -EAFNOSUPPORT);
  }
  if (address.sun_path[0] == '@') {
    address.sun_path[0] = 0;
  }
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    return give_errno(env);
  }
  ssize_t sent;
  do {
    sent = sendto(descriptor, message.data, message.length, MSG_NOSIGNAL | MSG_DONTWAIT,
                  (struct sockaddr *)&address,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
  } while (sent < 0 && errno == EINTR);
  napi_value result = sent < 0 ? give_errno(env) : give_int(env, 0);
  close(descriptor);
  return result;
}

bool notify_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "sendToUnix", send_to_unix);
}
