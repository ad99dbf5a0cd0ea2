/* The addon's entry: joins what each file exports. Runs in: monitor, worker, user. */
#include "addon.h"

NAPI_MODULE_INIT() {
  if (!poll_exports(env, exports) || !link_exports(env, exports) || !socket_exports(env, exports) ||
      !pty_exports(env, exports) || !confine_exports(env, exports) || !mount_exports(env, exports) ||
      !notify_exports(env, exports) || !syslog_exports(env, exports) ||
      !cryptoki_exports(env, exports) || !gss_exports(env, exports)) {
    return NULL;
  }
  return exports;
}
