/* Questions and texts on their way to the user. Runs in: leader. */
#include "conversation.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"

/* Numbers of leader-protocol.ts. */
enum { NOTICE_PROMPT = 3, NOTICE_ANSWER = 4, CALL_END = 19 };
/* LoginGraceTime is the monitor's; this only bounds a monitor that forgot the question. */
enum { ANSWER_PATIENCE_MS = 15 * 60 * 1000 };

static void forget(struct conversation *conversation, size_t count) {
  for (size_t i = 0; i < count; i++) {
    conversation->kept_bytes -= conversation->kept[i].length;
    free(conversation->kept[i].bytes);
  }
  conversation->kept_count -= count;
  memmove(conversation->kept, conversation->kept + count,
          conversation->kept_count * sizeof conversation->kept[0]);
}

bool conversation_keep(struct conversation *conversation, uint8_t style, const char *text) {
  size_t length = strnlen(text == NULL ? "" : text, MESSAGE_BYTES_MAX);
  while (conversation->kept_count == MESSAGES_MAX ||
         conversation->kept_bytes + length > MESSAGES_BYTES_MAX) {
    forget(conversation, 1);
  }
  uint8_t *bytes = malloc(length + 1);
  if (bytes == NULL) {
    return false;
  }
  if (length > 0) {
    memcpy(bytes, text, length);
  }
  conversation->kept[conversation->kept_count++] =
      (struct message){.style = style, .bytes = bytes, .length = length};
  conversation->kept_bytes += length;
  return true;
}

void conversation_write_kept(struct conversation *conversation, struct writer *writer) {
  write_uint32(writer, (uint32_t)conversation->kept_count);
  for (size_t i = 0; i < conversation->kept_count; i++) {
    const struct message *message = &conversation->kept[i];
    write_byte(writer, message->style);
    write_string(writer, message->bytes, message->length);
  }
  forget(conversation, conversation->kept_count);
}

char *conversation_answer(const struct conversation *conversation, struct bytes given) {
  static const char junk[] = "\b\n\r\177INCORRECT";
  if (given.length > ANSWER_BYTES_MAX) {
    return NULL;
  }
  char *answer = malloc(given.length + 1);
  if (answer == NULL) {
    return NULL;
  }
  /* No answer with a NUL can be right, and none may be cut short to one that is. */
  if (conversation->refused || memchr(given.at, '\0', given.length) != NULL) {
    for (size_t i = 0; i < given.length; i++) {
      answer[i] = junk[i % (sizeof junk - 1)];
    }
  } else {
    memcpy(answer, given.at, given.length);
  }
  answer[given.length] = '\0';
  return answer;
}

void answer_free(char *answer) {
  if (answer != NULL) {
    explicit_bzero(answer, strlen(answer));
    free(answer);
  }
}

static bool take_answers(struct conversation *conversation, struct reader *reader, char **answers,
                         size_t count) {
  bool aborted = read_bool(reader);
  size_t given = read_uint32(reader);
  if (reader->broken || given > LIST_MAX || (!aborted && given != count)) {
    reader->broken = true;
    return false;
  }
  bool complete = !aborted;
  for (size_t i = 0; i < given && !reader->broken; i++) {
    struct bytes answer = read_string(reader);
    if (complete && !reader->broken) {
      answers[i] = conversation_answer(conversation, answer);
      complete = answers[i] != NULL;
    }
  }
  return complete && reader_done(reader);
}

enum turn { TURN_GO_ON, TURN_ANSWERED, TURN_FAILED };

/* One frame during a conversation: the answer, the end, or something that has to wait. */
static enum turn take_frame(struct conversation *conversation, char **answers, size_t count) {
  struct reader reader;
  struct call call;
  struct link *link = conversation->link;
  if (!link_head(link, &reader, &call)) {
    conversation->over = true;
    return TURN_FAILED;
  }
  if (call.number == NOTICE_ANSWER && call.id == 0) {
    bool taken = take_answers(conversation, &reader, answers, count);
    if (!reader_done(&reader)) {
      complain("malformed answer");
      conversation->over = true;
    }
    return taken ? TURN_ANSWERED : TURN_FAILED;
  }
  if (call.number == CALL_END) {
    conversation->over = true;
    conversation->has_end = true;
    conversation->end = call;
    return TURN_FAILED;
  }
  link_fail(link, &call, EBUSY, NULL);
  return TURN_GO_ON;
}

static bool wait_for_answers(struct conversation *conversation, char **answers, size_t count) {
  struct link *link = conversation->link;
  int64_t deadline = monotonic_ms() + ANSWER_PATIENCE_MS;
  for (;;) {
    int64_t left = deadline - monotonic_ms();
    struct pollfd wait = {.fd = link->descriptor, .events = POLLIN};
    int ready = left <= 0 ? 0 : poll(&wait, 1, (int)left);
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    enum received received = ready == 1 ? link_receive(link) : RECEIVED_END;
    if (received == RECEIVED_NOTHING) {
      continue;
    }
    if (received != RECEIVED_FRAME) {
      link_wipe(link);
      conversation->over = true;
      return false;
    }
    enum turn turn = take_frame(conversation, answers, count);
    link_wipe(link);
    if (turn != TURN_GO_ON) {
      return turn == TURN_ANSWERED;
    }
  }
}

bool conversation_ask(struct conversation *conversation, char **answers, size_t count) {
  size_t prompts = 0;
  for (size_t i = 0; i < conversation->kept_count; i++) {
    prompts += conversation->kept[i].style <= STYLE_ECHO_ON ? 1 : 0;
  }
  if (conversation->over || prompts != count) {
    return false;
  }
  struct writer writer;
  notice_start(&writer, NOTICE_PROMPT);
  conversation_write_kept(conversation, &writer);
  if (!link_send(conversation->link, &writer, NULL, 0)) {
    conversation->over = true;
    return false;
  }
  return wait_for_answers(conversation, answers, count);
}
