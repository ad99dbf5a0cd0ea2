/* A raw system call for the test of the seccomp filter: syscall(number, a, b, c, d, e, f) -> result
 * or -errno. Compiled by the test; never part of the program. */
#define NAPI_VERSION 9
#include <errno.h>
#include <node_api.h>
#include <unistd.h>

static napi_value call(napi_env env, napi_callback_info info) {
  size_t count = 7;
  napi_value given[7], out;
  int64_t values[7] = {0};
  napi_get_cb_info(env, info, &count, given, NULL, NULL);
  for (size_t at = 0; at < count && at < 7; at++) {
    napi_get_value_int64(env, given[at], &values[at]);
  }
  long result = syscall(values[0], values[1], values[2], values[3], values[4], values[5], values[6]);
  napi_create_int64(env, result < 0 ? -errno : result, &out);
  return out;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "syscall", NAPI_AUTO_LENGTH, call, NULL, &function);
  napi_set_named_property(env, exports, "syscall", function);
  return exports;
}
