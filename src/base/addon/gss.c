/*
 * GSSAPI's initiator for Node. A step may wait for a KDC as long as krb5.conf lets it, so it has a
 * thread of its own, which nobody waits for: neither the event loop nor the end of the process. Its
 * result is announced on an eventfd. Runs in: user.
 */
#include "addon.h"
#include "gss-initiator.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct exchange {
  atomic_int holders; /* JavaScript, and the thread of a step */
  atomic_bool is_done;
  bool is_stepping; /* a step was begun, and its result was not taken */
  int event;        /* the thread's end */
  struct gss_initiator *gss;
  uint8_t *input;
  size_t input_length;
  struct gss_step step;
};

static void forget_input(struct exchange *exchange) {
  if (exchange->input != NULL) {
    explicit_bzero(exchange->input, exchange->input_length);
    free(exchange->input);
    exchange->input = NULL;
  }
}

static void forget_token(struct gss_token *token) {
  if (token->data != NULL) {
    explicit_bzero(token->data, token->length);
    free(token->data);
    token->data = NULL;
  }
}

static void let_go(struct exchange *exchange) {
  if (atomic_fetch_sub(&exchange->holders, 1) == 1) {
    initiator_close(exchange->gss);
    forget_input(exchange);
    forget_token(&exchange->step.token);
    free(exchange);
  }
}

static void on_unreachable(napi_env env, void *data, void *hint) { let_go(data); }

static void *run_step(void *data) {
  struct exchange *exchange = data;
  int event = exchange->event;
  initiator_step(exchange->gss, exchange->input, exchange->input_length, &exchange->step);
  atomic_store(&exchange->is_done, true);
  const uint64_t one = 1;
  /* Whoever no longer waits has closed the other end; there is nothing else that could go wrong. */
  ssize_t ignored = write(event, &one, sizeof one);
  (void)ignored;
  close(event);
  let_go(exchange);
  return NULL;
}

static bool take_exchange(napi_env env, napi_value value, struct exchange **out) {
  napi_valuetype type;
  void *data = NULL;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external ||
      napi_get_value_external(env, value, &data) != napi_ok || data == NULL) {
    napi_throw_type_error(env, "SSHDESK_NATIVE", "an exchange is expected");
    return false;
  }
  *out = data;
  return true;
}

/* gssOpen(host, delegate): an exchange, or -errno. */
static napi_value open_exchange(napi_env env, napi_callback_info info) {
  napi_value arguments[2], out = NULL;
  char host[GSS_HOST_MAX + 1];
  int32_t delegate;
  if (!take_arguments(env, info, 2, arguments) ||
      !take_path(env, arguments[0], host, sizeof host) || !take_int(env, arguments[1], &delegate)) {
    return NULL;
  }
  struct exchange *exchange = calloc(1, sizeof *exchange);
  if (exchange == NULL) {
    return give_int(env, -ENOMEM);
  }
  atomic_init(&exchange->holders, 1);
  exchange->gss = initiator_open(host, delegate != 0);
  if (exchange->gss == NULL) {
    free(exchange);
    return give_int(env, -EINVAL);
  }
  if (napi_create_external(env, exchange, on_unreachable, NULL, &out) != napi_ok) {
    let_go(exchange);
    return give_int(env, -ENOMEM);
  }
  return out;
}

/* 0 or an errno. The signals of the process are the event loop's. */
static int start_thread(struct exchange *exchange) {
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  int error = pthread_attr_init(&attributes);
  if (error != 0) {
    return error;
  }
  sigfillset(&all);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(&thread, &attributes, run_step, exchange);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error;
}

/* gssStep(exchange, token): a descriptor that is readable when the step is done, or -errno. */
static napi_value begin_step(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct exchange *exchange;
  struct bytes token;
  if (!take_arguments(env, info, 2, arguments) || !take_exchange(env, arguments[0], &exchange) ||
      !take_bytes(env, arguments[1], &token)) {
    return NULL;
  }
  if (exchange->is_stepping) {
    return give_int(env, -EBUSY);
  }
  if (token.length > GSS_TOKEN_MAX) {
    return give_int(env, -EMSGSIZE);
  }
  forget_input(exchange);
  exchange->input = malloc(token.length + 1);
  if (exchange->input == NULL) {
    return give_int(env, -ENOMEM);
  }
  if (token.length > 0) {
    memcpy(exchange->input, token.data, token.length);
  }
  exchange->input_length = token.length;
  int watched = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (watched < 0) {
    return give_errno(env);
  }
  exchange->event = fcntl(watched, F_DUPFD_CLOEXEC, 0);
  int error = exchange->event < 0 ? errno : 0;
  if (error == 0) {
    atomic_store(&exchange->is_done, false);
    atomic_fetch_add(&exchange->holders, 1);
    error = start_thread(exchange);
    if (error != 0) {
      atomic_fetch_sub(&exchange->holders, 1);
      close(exchange->event);
    }
  }
  if (error != 0) {
    close(watched);
    return give_int(env, -error);
  }
  exchange->is_stepping = true;
  return give_int(env, watched);
}

static napi_value give_bool(napi_env env, bool value) {
  napi_value out = NULL;
  napi_get_boolean(env, value, &out);
  return out;
}

static napi_value give_token(napi_env env, struct gss_token *token) {
  napi_value out = NULL;
  napi_create_buffer_copy(env, token->length, token->data == NULL ? (const void *)"" : token->data,
                          NULL, &out);
  forget_token(token);
  return out;
}

/* gssTake(exchange): what the step came to, or -EAGAIN as long as it runs. */
static napi_value take_step(napi_env env, napi_callback_info info) {
  napi_value arguments[1], out = NULL;
  struct exchange *exchange;
  if (!take_arguments(env, info, 1, arguments) || !take_exchange(env, arguments[0], &exchange)) {
    return NULL;
  }
  if (!exchange->is_stepping || !atomic_load(&exchange->is_done)) {
    return give_int(env, -EAGAIN);
  }
  exchange->is_stepping = false;
  struct gss_step *step = &exchange->step;
  if (napi_create_object(env, &out) != napi_ok ||
      !give_property(env, out, "state", give_int(env, step->state)) ||
      !give_property(env, out, "token", give_token(env, &step->token)) ||
      !give_property(env, out, "isMutual", give_bool(env, step->is_mutual)) ||
      !give_property(env, out, "isIntegral", give_bool(env, step->is_integral)) ||
      !give_property(env, out, "isDelegated", give_bool(env, step->is_delegated)) ||
      !give_property(env, out, "trouble", give_text(env, step->trouble)) ||
      !give_property(env, out, "reason", give_text(env, step->reason))) {
    return NULL;
  }
  return out;
}

/* gssSign(exchange, bytes): the MIC, or why there is none. */
static napi_value sign(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct exchange *exchange;
  struct bytes data;
  struct gss_token mic;
  char reason[GSS_REASON_MAX] = "";
  if (!take_arguments(env, info, 2, arguments) || !take_exchange(env, arguments[0], &exchange) ||
      !take_bytes(env, arguments[1], &data)) {
    return NULL;
  }
  if (exchange->is_stepping) {
    return give_text(env, "a step is running");
  }
  return initiator_sign(exchange->gss, data.data, data.length, &mic, reason) ? give_token(env, &mic)
                                                                       : give_text(env, reason);
}

bool gss_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "gssOpen", open_exchange) &&
         export_function(env, exports, "gssStep", begin_step) &&
         export_function(env, exports, "gssTake", take_step) &&
         export_function(env, exports, "gssSign", sign);
}
