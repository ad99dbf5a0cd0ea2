/*
 * syslog(3) in place of the C library's, for modules and libraries of this process (the executable's
 * symbols come first): libc's waits for a log that nobody reads, and with it the login. Here a line
 * waits for LINE_WAIT_MS at most, then it is lost. No state but the name: children that have dropped
 * to the user may write as well. Runs in: leader.
 */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define NAME_BYTES 64
#define LINE_BYTES 2048
#define LINE_WAIT_MS 50

static char log_name[NAME_BYTES] = "sshd";

void log_name_set(const char *name) { snprintf(log_name, sizeof log_name, "%s", name); }

static void send_line(const char *line, size_t length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return; /* there is nobody to tell */
  }
  if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0) {
    struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
    if (poll(&ready, 1, LINE_WAIT_MS) == 1) {
      (void)!send(descriptor, line, length, MSG_NOSIGNAL);
    }
  }
  close(descriptor);
}

static void write_line(int priority, int failure, const char *format, va_list arguments) {
  static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  char line[LINE_BYTES];
  struct tm now = {0};
  time_t seconds = time(NULL);
  localtime_r(&seconds, &now);
  if ((priority & LOG_FACMASK) == 0) {
    priority |= LOG_AUTHPRIV;
  }
  int head = snprintf(line, sizeof line, "<%d>%s %2d %02d:%02d:%02d %s: ", priority,
                      months[now.tm_mon], now.tm_mday, now.tm_hour, now.tm_min, now.tm_sec, log_name);
  errno = failure; /* %m */
  int length = vsnprintf(line + head, sizeof line - (size_t)head, format, arguments);
  if (length > 0) {
    size_t whole = (size_t)head + (size_t)length;
    send_line(line, whole < sizeof line ? whole : sizeof line - 1);
  }
}

/* Whatever header a module was compiled with. Declared here: glibc's are behind _FORTIFY_SOURCE. */
void __syslog_chk(int priority, int flag, const char *format, ...);
void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments);

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments) {
  int failure = errno;
  write_line(priority, failure, format, arguments);
  errno = failure;
}

void __syslog_chk(int priority, int flag, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  __vsyslog_chk(priority, flag, format, arguments);
  va_end(arguments);
}

#undef syslog
#undef vsyslog
void vsyslog(int priority, const char *format, va_list arguments) {
  __vsyslog_chk(priority, 0, format, arguments);
}

void syslog(int priority, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  __vsyslog_chk(priority, 0, format, arguments);
  va_end(arguments);
}
