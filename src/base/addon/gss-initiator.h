/*
 * The initiator of GSSAPI, Kerberos alone: tokens for a server, and a MIC. The system's library is
 * loaded when it is wanted, and need not be there. Knows nothing of Node. Runs in: user.
 */
#ifndef SSHDESK_GSS_INITIATOR_H
#define SSHDESK_GSS_INITIATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same bound as for tokens of a client (base/limits.ts, gssapiTokenBytes). */
#define GSS_TOKEN_MAX (64 * 1024)
#define GSS_SIGNED_MAX 8192
#define GSS_REASON_MAX 600
#define GSS_HOST_MAX 255

enum gss_state { GSS_MORE = 0, GSS_COMPLETE = 1, GSS_FAILED = 2 };

struct gss_token {
  uint8_t *data; /* of malloc */
  size_t length;
};

struct gss_step {
  enum gss_state state;
  struct gss_token token;
  bool is_mutual;
  bool is_integral;
  bool is_delegated;
  /* Of a failure: what a person can do about it (a word, see gss-initiator.c), and the library's words. */
  const char *trouble;
  char reason[GSS_REASON_MAX];
};

struct gss_initiator;

/* NULL: no memory, or a host that is none. */
struct gss_initiator *initiator_open(const char *host, bool delegate);
/* May take as long as a KDC takes to answer. An empty input begins. */
void initiator_step(struct gss_initiator *gss, const uint8_t *input, size_t length, struct gss_step *out);
/* false: there is no complete context, or `reason` says what the library does. */
bool initiator_sign(struct gss_initiator *gss, const uint8_t *data, size_t length, struct gss_token *out,
              char reason[GSS_REASON_MAX]);
void initiator_close(struct gss_initiator *gss);

#endif
