/* The name of an address, for UseDNS. Runs in: child of a leader. */
#pragma once
#include "helper.h"

enum { PEER_NAME_FOUND = 0, PEER_NAME_NONE = 1, PEER_NAME_ADDRESS = 2, PEER_NAME_NOT_BACK = 3 };

struct peer_name_input {
  const char *address; /* numeric */
};

/*
 * Looks the name of an address up, and whether the name has the address. The result's verdict is one
 * of the above, its text the name; who owns the address has chosen it.
 */
helper_work peer_name;
