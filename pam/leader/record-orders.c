/* The orders about login records. Runs in: leader. */
#include "record-orders.h"

#include <string.h>
#include <time.h>

#include "leader.h"
#include "record.h"

void order_record_failure(struct leader *leader, const struct call *call, struct reader *reader) {
  struct bytes user = read_string(reader);
  bool is_written = read_bool(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (leader->is_root && leader->kind == KIND_LOGIN) {
    record_failure(user, &leader->origin, is_written);
  }
  link_reply_empty(&leader->link, call);
}

void order_last_login(struct leader *leader, const struct call *call, struct reader *reader) {
  if (!reader_done(reader)) {
    return;
  }
  struct last_login last = {0};
  char when[26] = ""; /* ctime_r(3) wants room for 26 */
  if (leader->is_root && leader->account.exists) {
    record_last_login(leader->account.uid, &last);
  }
  time_t at = (time_t)last.at_s;
  tzset(); /* ctime_r(3) does not */
  if (at != 0 && ctime_r(&at, when) != NULL) {
    when[strcspn(when, "\n")] = '\0';
  }
  struct writer writer;
  reply_start(&writer, call);
  write_text(&writer, when);
  write_text(&writer, last.host);
  link_reply(&leader->link, call, &writer, NULL, 0);
}
