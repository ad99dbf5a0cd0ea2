/* The orders about login records. Runs in: leader. */
#pragma once
#include "frame.h"
#include "link.h"

struct leader;
void order_record_failure(struct leader *leader, const struct call *call, struct reader *reader);
void order_last_login(struct leader *leader, const struct call *call, struct reader *reader);
