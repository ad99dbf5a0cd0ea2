/*
 * The tickets of a desktop: a cache in its own directory, under one name for as long as it runs,
 * filled with those of the login that opens it. Runs in: leader of a desktop, and its children.
 */
#pragma once
#include "frame.h"
#include "link.h"

struct leader;

void order_take_tickets(struct leader *leader, const struct call *call, struct reader *reader);
/* When it is time for it. */
void tickets_renew(struct leader *leader);
