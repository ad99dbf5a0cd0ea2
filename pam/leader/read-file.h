/* Reading a file as the user, with the checks of sshd's StrictModes. Runs in: child of a leader. */
#pragma once
#include "helper.h"

struct read_file_input {
  const char *path;
  const char *home;
  const char *user;
  uid_t uid;
  gid_t gid;
  bool strict;
  uint32_t max_bytes;
};

enum { READ_FILE_GIVEN = 0, READ_FILE_ABSENT = 1, READ_FILE_REFUSED = 2 };

/* The result's descriptor is a sealed memfd: what is parsed later is what was checked. */
helper_work read_file;
