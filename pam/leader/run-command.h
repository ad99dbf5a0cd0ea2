/*
 * AuthorizedKeysCommand and AuthorizedPrincipalsCommand: a program of the administrator's, run as
 * its own user, whose output is taken. Runs in: leader and its children.
 */
#pragma once
#include "leader.h"

/* The order `run-command` of leader-protocol.ts. */
void order_run_command(struct leader *leader, const struct call *call, struct reader *reader);
