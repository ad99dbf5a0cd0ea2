/* Files that a display engine reads again for each viewer. Runs in: leader of a desktop and its children. */
#pragma once
#include "frame.h"
#include "link.h"

struct leader;

void order_write_files(struct leader *leader, const struct call *call, struct reader *reader);
