/* ChrootDirectory, judged step by step and entered. Runs in: leader and its children. */
#include "chroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 40 };

struct walk {
  int at;
  unsigned links;
  char walked[PATH_MAX]; /* for words: how `at` was reached */
  char rest[PATH_MAX];
  char *why;
  size_t room;
};

static bool is_last(const struct walk *walk) {
  return walk->rest[strspn(walk->rest, "/")] == '\0';
}

/* Of the directory that is to be the root sshd says `directory`, of one above it `component`. */
static bool judge(struct walk *walk, const char *path, const struct stat *status) {
  bool is_root = is_last(walk);
  if (status->st_uid != 0 || (status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    snprintf(walk->why, walk->room, "bad ownership or modes for chroot directory %s\"%s\"",
             is_root ? "" : "component ", path);
    return false;
  }
  if (!S_ISDIR(status->st_mode)) {
    snprintf(walk->why, walk->room, "chroot path \"%s\" is not a directory", path);
    return false;
  }
  return true;
}

static bool take(struct walk *walk, int next, const char *path, const struct stat *status) {
  if (!judge(walk, path, status)) {
    close(next);
    return false;
  }
  if (walk->at >= 0) {
    close(walk->at);
  }
  walk->at = next;
  memmove(walk->walked, path, strlen(path) + 1);
  return true;
}

static bool cannot(struct walk *walk, const char *path, int error) {
  snprintf(walk->why, walk->room, "safely_chroot: stat(\"%s\"): %s", path, strerror(error));
  return false;
}

static bool begin_at_root(struct walk *walk) {
  struct stat status;
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || fstat(root, &status) != 0) {
    int error = errno;
    if (root >= 0) {
      close(root);
    }
    return cannot(walk, "/", error);
  }
  return take(walk, root, "/", &status);
}

/* What the link says takes the link's place in what is left to walk. */
static bool follow(struct walk *walk, int link, const char *path) {
  char target[PATH_MAX];
  char rest[PATH_MAX];
  ssize_t length = readlinkat(link, "", target, sizeof target - 1);
  if (length < 0) {
    return cannot(walk, path, errno);
  }
  target[length] = '\0';
  int written = snprintf(rest, sizeof rest, "%s%s", target, walk->rest);
  if (++walk->links > LINKS_MAX || written < 0 || (size_t)written >= sizeof rest) {
    return cannot(walk, path, walk->links > LINKS_MAX ? ELOOP : ENAMETOOLONG);
  }
  memcpy(walk->rest, rest, (size_t)written + 1);
  return target[0] != '/' || begin_at_root(walk);
}

static bool step(struct walk *walk) {
  char name[NAME_MAX + 1];
  char path[PATH_MAX];
  struct stat status;
  const char *from = walk->rest + strspn(walk->rest, "/");
  size_t length = strcspn(from, "/");
  if (length >= sizeof name) {
    return cannot(walk, from, ENAMETOOLONG);
  }
  memcpy(name, from, length);
  name[length] = '\0';
  memmove(walk->rest, from + length, strlen(from + length) + 1);
  int written = snprintf(path, sizeof path, "%s%s%s", walk->walked, name, is_last(walk) ? "" : "/");
  if (written < 0 || (size_t)written >= sizeof path) {
    return cannot(walk, walk->walked, ENAMETOOLONG);
  }
  /* With O_DIRECTORY what is mounted on demand is mounted. */
  int next = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
  if (next < 0 && errno == ENOTDIR) {
    next = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  }
  if (next < 0 || fstat(next, &status) != 0) {
    int error = errno;
    if (next >= 0) {
      close(next);
    }
    return cannot(walk, path, error);
  }
  if (S_ISLNK(status.st_mode)) {
    bool followed = follow(walk, next, path);
    close(next);
    return followed;
  }
  if (!S_ISDIR(status.st_mode) && !is_last(walk)) {
    close(next);
    return cannot(walk, path, ENOTDIR);
  }
  return take(walk, next, path, &status);
}

int chroot_open(const char *path, char *why, size_t room) {
  struct walk walk = {.at = -1, .why = why, .room = room};
  if (path[0] != '/' || strlen(path) >= sizeof walk.rest) {
    snprintf(why, room, "chroot path %s", path[0] == '/' ? "too long" : "does not begin at root");
    return -1;
  }
  memcpy(walk.rest, path, strlen(path) + 1);
  bool is_good = begin_at_root(&walk);
  while (is_good && !is_last(&walk)) {
    is_good = step(&walk);
  }
  if (!is_good && walk.at >= 0) {
    close(walk.at);
  }
  return is_good ? walk.at : -1;
}

bool chroot_enter(const struct account *account) {
  return !account->has_root ||
         (fchdir(account->root) == 0 && chroot(".") == 0 && chdir("/") == 0);
}
