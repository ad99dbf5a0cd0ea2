/* The initiator of GSSAPI, Kerberos alone (RFC 2744, RFC 4121). Runs in: user, in a thread. */
#include "gss-initiator.h"

#include <dlfcn.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libgssapi_krb5.so.2"
#define FUNCTIONS(DO)                                                                              \
  DO(gss_import_name)                                                                              \
  DO(gss_release_name)                                                                             \
  DO(gss_display_status)                                                                           \
  DO(gss_init_sec_context)                                                                         \
  DO(gss_delete_sec_context)                                                                       \
  DO(gss_get_mic)                                                                                  \
  DO(gss_release_buffer)

#define DECLARE(name) __typeof__(&name) name;
struct library {
  FUNCTIONS(DECLARE)
};

struct gss_initiator {
  struct library of;
  bool is_loaded;
  bool is_complete;
  bool is_over;
  bool delegate;
  gss_name_t server;
  gss_ctx_id_t context;
  char service[sizeof "host@" + GSS_HOST_MAX];
};

/* RFC 1964 §1, RFC 2743 §4.1 in DER, without tag and length. */
static gss_OID_desc kerberos = {.length = 9, .elements = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"};
static gss_OID_desc host_based = {.length = 10,
                                  .elements = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"};

/* What the remedies of ssh/client/gssapi.ts go by. */
static const struct {
  krb5_error_code code;
  const char *trouble;
} troubles[] = {
    {KRB5_FCC_NOFILE, "no-tickets"},
    {KRB5_CC_NOTFOUND, "no-tickets"},
    {KRB5_FCC_PERM, "no-tickets"},
    {KRB5_CC_FORMAT, "no-tickets"},
    {KRB5_CC_END, "no-tickets"},
    {KRB5KRB_AP_ERR_TKT_EXPIRED, "expired"},
    {KRB5KDC_ERR_NEVER_VALID, "expired"},
    {KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, "unknown-host"},
    {KRB5_ERR_HOST_REALM_UNKNOWN, "unknown-host"},
    {KRB5_KDC_UNREACH, "unreachable"},
    {KRB5_REALM_CANT_RESOLVE, "unreachable"},
    {KRB5_REALM_UNKNOWN, "unreachable"},
    {KRB5KRB_AP_ERR_SKEW, "skew"},
    {KRB5_KDCREP_SKEW, "skew"},
    {KRB5KRB_AP_ERR_TKT_NYV, "skew"},
    {KRB5_CONFIG_NODEFREALM, "no-realm"},
    {KRB5_CONFIG_CANTOPEN, "no-realm"},
    {KRB5KRB_AP_ERR_MODIFIED, "wrong-key"},
    {KRB5KRB_AP_ERR_BAD_INTEGRITY, "wrong-key"},
    {KRB5KRB_AP_ERR_BADKEYVER, "wrong-key"},
    {KRB5KRB_AP_ERR_NOKEY, "wrong-key"},
    {KRB5KRB_AP_ERR_NOT_US, "wrong-key"},
    {KRB5KRB_AP_WRONG_PRINC, "wrong-key"},
    {KRB5_MUTUAL_FAILED, "wrong-key"},
};

static const char *trouble_of(OM_uint32 major, OM_uint32 minor) {
  for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++) {
    if (minor == (OM_uint32)troubles[i].code) {
      return troubles[i].trouble;
    }
  }
  switch (GSS_ROUTINE_ERROR(major)) {
  case GSS_S_NO_CRED:
    return "no-tickets";
  case GSS_S_CREDENTIALS_EXPIRED:
    return "expired";
  default:
    return "other";
  }
}

static bool load(struct gss_initiator *gss, char reason[GSS_REASON_MAX]) {
  if (gss->is_loaded) {
    return true;
  }
  void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == NULL) {
    snprintf(reason, GSS_REASON_MAX, "%s", LIBRARY " cannot be loaded");
    return false;
  }
#define FIND(name)                                                                                 \
  *(void **)&gss->of.name = dlsym(library, #name);                                                 \
  if (gss->of.name == NULL) {                                                                      \
    snprintf(reason, GSS_REASON_MAX, "%s", LIBRARY " has no " #name);                              \
    return false;                                                                                  \
  }
  FUNCTIONS(FIND)
  gss->is_loaded = true;
  return true;
}

/* Both halves of a status as people read them, a status may have several lines. */
static void describe(const struct library *of, OM_uint32 major, OM_uint32 minor, char *to) {
  const struct {
    OM_uint32 code;
    int type;
  } halves[] = {{major, GSS_C_GSS_CODE}, {minor, GSS_C_MECH_CODE}};
  enum { LINES_MAX = 4 };
  size_t used = 0;
  to[0] = '\0';
  /* That there is a minor status is all that some major ones say. */
  bool is_minor = minor != 0 && GSS_ROUTINE_ERROR(major) == GSS_S_FAILURE;
  for (size_t i = is_minor ? 1 : 0; i < 2; i++) {
    OM_uint32 ignored, more = 0;
    for (int line = 0; halves[i].code != 0 && line < LINES_MAX && used < GSS_REASON_MAX - 3; line++) {
      gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
      if (of->gss_display_status(&ignored, halves[i].code, halves[i].type, &kerberos, &more, &text) !=
          GSS_S_COMPLETE) {
        break;
      }
      int room = (int)(GSS_REASON_MAX - used);
      int length = text.length < GSS_REASON_MAX ? (int)text.length : GSS_REASON_MAX;
      int wanted = snprintf(to + used, (size_t)room, "%s%.*s", used == 0 ? "" : ": ", length,
                            (const char *)text.value);
      of->gss_release_buffer(&ignored, &text);
      used += wanted < 0 ? 0 : (size_t)(wanted < room ? wanted : room - 1);
      if (more == 0) {
        break;
      }
    }
  }
  for (char *at = to; *at != '\0'; at++) {
    if ((unsigned char)*at < ' ' || *at == 0x7f) {
      *at = ' ';
    }
  }
}

struct gss_initiator *initiator_open(const char *host, bool delegate) {
  size_t length = strlen(host);
  if (length == 0 || length > GSS_HOST_MAX) {
    return NULL;
  }
  struct gss_initiator *gss = calloc(1, sizeof *gss);
  if (gss != NULL) {
    gss->server = GSS_C_NO_NAME;
    gss->context = GSS_C_NO_CONTEXT;
    gss->delegate = delegate;
    snprintf(gss->service, sizeof gss->service, "host@%s", host);
  }
  return gss;
}

static void fail(struct gss_initiator *gss, struct gss_step *out, const char *trouble) {
  out->state = GSS_FAILED;
  out->trouble = trouble;
  gss->is_over = true;
}

static bool copy_token(const gss_buffer_desc *from, struct gss_token *to) {
  if (from->length == 0) {
    return true;
  }
  to->data = from->length > GSS_TOKEN_MAX ? NULL : malloc(from->length);
  if (to->data == NULL) {
    return false;
  }
  memcpy(to->data, from->value, from->length);
  to->length = from->length;
  return true;
}

/* The server's name as the mechanism makes it of the host's: krb5.conf says whether DNS is asked. */
static OM_uint32 import(struct gss_initiator *gss, OM_uint32 *minor) {
  gss_buffer_desc text = {.length = strlen(gss->service), .value = gss->service};
  return gss->of.gss_import_name(minor, &text, &host_based, &gss->server);
}

void initiator_step(struct gss_initiator *gss, const uint8_t *input, size_t length, struct gss_step *out) {
  OM_uint32 minor = 0, major = GSS_S_COMPLETE, flags = 0, ignored;
  memset(out, 0, sizeof *out);
  out->trouble = "";
  if (gss->is_over || gss->is_complete || length > GSS_TOKEN_MAX ||
      (length == 0) != (gss->context == GSS_C_NO_CONTEXT)) {
    snprintf(out->reason, sizeof out->reason, "%s", "a token where none belongs");
    fail(gss, out, "protocol");
    return;
  }
  if (!load(gss, out->reason)) {
    fail(gss, out, "no-library");
    return;
  }
  if (gss->server == GSS_C_NO_NAME) {
    major = import(gss, &minor);
  }
  gss_buffer_desc given = {.length = length, .value = (void *)(uintptr_t)input};
  gss_buffer_desc made = GSS_C_EMPTY_BUFFER;
  if (!GSS_ERROR(major)) {
    OM_uint32 wanted = GSS_C_MUTUAL_FLAG | GSS_C_INTEG_FLAG | (gss->delegate ? GSS_C_DELEG_FLAG : 0);
    major = gss->of.gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &gss->context, gss->server,
                                         &kerberos, wanted, 0, GSS_C_NO_CHANNEL_BINDINGS,
                                         length == 0 ? GSS_C_NO_BUFFER : &given, NULL, &made, &flags,
                                         NULL);
  }
  if (GSS_ERROR(major)) {
    describe(&gss->of, major, minor, out->reason);
    fail(gss, out, trouble_of(major, minor));
  } else {
    gss->is_complete = (major & GSS_S_CONTINUE_NEEDED) == 0;
    out->state = gss->is_complete ? GSS_COMPLETE : GSS_MORE;
    out->is_mutual = (flags & GSS_C_MUTUAL_FLAG) != 0;
    out->is_integral = (flags & GSS_C_INTEG_FLAG) != 0;
    out->is_delegated = (flags & GSS_C_DELEG_FLAG) != 0;
  }
  /* A failure may have a token too: it tells the server. */
  if (!copy_token(&made, &out->token) && out->state != GSS_FAILED) {
    snprintf(out->reason, sizeof out->reason, "a token of %zu bytes", made.length);
    gss->is_complete = false;
    fail(gss, out, "other");
  }
  if (made.value != NULL) {
    gss->of.gss_release_buffer(&ignored, &made);
  }
}

bool initiator_sign(struct gss_initiator *gss, const uint8_t *data, size_t length, struct gss_token *out,
              char reason[GSS_REASON_MAX]) {
  memset(out, 0, sizeof *out);
  if (!gss->is_complete || gss->is_over || length > GSS_SIGNED_MAX) {
    snprintf(reason, GSS_REASON_MAX, "%s", "no complete context");
    return false;
  }
  gss_buffer_desc message = {.length = length, .value = (void *)(uintptr_t)data};
  gss_buffer_desc mic = GSS_C_EMPTY_BUFFER;
  OM_uint32 minor = 0, ignored;
  OM_uint32 major = gss->of.gss_get_mic(&minor, gss->context, GSS_C_QOP_DEFAULT, &message, &mic);
  if (GSS_ERROR(major)) {
    describe(&gss->of, major, minor, reason);
    return false;
  }
  bool fits = copy_token(&mic, out);
  gss->of.gss_release_buffer(&ignored, &mic);
  if (!fits) {
    snprintf(reason, GSS_REASON_MAX, "%s", "a MIC that is too long");
  }
  return fits;
}

void initiator_close(struct gss_initiator *gss) {
  OM_uint32 minor;
  if (gss == NULL) {
    return;
  }
  if (gss->context != GSS_C_NO_CONTEXT) {
    gss->of.gss_delete_sec_context(&minor, &gss->context, GSS_C_NO_BUFFER);
  }
  if (gss->server != GSS_C_NO_NAME) {
    gss->of.gss_release_name(&minor, &gss->server);
  }
  free(gss);
}
