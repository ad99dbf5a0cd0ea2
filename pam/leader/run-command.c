/*
 * AuthorizedKeysCommand and AuthorizedPrincipalsCommand: a program of the administrator's, run as
 * its own user, whose output is taken. Runs in: leader and its children.
 *
 * The helper, become that user for good, starts the program and waits for it; both are in one
 * process group, which the leader kills when the time is over or the login ends.
 */
#include "run-command.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

enum {
  RUN_DONE = 0,
  RUN_NO_USER = 1,
  RUN_NOT_FOUND = 2,
  RUN_UNSAFE = 3,
  RUN_TOO_MUCH = 4,
  OUTPUT_MAX_BYTES = 16 * 1024 * 1024,
  RUN_MAX_MS = 120000,
  ENTRY_MAX_BYTES = 4608,
  EXIT_NOT_EXECUTED = 127,
};

struct run_input {
  const char *file;
  char **arguments;
  uint32_t max_bytes;
  const struct account *account;
};

static bool is_roots(const struct stat *status) {
  return status->st_uid == 0 && (status->st_mode & 022) == 0;
}

/* The program and every directory above it are root's, and nobody else can write them. */
static bool is_safe(const char *file, struct helper_result *result) {
  char path[PATH_MAX];
  struct stat status;
  if (stat(file, &status) != 0 || realpath(file, path) == NULL) {
    result->verdict = RUN_NOT_FOUND;
    snprintf(result->text, sizeof result->text, "%s", strerror(errno));
    return false;
  }
  result->verdict = RUN_UNSAFE;
  if (!S_ISREG(status.st_mode)) {
    snprintf(result->text, sizeof result->text, "%.400s is not a regular file", path);
    return false;
  }
  if (!is_roots(&status)) {
    snprintf(result->text, sizeof result->text, "bad ownership or modes for file %.400s", path);
    return false;
  }
  do {
    const char *parent = dirname(path);
    memmove(path, parent, strlen(parent) + 1);
    if (stat(path, &status) != 0 || !is_roots(&status)) {
      snprintf(result->text, sizeof result->text, "bad ownership or modes for directory %.400s",
               path);
      return false;
    }
  } while (strcmp(path, "/") != 0 && strcmp(path, ".") != 0);
  return true;
}

_Noreturn static void run_program(const struct run_input *input, const int output[2],
                                  const int errors[2]) {
  static char entries[3][ENTRY_MAX_BYTES];
  const struct account *account = input->account;
  snprintf(entries[0], sizeof entries[0], "USER=%s", account->name);
  snprintf(entries[1], sizeof entries[1], "LOGNAME=%s", account->name);
  snprintf(entries[2], sizeof entries[2], "HOME=%s", account->home);
  char path[] = "PATH=/usr/bin:/bin:/usr/sbin:/sbin";
  char *environment[] = {path, entries[0], entries[1], entries[2], NULL};
  int null = open("/dev/null", O_RDONLY);
  /* From 3 on nothing: the helper's way to the leader must not be the program's. */
  if (null < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || dup2(null, STDIN_FILENO) < 0 ||
      dup2(output[1], STDOUT_FILENO) < 0 || dup2(errors[1], STDERR_FILENO) < 0 ||
      close_range(3, ~0U, 0) != 0 || chdir("/") != 0) {
    _exit(EXIT_NOT_EXECUTED);
  }
  execve(input->file, input->arguments, environment);
  _exit(EXIT_NOT_EXECUTED);
}

/* What there is now; true: the end was reached. */
static bool take_errors(int from, struct helper_result *result, size_t *length) {
  char part[4096];
  for (;;) {
    ssize_t count = read(from, part, sizeof part);
    if (count <= 0) {
      return count == 0 || (errno != EAGAIN && errno != EINTR);
    }
    size_t room = sizeof result->text - 1 - *length;
    size_t taken = (size_t)count < room ? (size_t)count : room;
    memcpy(result->text + *length, part, taken);
    *length += taken;
  }
}

/* Until the output ends, whoever holds it. false: more than wanted, or no room for it. */
static bool take_output(int output, int errors, int to, uint32_t max_bytes,
                        struct helper_result *result, size_t *errors_length) {
  uint64_t total = 0;
  struct pollfd sources[2] = {{.fd = output, .events = POLLIN}, {.fd = errors, .events = POLLIN}};
  char part[16384];
  for (;;) {
    if (poll(sources, 2, -1) < 0 && errno != EINTR) {
      result->error = errno;
      return false;
    }
    if (sources[1].revents != 0 && take_errors(errors, result, errors_length)) {
      sources[1].fd = -1;
    }
    if (sources[0].revents == 0) {
      continue;
    }
    ssize_t count = read(output, part, sizeof part);
    if (count == 0) {
      return true;
    }
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      result->error = errno;
      return false;
    }
    total += (uint64_t)count;
    if (total > max_bytes) {
      result->verdict = RUN_TOO_MUCH;
      return false;
    }
    if (write(to, part, (size_t)count) != count) {
      result->error = errno == 0 ? EIO : errno;
      return false;
    }
  }
}

static int wait_for(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) {
      return -1;
    }
  }
  return status;
}

static void collect(pid_t pid, int output, int errors, const struct run_input *input,
                    struct helper_result *result) {
  size_t errors_length = 0;
  int to = memfd_create("sshdesk-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (to < 0 || fcntl(errors, F_SETFL, O_NONBLOCK) != 0) {
    result->error = errno;
  } else if (take_output(output, errors, to, input->max_bytes, result, &errors_length)) {
    int status = wait_for(pid);
    take_errors(errors, result, &errors_length);
    if (lseek(to, 0, SEEK_SET) != 0 ||
        fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
      result->error = errno;
      return;
    }
    result->verdict = RUN_DONE;
    result->number = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) << 8
                                         : (uint32_t)(status < 0 ? 255 : WEXITSTATUS(status));
    result->descriptor = to;
    return;
  }
  result->ends_group = true;
}

static void run_command(const void *data, struct helper_result *result) {
  const struct run_input *input = data;
  int output[2];
  int errors[2];
  if (!is_safe(input->file, result)) {
    return;
  }
  /* Whatever becomes of the leader, what was started does not stay. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || pipe2(output, O_CLOEXEC) != 0 ||
      pipe2(errors, O_CLOEXEC) != 0) {
    result->error = errno;
    return;
  }
  pid_t pid = fork();
  if (pid == 0) {
    run_program(input, output, errors);
  }
  if (pid < 0) {
    result->error = errno;
    return;
  }
  close(output[1]);
  close(errors[1]);
  collect(pid, output[0], errors[0], input, result);
}

static void command_has_run(struct leader *leader, const struct call *call,
                            const struct helper_result *result) {
  int error = result->error;
  if (error == 0 && result->verdict == RUN_DONE && result->descriptor < 0) {
    error = EMFILE;
  }
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
    return;
  }
  struct writer writer;
  reply_start(&writer, call);
  write_byte(&writer, result->verdict);
  write_uint32(&writer, result->number & 0xff);
  write_uint32(&writer, result->number >> 8);
  write_string(&writer, result->text, strlen(result->text));
  link_reply(&leader->link, call, &writer, &result->descriptor,
             result->verdict == RUN_DONE ? 1 : 0);
}

static int start(struct leader *leader, const struct call *call, const char *user,
                 struct run_input *input, uint32_t timeout_ms) {
  struct account account;
  int error = account_find(user, &account);
  if (error != 0) {
    return error;
  }
  if (account.exists) {
    input->account = &account;
    error = helper_start(&leader->helpers, &account, call, run_command, input, command_has_run,
                         timeout_ms);
  } else {
    struct helper_result none = {.verdict = RUN_NO_USER, .descriptor = -1};
    command_has_run(leader, call, &none);
  }
  account_free(&account);
  return error;
}

void order_run_command(struct leader *leader, const struct call *call, struct reader *reader) {
  size_t count;
  const char *user = read_text(reader);
  struct run_input input = {.file = read_text(reader)};
  input.arguments = read_texts(reader, LIST_MAX, &count);
  input.max_bytes = read_uint32(reader);
  uint32_t timeout_ms = read_uint32(reader);
  if (reader_done(reader)) {
    bool fits = !reader->has_nul && input.file[0] == '/' && count > 0 &&
                input.max_bytes <= OUTPUT_MAX_BYTES && timeout_ms <= RUN_MAX_MS;
    /* Nobody else's command either is run for a name that nobody has. */
    int error = !leader->account.exists ? EPERM
                : !fits                 ? EINVAL
                                        : start(leader, call, user, &input, timeout_ms);
    if (error != 0) {
      link_fail(&leader->link, call, error, NULL);
    }
  }
  free(input.arguments);
}
