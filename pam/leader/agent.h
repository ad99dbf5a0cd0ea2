/*
 * The socket of a forwarded agent: made as the user, removed at the end of the login.
 * Runs in: leader and its children.
 */
#pragma once
#include <stdbool.h>

#include "account.h"
#include "frame.h"
#include "link.h"

enum { AGENT_PATH_MAX = 64 };

struct agent {
  /* Chosen before anything is made, so that whatever was made is removed. Empty: none was asked for. */
  char directory[AGENT_PATH_MAX];
  char socket[AGENT_PATH_MAX];
};

struct leader;
void order_agent_listen(struct leader *leader, const struct call *call, struct reader *reader);
/* As the user. Whoever is connected stays so. */
void agent_remove(const struct agent *agent, const struct account *account);
