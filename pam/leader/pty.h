/* Opening a terminal for a process of the user (RFC 4254 §6.2, §8). Runs in: leader. */
#pragma once
#include <sys/types.h>

#include "account.h"
#include "frame.h"

struct pty {
  int master;
  int slave;
  int inode; /* O_PATH: restores owner and mode later without holding the terminal open */
  uid_t old_uid;
  gid_t old_gid;
  mode_t old_mode;
  char path[64];
};

struct pty_size {
  uint32_t columns;
  uint32_t rows;
  uint32_t width_pixels;
  uint32_t height_pixels;
};

/* Returns 0 or an errno. */
int pty_open(const struct account *account, const struct pty_size *size, struct bytes modes,
             struct pty *pty);
void pty_close(struct pty *pty);
/* Gives the terminal back to whom it belonged, and closes what is held of it. */
void pty_release(struct pty *pty);
