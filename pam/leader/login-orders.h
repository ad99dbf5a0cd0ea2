/*
 * The orders of a login from its beginning to its end: account, PAM, session. Runs in: leader.
 */
#pragma once
#include "frame.h"
#include "link.h"

struct leader;

void order_begin(struct leader *leader, const struct call *call, struct reader *reader);
void order_begin_pam(struct leader *leader, const struct call *call, struct reader *reader);
void order_authenticate(struct leader *leader, const struct call *call, struct reader *reader);
void order_account(struct leader *leader, const struct call *call, struct reader *reader);
void order_change_password(struct leader *leader, const struct call *call, struct reader *reader);
void order_establish(struct leader *leader, const struct call *call, struct reader *reader);
void order_end(struct leader *leader, const struct call *call, struct reader *reader);
