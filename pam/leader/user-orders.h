/*
 * The orders that are carried out as the user: files, sockets, the display, programs. Runs in: leader.
 */
#pragma once
#include "frame.h"
#include "link.h"

struct leader;

void order_read_file(struct leader *leader, const struct call *call, struct reader *reader);
void order_connect_unix(struct leader *leader, const struct call *call, struct reader *reader);
void order_peer_name(struct leader *leader, const struct call *call, struct reader *reader);
void order_watch_windows(struct leader *leader, const struct call *call, struct reader *reader);
void order_display_size(struct leader *leader, const struct call *call, struct reader *reader);
void order_spawn(struct leader *leader, const struct call *call, struct reader *reader);
void order_signal(struct leader *leader, const struct call *call, struct reader *reader);
void order_signal_process(struct leader *leader, const struct call *call, struct reader *reader);
void order_log_tail(struct leader *leader, const struct call *call, struct reader *reader);
