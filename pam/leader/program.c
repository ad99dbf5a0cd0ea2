/* A program that runs to its end with something on its stdin. Runs in: children of a leader. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

bool program_read(struct reader *reader, struct program *program) {
  size_t count = 0;
  program->file = read_text(reader);
  program->arguments = read_texts(reader, LIST_MAX, &count);
  program->input = read_string(reader);
  if (reader->broken || count == 0 || program->input.length > PROGRAM_INPUT_MAX) {
    free(program->arguments);
    program->arguments = NULL;
    return false;
  }
  return true;
}

static void write_all(int to, struct bytes bytes) {
  while (bytes.length > 0) {
    ssize_t written = write(to, bytes.at, bytes.length);
    if (written < 0 && errno != EINTR) {
      return; /* it does not read what it is given, as it may */
    }
    if (written > 0) {
      bytes.at += written;
      bytes.length -= (size_t)written;
    }
  }
}

int program_run(const struct program *program, char **environment) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return errno;
  }
  pid_t pid = fork();
  if (pid == 0) {
    if (dup2(ends[0], STDIN_FILENO) == STDIN_FILENO) {
      execve(program->file, program->arguments, environment);
    }
    _exit(127);
  }
  int error = pid < 0 ? errno : 0;
  close(ends[0]);
  if (error == 0) {
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    write_all(ends[1], program->input);
    signal(SIGPIPE, before);
  }
  close(ends[1]);
  while (error == 0 && waitpid(pid, NULL, 0) < 0) {
    error = errno == EINTR ? 0 : errno;
  }
  return error;
}

bool preparations_read(struct reader *reader, struct preparations *preparations) {
  *preparations = (struct preparations){0};
  uint32_t count = read_uint32(reader);
  if (reader->broken || count > PREPARATIONS_MAX) {
    reader->broken = true;
    return false;
  }
  for (uint32_t i = 0; i < count; i++) {
    struct preparation *preparation = &preparations->list[i];
    preparation->exists = read_text(reader);
    if (!program_read(reader, &preparation->program)) {
      reader->broken = true;
      return false;
    }
    preparations->count++;
  }
  return true;
}

void preparations_free(struct preparations *preparations) {
  for (size_t i = 0; i < preparations->count; i++) {
    free(preparations->list[i].program.arguments);
  }
  preparations->count = 0;
}

const struct program *preparations_choose(const struct preparations *preparations) {
  for (size_t i = 0; i < preparations->count; i++) {
    const struct preparation *preparation = &preparations->list[i];
    struct stat status;
    if (preparation->exists[0] == '\0' || stat(preparation->exists, &status) == 0) {
      return &preparation->program;
    }
  }
  return NULL;
}
