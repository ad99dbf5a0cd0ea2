/* Reading a file as the user, with the checks of sshd's StrictModes. Runs in: child of a leader. */
#include "read-file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of more accounts is not asked further: the group counts as shared. */
enum { ACCOUNTS_LOOKED_AT = 20000 };

__attribute__((format(printf, 2, 3))) static void refuse(struct helper_result *result,
                                                         const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  result->verdict = READ_FILE_REFUSED;
  vsnprintf(result->text, sizeof result->text, format, arguments);
  va_end(arguments);
}

/*
 * The user's own group, with nobody else in it: Debian's sshd lets it write, because an umask of 002
 * goes with such groups. Whoever has it as primary group counts as well.
 */
static bool is_private_group(gid_t gid, const struct read_file_input *input) {
  struct group *group = gid == input->gid ? getgrgid(gid) : NULL;
  if (group == NULL) {
    return false;
  }
  for (char **member = group->gr_mem; *member != NULL; member++) {
    if (strcmp(*member, input->user) != 0) {
      return false;
    }
  }
  bool alone = true;
  int left = ACCOUNTS_LOOKED_AT;
  setpwent();
  for (struct passwd *other = getpwent(); alone && other != NULL; other = getpwent()) {
    alone = --left > 0 && (other->pw_gid != gid || other->pw_uid == input->uid);
  }
  endpwent();
  return alone;
}

static bool is_safe(const struct stat *status, const struct read_file_input *input) {
  return (status->st_uid == 0 || status->st_uid == input->uid) && (status->st_mode & 002) == 0 &&
         ((status->st_mode & 020) == 0 || is_private_group(status->st_gid, input));
}

/* Every directory from the file's up to home, or to / when the file is outside of it. */
static bool directories_are_safe(const struct read_file_input *input,
                                 struct helper_result *result) {
  char path[PATH_MAX];
  char home[PATH_MAX];
  if (realpath(input->path, path) == NULL) {
    refuse(result, "realpath %.300s: %s", input->path, strerror(errno));
    return false;
  }
  bool has_home = realpath(input->home, home) != NULL;
  for (;;) {
    char *parent = dirname(path);
    memmove(path, parent, strlen(parent) + 1);
    struct stat status;
    if (stat(path, &status) != 0 || !is_safe(&status, input)) {
      refuse(result, "bad ownership or modes for directory %.400s", path);
      return false;
    }
    if ((has_home && strcmp(path, home) == 0) || strcmp(path, "/") == 0 ||
        strcmp(path, ".") == 0) {
      return true;
    }
  }
}

static int copy_sealed(int from, uint32_t max_bytes, struct helper_result *result) {
  int to = memfd_create("sshdesk-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (to < 0) {
    result->error = errno;
    return -1;
  }
  char part[16384];
  uint64_t total = 0;
  for (;;) {
    ssize_t length = read(from, part, sizeof part);
    if (length == 0) {
      break;
    }
    if (length < 0) {
      if (errno == EINTR) {
        continue;
      }
      refuse(result, "cannot be read: %s", strerror(errno));
      goto failed;
    }
    total += (uint64_t)length;
    if (total > max_bytes) {
      refuse(result, "larger than %u bytes", max_bytes);
      goto failed;
    }
    if (write(to, part, (size_t)length) != length) {
      result->error = errno == 0 ? EIO : errno;
      goto failed;
    }
  }
  if (lseek(to, 0, SEEK_SET) != 0 ||
      fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    result->error = errno;
    goto failed;
  }
  return to;
failed:
  close(to);
  return -1;
}

void read_file(const void *data, struct helper_result *result) {
  const struct read_file_input *input = data;
  if (input->path[0] != '/') {
    result->error = EINVAL;
    return;
  }
  /* O_NONBLOCK: a FIFO in the file's place must not hold anybody. */
  int from = open(input->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (from < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      result->verdict = READ_FILE_ABSENT;
    } else {
      refuse(result, "%.400s cannot be opened: %s", input->path, strerror(errno));
    }
    return;
  }
  struct stat status;
  if (fstat(from, &status) != 0) {
    result->error = errno;
  } else if (!S_ISREG(status.st_mode)) {
    refuse(result, "%.400s is not a regular file", input->path);
  } else if (input->strict && !is_safe(&status, input)) {
    refuse(result, "bad ownership or modes for file %.400s", input->path);
  } else if (!input->strict || directories_are_safe(input, result)) {
    result->descriptor = copy_sealed(from, input->max_bytes, result);
  }
  close(from);
}
