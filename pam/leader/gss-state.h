/*
 * What the files of the acceptor share: its exchange, and what becomes of the tickets that come with
 * it. Runs in: leader.
 */
#pragma once
#include "kerberos.h"
#include "link.h"

enum { PRINCIPAL_MAX = 256, TICKETS_NAME_MAX = 64 };

struct gss {
  struct kerberos of;
  gss_cred_id_t acceptor;
  gss_ctx_id_t context;
  gss_cred_id_t delegated;
  char principal[PRINCIPAL_MAX];
  bool is_complete;
  bool is_checked; /* its MIC was good, and the principal may be this user */
  char *tickets;   /* the full name of the user's cache */
  bool removes_tickets;
  char half_made[TICKETS_NAME_MAX]; /* as long as it is not known what became of it */
};

struct leader;

/* A client may begin again: nothing of an earlier exchange counts. */
void gss_forget(struct gss *gss);
