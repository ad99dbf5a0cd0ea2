/*
 * Modules that every login loads, loaded once: their pages are then shared by all leaders, where each
 * would have some 100 kB of its own. Linux-PAM's own ones alone, which do nothing when they are
 * loaded; what others do in their constructors (threads, say) has no place here. Runs in: zygote.
 */
#include "preload.h"

#include <dlfcn.h>
#include <limits.h>
#include <security/pam_appl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Debian's stack for sshd. */
static const char *const modules[] = {
    "pam_unix",  "pam_deny",     "pam_permit",  "pam_env",  "pam_nologin", "pam_limits",
    "pam_motd",  "pam_loginuid", "pam_keyinit", "pam_mail", "pam_selinux",
};

void preload_modules(void) {
  Dl_info library;
  char path[PATH_MAX];
  /* Debian keeps them beside the library. */
  if (dladdr((void *)(uintptr_t)pam_start, &library) == 0 || library.dli_fname == NULL) {
    return;
  }
  const char *slash = strrchr(library.dli_fname, '/');
  if (library.dli_fname[0] != '/' || slash == NULL) {
    return;
  }
  int folder = (int)(slash - library.dli_fname);
  for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
    int length = snprintf(path, sizeof path, "%.*s/security/%s.so", folder, library.dli_fname,
                          modules[i]);
    if (length > 0 && (size_t)length < sizeof path) {
      (void)dlopen(path, RTLD_NOW | RTLD_NODELETE);
    }
  }
  /* Where accounts of systemd are looked up; the others of nsswitch.conf may hold connections. */
  (void)dlopen("libnss_systemd.so.2", RTLD_NOW | RTLD_NODELETE);
}
