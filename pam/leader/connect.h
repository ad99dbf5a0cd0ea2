/* Connecting to a Unix socket as the user. Runs in: child of a leader. */
#pragma once
#include "helper.h"

/* Returns a connected stream socket, or -1 with errno. */
int connect_unix_path(const char *path);
/* The input is the path. */
helper_work connect_unix;
