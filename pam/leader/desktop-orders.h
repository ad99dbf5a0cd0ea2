/*
 * The orders about a desktop itself. Runs in: leader.
 */
#pragma once
#include "frame.h"
#include "link.h"

struct leader;

void order_desktop_begin(struct leader *leader, const struct call *call, struct reader *reader);
void order_desktop_describe(struct leader *leader, const struct call *call, struct reader *reader);
void order_desktop_note(struct leader *leader, const struct call *call, struct reader *reader);
