/* Files that a display engine reads again for each viewer. Runs in: leader of a desktop and its children. */
#include "desktop-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "leader.h"

enum { FILES_MAX = 8, NAME_MAX_BYTES = 32, CONTENT_MAX = 16 * 1024 };

struct written_file {
  const char *name;
  struct bytes content;
};

struct write_files_input {
  const char *directory; /* of the desktop */
  const char *below;     /* in its user's part */
  struct written_file files[FILES_MAX];
  uint32_t count;
};

/* Small letters and hyphens: no path, no dot, and never what else stands in the user's part. */
static bool is_plain_name(const char *name) {
  size_t length = strlen(name);
  return length > 0 && length <= NAME_MAX_BYTES &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz-") == length;
}

/* Whoever reads it meanwhile sees the old one or the new one whole. */
static int replace_file(int at, const struct written_file *file) {
  char fresh[NAME_MAX_BYTES + 8];
  snprintf(fresh, sizeof fresh, ".%s", file->name);
  unlinkat(at, fresh, 0);
  int descriptor = openat(at, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return errno;
  }
  ssize_t written = write(descriptor, file->content.at, file->content.length);
  int error = written == (ssize_t)file->content.length ? 0 : written < 0 ? errno : ENOSPC;
  close(descriptor);
  if (error == 0 && renameat(at, fresh, at, file->name) != 0) {
    error = errno;
  }
  if (error != 0) {
    unlinkat(at, fresh, 0);
  }
  return error;
}

/* A helper_work: as the user, in whose directory they are. */
static void write_files(const void *data, struct helper_result *result) {
  const struct write_files_input *input = data;
  char path[DESKTOP_PATH_MAX + NAME_MAX_BYTES + 16];
  snprintf(path, sizeof path, "%s/user/%s", input->directory, input->below);
  umask(0077);
  int at = mkdir(path, 0700) != 0 && errno != EEXIST
               ? -1
               : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (at < 0) {
    result->error = errno;
    return;
  }
  for (uint32_t i = 0; i < input->count && result->error == 0; i++) {
    result->error = replace_file(at, &input->files[i]);
  }
  close(at);
}

static void files_are_written(struct leader *leader, const struct call *call,
                              const struct helper_result *result) {
  if (result->error != 0) {
    link_fail(&leader->link, call, result->error, NULL);
  } else {
    link_reply_empty(&leader->link, call);
  }
}

void order_write_files(struct leader *leader, const struct call *call, struct reader *reader) {
  struct write_files_input input = {.directory = leader->desktop.directory};
  input.below = read_text(reader);
  input.count = read_uint32(reader);
  if (reader->broken || input.count > FILES_MAX) {
    reader->broken = true;
    return;
  }
  bool are_good = is_plain_name(input.below);
  for (uint32_t i = 0; i < input.count; i++) {
    input.files[i].name = read_text(reader);
    input.files[i].content = read_string(reader);
    are_good = are_good && is_plain_name(input.files[i].name) &&
               input.files[i].content.length <= CONTENT_MAX;
  }
  if (!reader_done(reader)) {
    return;
  }
  int error = !are_good || reader->has_nul
                  ? EINVAL
                  : helper_start(&leader->helpers, &leader->account, call, write_files, &input,
                                 files_are_written, HELPER_PATIENCE_MS);
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}
