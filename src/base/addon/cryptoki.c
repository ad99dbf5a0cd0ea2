/*
 * C_Login (PKCS#11 v2.40 §5.6) of a module that is loaded already, with the PIN out of a buffer that
 * the caller erases: the package takes a string, which nobody can erase, and cannot say "no PIN", with
 * which a reader asks on its own pad. Runs in: card.
 */
#include "addon.h"

#include <dlfcn.h>
#include <limits.h>

/* CK_FUNCTION_LIST: the version, padded, then the functions in the order of the standard. */
#define LOGIN_INDEX 18
#define GENERAL_ERROR 5ul
#define MAX_PIN_BYTES 256

struct function_list {
  unsigned char version[2];
  void (*functions[LOGIN_INDEX + 1])(void);
};

typedef unsigned long (*get_function_list)(struct function_list **list);
typedef unsigned long (*login)(unsigned long session, unsigned long user_type, unsigned char *pin,
                               unsigned long pin_length);

static unsigned long log_in(const char *path, uint64_t session, int32_t user_type,
                            const struct bytes *pin) {
  unsigned long result = GENERAL_ERROR;
  struct function_list *list = NULL;
  void *module = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
  if (module == NULL) {
    return result;
  }
  get_function_list get = (get_function_list)dlsym(module, "C_GetFunctionList");
  if (get != NULL && get(&list) == 0 && list != NULL) {
    login call = (login)list->functions[LOGIN_INDEX];
    if (call != NULL) {
      result = call((unsigned long)session, (unsigned long)user_type,
                    pin->length == 0 ? NULL : pin->data, pin->length);
    }
  }
  dlclose(module);
  return result;
}

/* cryptokiLogin(path, session as a CK_ULONG of the machine, userType, pin): a CK_RV. */
static napi_value cryptoki_login(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  char path[PATH_MAX];
  struct bytes session, pin;
  int32_t user_type;
  unsigned long handle;
  if (!take_arguments(env, info, 4, arguments) || !take_path(env, arguments[0], path, sizeof path) ||
      !take_bytes(env, arguments[1], &session) || !take_int(env, arguments[2], &user_type) ||
      !take_bytes(env, arguments[3], &pin)) {
    return NULL;
  }
  if (session.length != sizeof handle || pin.length > MAX_PIN_BYTES || user_type < 0) {
    napi_throw_range_error(env, NULL, "not a session, or too long a PIN");
    return NULL;
  }
  __builtin_memcpy(&handle, session.data, sizeof handle);
  return give_int(env, (int64_t)log_in(path, handle, user_type, &pin));
}

bool cryptoki_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "cryptokiLogin", cryptoki_login);
}
