/* Values between JavaScript and C, each checked. Runs in: monitor, worker. */
#include "addon.h"

#include <errno.h>
#include <string.h>

static bool refuse(napi_env env, const char *what) {
  napi_throw_type_error(env, "SSHDESK_NATIVE", what);
  return false;
}

bool take_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *out) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, out, NULL, NULL) != napi_ok || given < count) {
    return refuse(env, "too few arguments");
  }
  return true;
}

bool take_int(napi_env env, napi_value value, int32_t *out) {
  if (napi_get_value_int32(env, value, out) != napi_ok) {
    return refuse(env, "an integer is expected");
  }
  return true;
}

bool take_bytes(napi_env env, napi_value value, struct bytes *out) {
  void *data = NULL;
  if (napi_get_buffer_info(env, value, &data, &out->length) != napi_ok) {
    return refuse(env, "a Buffer is expected");
  }
  out->data = data;
  return true;
}

bool take_ints(napi_env env, napi_value value, size_t least, int32_t **out) {
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  bool is_typed = false;
  if (napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed ||
      napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_int32_array || length < least) {
    return refuse(env, "an Int32Array that is long enough is expected");
  }
  *out = data;
  return true;
}

bool take_path(napi_env env, napi_value value, char *out, size_t capacity) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length >= capacity) {
    return refuse(env, "a path that is short enough is expected");
  }
  if (napi_get_value_string_utf8(env, value, out, capacity, &length) != napi_ok ||
      memchr(out, 0, length) != NULL) {
    return refuse(env, "a path without NUL is expected");
  }
  return true;
}

napi_value give_int(napi_env env, int64_t value) {
  napi_value out = NULL;
  napi_create_int64(env, value, &out);
  return out;
}

napi_value give_text(napi_env env, const char *text) {
  napi_value out = NULL;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &out);
  return out;
}

napi_value give_errno(napi_env env) { return give_int(env, -(int64_t)errno); }

bool give_property(napi_env env, napi_value object, const char *name, napi_value value) {
  return value != NULL && napi_set_named_property(env, object, name, value) == napi_ok;
}

bool export_function(napi_env env, napi_value exports, const char *name, napi_callback call) {
  napi_value function = NULL;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, call, NULL, &function) == napi_ok &&
         give_property(env, exports, name, function);
}
