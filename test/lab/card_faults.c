/*
 * A PKCS#11 module between the one who calls and another module, with what modules and cards do
 * wrong, at one function: CARD_FAULT=KIND@FUNCTION. Calls, and how long the card signed, are written
 * down in the file CARD_LOG.
 * CARD_MODULE is the real one, CARD_FLAGS are added to the flags of each token, CARD_PIN is what a
 * person types on the pad of the reader, CARD_POINT=raw gives curve points without their DER, and
 * CARD_HIDE=public hides public keys until the PIN was given. For tests.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pkcs11/pkcs11.h>

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST ours;
static int is_logged_in;

static const char *setting(const char *name) {
  const char *value = getenv(name);
  return value == NULL ? "" : value;
}

static void note(const char *text) {
  int file = open(setting("CARD_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (file >= 0) {
    dprintf(file, "%s\n", text);
    close(file);
  }
}

static void hang(void) {
  for (;;) {
    pause();
  }
}

/* What the function is to return, or CKR_OK: it goes on. */
static CK_RV fault(const char *function) {
  char kind[32];
  const char *wanted = setting("CARD_FAULT");
  const char *at = strchr(wanted, '@');
  note(function);
  if (at == NULL || strcmp(at + 1, function) != 0 || (size_t)(at - wanted) >= sizeof kind) {
    return CKR_OK;
  }
  memcpy(kind, wanted, (size_t)(at - wanted));
  kind[at - wanted] = 0;
  if (strcmp(kind, "crash") == 0) {
    raise(SIGSEGV);
  } else if (strcmp(kind, "hang") == 0) {
    hang();
  } else if (strcmp(kind, "exit") == 0) {
    exit(0);
  } else if (strcmp(kind, "print") == 0) {
    printf("Enter your password: ");
    fflush(stdout);
    fprintf(stderr, "from the module\n");
    fflush(stderr);
  } else if (strcmp(kind, "babble") == 0) {
    /* Into every descriptor that it finds open, the link among them. */
    for (int file = 3; file < 64; file++) {
      ssize_t ignored = write(file, "babble", 6);
      (void)ignored;
    }
  } else if (strcmp(kind, "fail") == 0) {
    return CKR_FUNCTION_FAILED;
  } else if (strcmp(kind, "fork-stays") == 0) {
    if (fork() == 0) {
      hang();
    }
  } else if (strcmp(kind, "fork-returns") == 0) {
    (void)!fork();
  } else if (strcmp(kind, "fork-crash") == 0) {
    if (fork() == 0) {
      hang();
    }
    raise(SIGSEGV);
  } else if (strcmp(kind, "removed") == 0) {
    return CKR_DEVICE_REMOVED;
  } else if (strcmp(kind, "absent") == 0) {
    return CKR_TOKEN_NOT_PRESENT;
  } else if (strcmp(kind, "vendor") == 0) {
    return CKR_VENDOR_DEFINED | 7;
  }
  return CKR_OK;
}

#define FAULT(name)          \
  do {                       \
    CK_RV rv = fault(name);  \
    if (rv != CKR_OK) {      \
      return rv;             \
    }                        \
  } while (0)

static CK_RV initialize(CK_VOID_PTR arguments) {
  FAULT("C_Initialize");
  return real->C_Initialize(arguments);
}

static CK_RV finalize(CK_VOID_PTR reserved) {
  FAULT("C_Finalize");
  return real->C_Finalize(reserved);
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  FAULT("C_GetSlotList");
  return real->C_GetSlotList(present, slots, count);
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  CK_RV rv = real->C_GetTokenInfo(slot, info);
  if (rv == CKR_OK) {
    info->flags |= strtoul(setting("CARD_FLAGS"), NULL, 16);
  }
  return rv;
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attributes,
                               CK_ULONG count) {
  CK_OBJECT_CLASS none = CKO_HW_FEATURE;
  CK_ATTRIBUTE nothing = {CKA_CLASS, &none, sizeof none};
  FAULT("C_FindObjectsInit");
  if (strcmp(setting("CARD_HIDE"), "public") == 0 && !is_logged_in) {
    return real->C_FindObjectsInit(session, &nothing, 1);
  }
  return real->C_FindObjectsInit(session, attributes, count);
}

/* An OCTET STRING of up to 255 bytes becomes what is in it. */
static void unwrap(CK_ATTRIBUTE_PTR attribute) {
  CK_BYTE *bytes = attribute->pValue;
  CK_ULONG header = bytes != NULL && bytes[1] == 0x81 ? 3 : 2;
  if (bytes != NULL && attribute->ulValueLen > header) {
    attribute->ulValueLen -= header;
    memmove(bytes, bytes + header, attribute->ulValueLen);
  }
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                 CK_ATTRIBUTE_PTR attributes, CK_ULONG count) {
  CK_RV rv = real->C_GetAttributeValue(session, object, attributes, count);
  for (CK_ULONG at = 0; rv == CKR_OK && at < count; at++) {
    if (attributes[at].type == CKA_EC_POINT && strcmp(setting("CARD_POINT"), "raw") == 0) {
      unwrap(&attributes[at]);
    }
  }
  return rv;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin,
                   CK_ULONG length) {
  FAULT("C_Login");
  if (user == CKU_CONTEXT_SPECIFIC) {
    note("context");
  }
  if (pin == NULL) {
    pin = (CK_UTF8CHAR_PTR)setting("CARD_PIN");
    length = strlen((char *)pin);
    note("pad");
  }
  CK_RV rv = real->C_Login(session, user, pin, length);
  is_logged_in = is_logged_in || rv == CKR_OK;
  return rv;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                       CK_OBJECT_HANDLE key) {
  FAULT("C_SignInit");
  return real->C_SignInit(session, mechanism, key);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length,
                  CK_BYTE_PTR signature, CK_ULONG_PTR signature_length) {
  struct timespec began, done;
  char took[64];
  FAULT("C_Sign");
  clock_gettime(CLOCK_MONOTONIC, &began);
  CK_RV rv = real->C_Sign(session, data, length, signature, signature_length);
  clock_gettime(CLOCK_MONOTONIC, &done);
  snprintf(took, sizeof took, "microseconds %ld",
           (done.tv_sec - began.tv_sec) * 1000000 + (done.tv_nsec - began.tv_nsec) / 1000);
  note(took);
  if (rv == CKR_OK && strcmp(setting("CARD_FAULT"), "wrong@signature") == 0) {
    signature[*signature_length - 1] ^= 1;
  }
  return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  if (real == NULL) {
    void *module = dlopen(setting("CARD_MODULE"), RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get =
        module == NULL ? NULL : (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
    if (get == NULL || get(&real) != CKR_OK) {
      return CKR_GENERAL_ERROR;
    }
    ours = *real;
    ours.C_Initialize = initialize;
    ours.C_Finalize = finalize;
    ours.C_GetSlotList = get_slot_list;
    ours.C_GetTokenInfo = get_token_info;
    ours.C_FindObjectsInit = find_objects_init;
    ours.C_GetAttributeValue = get_attribute_value;
    ours.C_Login = login;
    ours.C_SignInit = sign_init;
    ours.C_Sign = sign;
  }
  *list = &ours;
  return CKR_OK;
}

/* At once when it is loaded: before any function is called. */
__attribute__((constructor)) static void loaded(void) {
  (void)fault("load");
}
