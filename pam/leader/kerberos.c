/* The system's libraries of Kerberos and GSSAPI. Runs in: leader and its children. */
#include "kerberos.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "process.h"

bool kerberos_load(struct kerberos *kerberos) {
  void *gssapi = dlopen("libgssapi_krb5.so.2", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  void *krb5 = gssapi == NULL ? NULL : dlopen("libkrb5.so.3", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (krb5 == NULL) {
    complain("Kerberos: %s", dlerror());
    return false;
  }
#define FIND(from, name)                                                                           \
  *(void **)&kerberos->name = dlsym(from, #name);                                                   \
  if (kerberos->name == NULL) {                                                                     \
    complain("Kerberos: no " #name);                                                               \
    return false;                                                                                  \
  }
#define FIND_GSSAPI(name) FIND(gssapi, name)
#define FIND_KRB5(name) FIND(krb5, name)
  KERBEROS_OF_GSSAPI(FIND_GSSAPI)
  KERBEROS_OF_KRB5(FIND_KRB5)
  return true;
}

const char *kerberos_path(const char *name) {
  return name + sizeof "FILE:" - 1;
}

int kerberos_make_file(const char *name) {
  int descriptor = open(kerberos_path(name), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return errno;
  }
  close(descriptor);
  return 0;
}
