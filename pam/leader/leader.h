/*
 * One login's, or one desktop's, native session leader: acts on the orders of leader-protocol.ts
 * and on nothing else. Runs in: leader.
 */
#pragma once
#include "agent.h"
#include "auth-info.h"
#include "desktop-agent.h"
#include "desktop.h"
#include "forward.h"
#include "gss.h"
#include "helper.h"
#include "pam.h"
#include "process.h"
#include "record.h"
#include "spawn.h"
#include "x11-forward.h"

enum { KIND_LOGIN = 0, KIND_DESKTOP = 1 };

struct leader {
  struct link link;
  uint8_t kind;
  bool is_root;
  bool begun;
  bool established;
  struct account account;
  struct origin origin;
  struct conversation conversation;
  struct pam pam;
  bool has_no_session; /* PAM refused it: nothing is started for the user */
  struct limits limits; /* of the user's processes */
  struct helpers helpers;
  struct children children;
  struct listeners listeners;
  struct desktop desktop;
  struct desktop_agent desktop_agent;
  struct agent agent;
  struct auth_info auth_info;
  struct x11_displays x11;
  struct gss *gss; /* NULL: nobody has come with Kerberos */
  int exit_status;
  bool has_late_end; /* the monitor asked for the end while it was under way */
  struct call late_end;
};

/* Owns `descriptor`, its end of the link. Never returns. */
_Noreturn void leader_run(int descriptor);
/* Ends everything in order, answers `call` (NULL: nobody asked) and exits. */
_Noreturn void leader_end(struct leader *leader, uint32_t grace_ms, const struct call *call);
/* Reports the children that have ended since the last time, a good number at most. How many? */
size_t leader_reap(struct leader *leader);
