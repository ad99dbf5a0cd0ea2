/* utmp, wtmp, lastlog and btmp. Runs in: leader, and in a child of the zygote. */
#include "record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lastlog.h>
#include <netinet/in.h>
#include <paths.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#include "process.h"

#define BTMP_PATH "/var/log/btmp"

enum { ENTRIES_AT_ONCE = 32, ENTRIES_MAX = 65536, LOCK_TRIES = 10, LOCK_PAUSE_MS = 20 };

/* -1 where there is none, which is the administrator's choice. */
static int open_record(const char *path, int flags) {
  int file = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat status;
  if (file < 0) {
    if (errno != ENOENT) {
      complain("%s: %s", path, strerror(errno));
    }
    return -1;
  }
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    complain("%s: not a regular file", path);
    close(file);
    return -1;
  }
  return file;
}

/*
 * What else writes here locks the whole file. Everybody may read it, and so hold a lock on it for
 * ever: nobody is waited for longer than a moment. What follows is safe without it: entries are
 * appended by one write(2), and changed only by whoever has the terminal that they are about.
 */
static void lock_for_a_moment(int file) {
  const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  for (int i = 0; i < LOCK_TRIES && fcntl(file, F_SETLK, &lock) != 0; i++) {
    nanosleep(&pause, NULL);
  }
}

static void append_entry(const char *path, const struct utmp *entry) {
  int file = open_record(path, O_WRONLY | O_APPEND);
  if (file < 0) {
    return;
  }
  lock_for_a_moment(file);
  if (write(file, entry, sizeof *entry) != (ssize_t)sizeof *entry) {
    complain("%s: %s", path, strerror(errno));
  }
  close(file);
}

typedef bool entry_test(const struct utmp *entry, const void *data);

/* The place of the next entry from *at on that passes. false: there is none. */
static bool find_entry(int file, off_t *at, entry_test *passes, const void *data,
                       struct utmp *found) {
  struct utmp entries[ENTRIES_AT_ONCE];
  while (*at < (off_t)(ENTRIES_MAX * sizeof *found)) {
    ssize_t length = pread(file, entries, sizeof entries, *at);
    size_t count = length < 0 ? 0 : (size_t)length / sizeof *found;
    if (count == 0) {
      return false;
    }
    for (size_t i = 0; i < count; i++, *at += (off_t)sizeof *found) {
      if (passes(&entries[i], data)) {
        *found = entries[i];
        return true;
      }
    }
  }
  return false;
}

/* One entry for each id: that of a session that has ended is the next one's. */
static bool has_id(const struct utmp *entry, const void *data) {
  const struct utmp *wanted = data;
  return entry->ut_type >= INIT_PROCESS && entry->ut_type <= DEAD_PROCESS &&
         memcmp(entry->ut_id, wanted->ut_id, sizeof wanted->ut_id) == 0;
}

static void write_entry(int file, off_t at, const struct utmp *entry) {
  if (pwrite(file, entry, sizeof *entry, at) != (ssize_t)sizeof *entry) {
    complain("%s: %s", _PATH_UTMP, strerror(errno));
  }
}

static void put_entry(const struct utmp *entry) {
  int file = open_record(_PATH_UTMP, O_RDWR);
  if (file < 0) {
    return;
  }
  lock_for_a_moment(file);
  off_t at = 0;
  struct utmp before;
  if (find_entry(file, &at, has_id, entry, &before)) {
    write_entry(file, at, entry);
  } else if (entry->ut_type == USER_PROCESS) {
    append_entry(_PATH_UTMP, entry);
  }
  close(file);
}

/* Fields need no NUL at their end. What is not printable would reach the terminal of who(1). */
static void copy_field(char *field, size_t size, const void *from, size_t length) {
  const uint8_t *bytes = from;
  for (size_t i = 0; i < size && i < length && bytes[i] != '\0'; i++) {
    field[i] = bytes[i] < ' ' || bytes[i] == 0x7f ? '?' : (char)bytes[i];
  }
}

static void stamp(struct utmp *entry) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  entry->ut_tv.tv_sec = (int32_t)now.tv_sec;
  entry->ut_tv.tv_usec = (int32_t)(now.tv_nsec / 1000);
}

static void set_origin(struct utmp *entry, const struct origin *origin) {
  struct in6_addr six;
  struct in_addr four;
  copy_field(entry->ut_host, sizeof entry->ut_host, origin->host, strlen(origin->host));
  if (inet_pton(AF_INET, origin->address, &four) == 1) {
    memcpy(&entry->ut_addr_v6[0], &four, sizeof four);
  } else if (inet_pton(AF_INET6, origin->address, &six) == 1) {
    memcpy(entry->ut_addr_v6, &six, sizeof six);
  }
}

/* The line without /dev/, and of that the last four characters as the id. */
static void start_entry(struct utmp *entry, short type, const char *path) {
  const char *line = strncmp(path, "/dev/", 5) == 0 ? path + 5 : path;
  size_t length = strlen(line);
  size_t skipped = length > sizeof entry->ut_id ? length - sizeof entry->ut_id : 0;
  *entry = (struct utmp){.ut_type = type, .ut_pid = getpid()};
  copy_field(entry->ut_line, sizeof entry->ut_line, line, length);
  copy_field(entry->ut_id, sizeof entry->ut_id, line + skipped, length - skipped);
  stamp(entry);
}

static off_t place_of(uid_t uid) {
  return (off_t)uid * (off_t)sizeof(struct lastlog);
}

static void put_last_login(uid_t uid, const struct utmp *entry) {
  struct lastlog last = {.ll_time = entry->ut_tv.tv_sec};
  memcpy(last.ll_line, entry->ut_line, sizeof last.ll_line);
  memcpy(last.ll_host, entry->ut_host, sizeof last.ll_host);
  int file = open_record(_PATH_LASTLOG, O_WRONLY);
  if (file < 0) {
    return;
  }
  if (pwrite(file, &last, sizeof last, place_of(uid)) != (ssize_t)sizeof last) {
    complain("%s: %s", _PATH_LASTLOG, strerror(errno));
  }
  close(file);
}

void record_login(const char *user, uid_t uid, const char *path, const struct origin *origin) {
  struct utmp entry;
  start_entry(&entry, USER_PROCESS, path);
  copy_field(entry.ut_user, sizeof entry.ut_user, user, strlen(user));
  set_origin(&entry, origin);
  put_entry(&entry);
  append_entry(_PATH_WTMP, &entry);
  put_last_login(uid, &entry);
}

void record_logout(const char *path) {
  struct utmp entry;
  start_entry(&entry, DEAD_PROCESS, path);
  put_entry(&entry);
  append_entry(_PATH_WTMP, &entry);
}

static bool is_session_of(const struct utmp *entry, const void *data) {
  return entry->ut_type == USER_PROCESS && entry->ut_pid == *(const pid_t *)data;
}

void record_lost(pid_t leader) {
  int file = open_record(_PATH_UTMP, O_RDWR);
  if (file < 0) {
    return;
  }
  lock_for_a_moment(file);
  struct utmp entry;
  for (off_t at = 0; find_entry(file, &at, is_session_of, &leader, &entry);
       at += (off_t)sizeof entry) {
    struct utmp end = {.ut_type = DEAD_PROCESS, .ut_pid = leader};
    memcpy(end.ut_line, entry.ut_line, sizeof end.ut_line);
    memcpy(end.ut_id, entry.ut_id, sizeof end.ut_id);
    stamp(&end);
    write_entry(file, at, &end);
    append_entry(_PATH_WTMP, &end);
  }
  close(file);
}

void record_failure(struct bytes user, const struct origin *origin, bool is_written) {
  int file = open_record(BTMP_PATH, O_WRONLY | O_APPEND);
  struct stat status;
  if (file < 0) {
    return;
  }
  /* A password typed where the name belongs is in it. */
  if (fstat(file, &status) != 0 || status.st_uid != 0 ||
      (status.st_mode & (S_IXGRP | S_IRWXO)) != 0) {
    complain("%s: not written, because of its owner or mode", BTMP_PATH);
    close(file);
    return;
  }
  struct utmp entry = {.ut_type = LOGIN_PROCESS, .ut_pid = getpid(), .ut_line = "ssh:notty"};
  copy_field(entry.ut_user, sizeof entry.ut_user, user.at, user.length);
  set_origin(&entry, origin);
  stamp(&entry);
  entry.ut_tv.tv_usec = 0;
  if (is_written && write(file, &entry, sizeof entry) != (ssize_t)sizeof entry) {
    complain("%s: %s", BTMP_PATH, strerror(errno));
  }
  close(file);
}

void record_last_login(uid_t uid, struct last_login *last) {
  struct lastlog entry;
  *last = (struct last_login){0};
  int file = open_record(_PATH_LASTLOG, O_RDONLY);
  if (file < 0) {
    return;
  }
  if (pread(file, &entry, sizeof entry, place_of(uid)) == (ssize_t)sizeof entry) {
    last->at_s = entry.ll_time;
    copy_field(last->host, sizeof last->host - 1, entry.ll_host, sizeof entry.ll_host);
  }
  close(file);
}
