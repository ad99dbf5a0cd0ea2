/*
 * sshdesk-leader: the native half of sshdesk. `sshdesk-leader -z` is the zygote, with its link to
 * the monitor as descriptor 3; leaders are forked from it. Not started by hand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "process.h"
#include "zygote.h"

enum { LINK_DESCRIPTOR = 3, FILES_SOFT_USUAL = 1024 };

static bool is_link(int descriptor) {
  int type = 0;
  socklen_t length = sizeof type;
  return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
         type == SOCK_SEQPACKET;
}

int main(int argc, char **argv) {
  if (!standard_descriptors_start()) {
    return 1;
  }
  /* -z [SOFT]: the soft limit of open files; Node has raised it since the daemon was started. */
  rlim_t soft_files = argc == 3 ? (rlim_t)strtoul(argv[2], NULL, 10) : 0;
  if (argc < 2 || argc > 3 || strcmp(argv[1], "-z") != 0 || !is_link(LINK_DESCRIPTOR)) {
    fprintf(stderr, "sshdesk-leader is started by the sshdesk daemon\n");
    return 2;
  }
  if (!title_start(argc, argv)) {
    fprintf(stderr, "sshdesk-leader: cannot start\n");
    return 1;
  }
  zygote_run(LINK_DESCRIPTOR, soft_files == 0 ? FILES_SOFT_USUAL : soft_files);
}
