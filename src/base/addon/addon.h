/*
 * What the files of the addon share: values in and out of Node-API, and one row per exported
 * function. Every function that makes a system call returns its result or -errno; `*.native.ts`
 * turns the latter into an error. Runs in: monitor, worker, user.
 */
#ifndef SSHDESK_ADDON_H
#define SSHDESK_ADDON_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bounds of a frame: see ssh/wire/call.ts. */
#define FRAME_MAX_BYTES (128 * 1024)
#define FRAME_MAX_DESCRIPTORS 16

struct bytes {
  uint8_t *data;
  size_t length;
};

/* Each of these returns false with a JavaScript exception pending. */
bool take_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *out);
bool take_int(napi_env env, napi_value value, int32_t *out);
bool take_bytes(napi_env env, napi_value value, struct bytes *out);
/* A typed array of 32-bit integers, in place; the caller knows how long it must be at least. */
bool take_ints(napi_env env, napi_value value, size_t least, int32_t **out);
bool take_path(napi_env env, napi_value value, char *out, size_t capacity);

napi_value give_int(napi_env env, int64_t value);
napi_value give_text(napi_env env, const char *text);
/* `errno` as it is now, negated. */
napi_value give_errno(napi_env env);
bool give_property(napi_env env, napi_value object, const char *name, napi_value value);

bool export_function(napi_env env, napi_value exports, const char *name, napi_callback call);

bool poll_exports(napi_env env, napi_value exports);
bool link_exports(napi_env env, napi_value exports);
bool socket_exports(napi_env env, napi_value exports);
bool pty_exports(napi_env env, napi_value exports);
bool confine_exports(napi_env env, napi_value exports);
bool mount_exports(napi_env env, napi_value exports);
bool notify_exports(napi_env env, napi_value exports);
bool syslog_exports(napi_env env, napi_value exports);
bool cryptoki_exports(napi_env env, napi_value exports);
bool gss_exports(napi_env env, napi_value exports);

#endif
