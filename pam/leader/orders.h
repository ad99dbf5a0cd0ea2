/* The table of orders of leader-protocol.ts: number, phase, handler. Runs in: leader. */
#pragma once
#include "leader.h"

/* One order. false: the frame is malformed, and the leader must end. */
bool orders_obey(struct leader *leader, const struct call *call, struct reader *reader);
