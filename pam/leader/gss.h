/*
 * The acceptor of GSSAPI, Kerberos alone (RFC 4462 §3, RFC 4121): tokens of a client, its MIC, who
 * may log in with which principal, and the tickets that it passed on. The libraries are loaded with
 * the first order: a login without Kerberos never has them. Tokens are the one thing of a client
 * that is parsed in here, by the system's library, in the process that has nothing but this login
 * to lose. Runs in: leader.
 */
#pragma once
#include "helper.h"

struct gss;
struct leader;

void order_gss_start(struct leader *leader, const struct call *call, struct reader *reader);
void order_gss_token(struct leader *leader, const struct call *call, struct reader *reader);
void order_gss_check(struct leader *leader, const struct call *call, struct reader *reader);
void order_gss_keep_tickets(struct leader *leader, const struct call *call, struct reader *reader);

/* The end of the login: the tickets that are not to stay are removed, as the user. */
void gss_end(struct leader *leader);
