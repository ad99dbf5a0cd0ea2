/*
 * Questions and texts on their way to the user (`prompt` and `answer` of leader-protocol.ts).
 * Runs in: leader, on its only thread; PAM's modules call it from inside pam_authenticate.
 */
#pragma once
#include "link.h"

enum { STYLE_ECHO_OFF = 1, STYLE_ECHO_ON = 2, STYLE_ERROR = 3, STYLE_INFO = 4 };
enum { MESSAGES_MAX = 256, MESSAGE_BYTES_MAX = 64 * 1024, MESSAGES_BYTES_MAX = 96 * 1024 };
enum { ANSWER_BYTES_MAX = 1024 };

enum conversation_mode {
  CONVERSE_NOT,      /* a prompt fails: account, credentials, session */
  CONVERSE_LIVE,     /* prompts go out */
  CONVERSE_PASSWORD, /* every echo-off prompt is answered by the password */
};

struct message {
  uint8_t style;
  uint8_t *bytes;
  size_t length;
};

struct conversation {
  struct link *link;
  enum conversation_mode mode;
  struct bytes password;
  bool refused; /* answers are replaced by junk of like length */
  bool over;    /* the link or the login ended meanwhile: no more answers */
  bool has_end; /* an `end` arrived meanwhile, to be obeyed afterwards */
  struct call end;
  unsigned delay_us; /* what pam_fail_delay asked for in the last attempt */
  struct message kept[MESSAGES_MAX];
  size_t kept_count;
  size_t kept_bytes;
};

/* Keeps a message until the next prompt or reply; the oldest give way when there are too many. */
bool conversation_keep(struct conversation *conversation, uint8_t style, const char *text);
/* Writes what is kept as a list, and forgets it. */
void conversation_write_kept(struct conversation *conversation, struct writer *writer);
/*
 * Sends what is kept, which holds `count` prompts, and waits for as many answers. They are
 * malloc'ed strings, to be erased and freed by the caller. false: there are none.
 */
bool conversation_ask(struct conversation *conversation, char **answers, size_t count);
/* A malloc'ed copy of an answer, or of junk in its place; NULL: it cannot be one. */
char *conversation_answer(const struct conversation *conversation, struct bytes given);
void answer_free(char *answer);
