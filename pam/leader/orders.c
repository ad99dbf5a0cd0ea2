/* The table of orders of leader-protocol.ts: what may be asked when. Runs in: leader. */
#include "orders.h"

#include <errno.h>

#include "desktop-files.h"
#include "desktop-orders.h"
#include "login-orders.h"
#include "record-orders.h"
#include "run-command.h"
#include "tickets.h"
#include "user-orders.h"

enum phase { FRESH = 1, BEGUN = 2, ESTABLISHED = 4, DESKTOP = 8 };

static const struct {
  uint8_t number;
  uint8_t phases;
  void (*handle)(struct leader *, const struct call *, struct reader *);
} orders[] = {
    {1, FRESH, order_begin},
    {2, BEGUN, order_authenticate},
    {21, BEGUN, order_begin_pam},
    {5, BEGUN, order_account},
    {6, BEGUN | ESTABLISHED, order_change_password},
    {7, BEGUN, order_establish},
    {8, BEGUN | ESTABLISHED, order_read_file},
    {9, ESTABLISHED, order_spawn},
    {11, ESTABLISHED, order_signal},
    {12, ESTABLISHED, order_connect_unix},
    {13, ESTABLISHED, order_log_tail},
    {14, BEGUN | ESTABLISHED, order_desktop_begin},
    {15, DESKTOP, order_desktop_describe},
    {16, DESKTOP, order_desktop_note},
    {17, ESTABLISHED, order_watch_windows},
    {19, FRESH | BEGUN | ESTABLISHED, order_end},
    {20, DESKTOP, order_display_size},
    {22, DESKTOP, order_write_files},
    {23, DESKTOP, order_signal_process},
    {40, BEGUN, order_record_failure},
    {41, ESTABLISHED, order_last_login},
    {42, ESTABLISHED, order_auth_info},
    {70, ESTABLISHED, order_connect_tcp},
    {71, ESTABLISHED, order_listen_tcp},
    {72, ESTABLISHED, order_listen_unix},
    {73, ESTABLISHED, order_close_listener},
    {80, ESTABLISHED, order_agent_listen},
    {81, ESTABLISHED, order_x11_listen},
    {82, ESTABLISHED, order_x11_undo},
    {83, ESTABLISHED, order_x11_close},
    {65, BEGUN, order_run_command},
    {66, FRESH, order_peer_name},
    {90, BEGUN, order_gss_start},
    {91, BEGUN, order_gss_token},
    {92, BEGUN, order_gss_check},
    {93, BEGUN, order_gss_keep_tickets},
    {94, DESKTOP, order_take_tickets},
    {95, DESKTOP, order_agent_watch},
    {97, DESKTOP, order_agent_take},
    {98, DESKTOP, order_agent_done},
};

static unsigned phase_of(const struct leader *leader) {
  unsigned phase = !leader->begun ? FRESH : leader->established ? ESTABLISHED : BEGUN;
  return phase | (leader->desktop.begun ? DESKTOP : 0);
}

bool orders_obey(struct leader *leader, const struct call *call, struct reader *reader) {
  for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
    if (orders[i].number != call->number) {
      continue;
    }
    if (call->id == 0) {
      return false; /* all of them are calls */
    }
    if ((orders[i].phases & phase_of(leader)) == 0) {
      link_fail(&leader->link, call, EPROTO, NULL);
      return true;
    }
    orders[i].handle(leader, call, reader);
    return !reader->broken && reader->left == 0;
  }
  if (call->id == 0 || call->number >= REPLY_BIT) {
    return false; /* a notice, or an answer to no prompt */
  }
  /* The monitor may be of a newer build than a desktop that goes on: the desktop must outlive that. */
  link_fail(&leader->link, call, ENOSYS, NULL);
  return true;
}
