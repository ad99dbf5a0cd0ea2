/* Mounts that a process has left behind. Runs in: monitor. */
#include "addon.h"

#include <limits.h>
#include <sys/mount.h>

/*
 * unmountDetached(path): 0 | -errno. Gone for whoever looks it up from now on; whoever is in it stays
 * until he leaves. A symbolic link at the end is not followed.
 */
static napi_value unmount_detached(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  char path[PATH_MAX];
  if (!take_arguments(env, info, 1, arguments) ||
      !take_path(env, arguments[0], path, sizeof path)) {
    return NULL;
  }
  return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? give_errno(env) : give_int(env, 0);
}

bool mount_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "unmountDetached", unmount_detached);
}
