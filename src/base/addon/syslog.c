/*
 * syslog(3): Node has no datagram sockets of the Unix kind. Runs in: monitor.
 */
#include "addon.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* openlog keeps the pointer. */
static char identity[64];

/* openSyslog(identity) */
static napi_value open_syslog(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  if (!take_arguments(env, info, 1, arguments) || !take_path(env, arguments[0], identity, sizeof identity)) {
    return NULL;
  }
  openlog(identity, LOG_PID, LOG_AUTH);
  return give_int(env, 0);
}

/* writeSyslog(severity, line): the line is data, never a format. */
static napi_value write_syslog(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t severity;
  struct bytes line;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], &severity) ||
      !take_bytes(env, arguments[1], &line)) {
    return NULL;
  }
  syslog(LOG_AUTH | (severity & 7), "%.*s", (int)line.length, (const char *)line.data);
  return give_int(env, 0);
}

bool syslog_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "openSyslog", open_syslog) &&
         export_function(env, exports, "writeSyslog", write_syslog);
}
