/*
 * uv_poll on one descriptor, owned by the watch: the descriptor is closed when libuv has let go of
 * it, never earlier (its number would be given out again while epoll still knows it).
 * Runs in: monitor, worker.
 */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

struct watch {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  int descriptor;
  bool closing;
  bool closed;
  bool unreachable; /* JavaScript has dropped its reference */
  bool environment_ends;
};

static void free_when_done(struct watch *watch) {
  if (watch->closed && watch->unreachable) {
    free(watch);
  }
}

static void on_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  close(watch->descriptor);
  watch->closed = true;
  if (!watch->environment_ends) {
    napi_handle_scope scope;
    if (napi_open_handle_scope(watch->env, &scope) == napi_ok) {
      napi_async_destroy(watch->env, watch->context);
      napi_delete_reference(watch->env, watch->callback);
      napi_close_handle_scope(watch->env, scope);
    }
  }
  napi_remove_async_cleanup_hook(watch->hook);
  free_when_done(watch);
}

static void begin_close(struct watch *watch) {
  if (!watch->closing) {
    watch->closing = true;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_closed);
  }
}

static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  struct watch *watch = data;
  watch->environment_ends = true;
  begin_close(watch);
}

static void on_unreachable(napi_env env, void *data, void *hint) {
  struct watch *watch = data;
  watch->unreachable = true;
  begin_close(watch);
  free_when_done(watch);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  struct watch *watch = poll->data;
  napi_env env = watch->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) {
    return;
  }
  /* POLLERR stops the poll and comes as a status: the next system call tells what it is. */
  int ready = status < 0 ? (UV_READABLE | UV_WRITABLE | UV_DISCONNECT) : events;
  napi_value callback, receiver, arguments[1], result;
  if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
      napi_get_global(env, &receiver) == napi_ok &&
      napi_create_int32(env, ready, &arguments[0]) == napi_ok) {
    /* make_callback, not call_function: microtasks and nextTick must run behind it. */
    napi_status made =
        napi_make_callback(env, watch->context, receiver, callback, 1, arguments, &result);
    if (made == napi_pending_exception) {
      napi_value error;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) {
        napi_fatal_exception(env, error);
      }
    }
  }
  napi_close_handle_scope(env, scope);
}

static bool take_watch(napi_env env, napi_value value, struct watch **out) {
  void *data = NULL;
  if (napi_get_value_external(env, value, &data) != napi_ok || data == NULL) {
    napi_throw_type_error(env, "SSHDESK_NATIVE", "a watch is expected");
    return false;
  }
  *out = data;
  return true;
}

/* pollOpen(descriptor, callback(events)): watch | -errno. On success the watch owns the descriptor. */
static napi_value poll_open(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t descriptor;
  uv_loop_t *loop = NULL;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], &descriptor)) {
    return NULL;
  }
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    errno = ENOSYS;
    return give_errno(env);
  }
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) {
    errno = ENOMEM;
    return give_errno(env);
  }
  watch->env = env;
  watch->descriptor = descriptor;
  int failure = uv_poll_init(loop, &watch->poll, descriptor);
  if (failure < 0) {
    free(watch);
    return give_int(env, failure);
  }
  watch->poll.data = watch;
  napi_value name = NULL, external = NULL;
  napi_create_string_utf8(env, "sshdesk:watch", NAPI_AUTO_LENGTH, &name);
  if (napi_create_reference(env, arguments[1], 1, &watch->callback) != napi_ok ||
      napi_async_init(env, NULL, name, &watch->context) != napi_ok ||
      napi_add_async_cleanup_hook(env, on_environment_end, watch, &watch->hook) != napi_ok ||
      napi_create_external(env, watch, on_unreachable, NULL, &external) != napi_ok) {
    /* Only out of memory leads here; the process cannot go on in a known state. */
    napi_fatal_error("poll_open", NAPI_AUTO_LENGTH, "out of memory", NAPI_AUTO_LENGTH);
  }
  return external;
}

/* pollWant(watch, events): events 1 readable, 2 writable; 0 stops. */
static napi_value poll_want(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct watch *watch;
  int32_t events;
  if (!take_arguments(env, info, 2, arguments) || !take_watch(env, arguments[0], &watch) ||
      !take_int(env, arguments[1], &events)) {
    return NULL;
  }
  if (watch->closing) {
    return give_int(env, -EBADF);
  }
  int wanted = events & (UV_READABLE | UV_WRITABLE);
  return give_int(env, wanted == 0 ? uv_poll_stop(&watch->poll)
                                   : uv_poll_start(&watch->poll, wanted, on_ready));
}

/* pollClose(watch): stops at once; the descriptor is closed in this turn of the loop. */
static napi_value poll_close(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct watch *watch;
  if (!take_arguments(env, info, 1, arguments) || !take_watch(env, arguments[0], &watch)) {
    return NULL;
  }
  begin_close(watch);
  return NULL;
}

/* pollReference(watch, 0 | 1): whether the watch keeps the process alive. */
static napi_value poll_reference(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct watch *watch;
  int32_t keeps;
  if (!take_arguments(env, info, 2, arguments) || !take_watch(env, arguments[0], &watch) ||
      !take_int(env, arguments[1], &keeps)) {
    return NULL;
  }
  if (!watch->closing) {
    if (keeps) {
      uv_ref((uv_handle_t *)&watch->poll);
    } else {
      uv_unref((uv_handle_t *)&watch->poll);
    }
  }
  return NULL;
}

bool poll_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "pollOpen", poll_open) &&
         export_function(env, exports, "pollWant", poll_want) &&
         export_function(env, exports, "pollClose", poll_close) &&
         export_function(env, exports, "pollReference", poll_reference);
}
