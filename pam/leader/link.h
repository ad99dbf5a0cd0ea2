/*
 * A SOCK_SEQPACKET link to the monitor: frames with descriptors, calls, replies, failures.
 * Runs in: zygote, leader.
 */
#pragma once
#include "frame.h"

struct link {
  int descriptor; /* -1: there is none (a desktop's leader between two monitors) */
  uint32_t generation;
  uint8_t *frame;
  size_t length;
  int descriptors[FRAME_MAX_DESCRIPTORS];
  size_t descriptor_count;
};

/* Who is to be answered. A reply to a call of an earlier link is dropped. */
struct call {
  uint32_t generation;
  uint8_t number;
  uint32_t id;
};

enum { REPLY_BIT = 128 };
enum received { RECEIVED_FRAME, RECEIVED_NOTHING, RECEIVED_END, RECEIVED_BROKEN };

bool link_open(struct link *link, int descriptor);
/* Another monitor takes over; the old descriptor is closed. */
void link_replace(struct link *link, int descriptor);
void link_close(struct link *link);

/* Never blocks. The frame and its descriptors belong to the link until `link_wipe`. */
enum received link_receive(struct link *link);
/* Hands a received descriptor to the caller; -1: there is none. */
int link_take_descriptor(struct link *link, size_t index);
/* Erases the frame (it may hold a password) and closes the descriptors that nobody took. */
void link_wipe(struct link *link);
/* Reads number and id from the head of the frame. false: malformed. */
bool link_head(struct link *link, struct reader *reader, struct call *call);

void reply_start(struct writer *writer, const struct call *call);
void notice_start(struct writer *writer, uint8_t number);
/*
 * Sends and frees `writer`. A peer that does not read for a while counts as gone: the link is
 * closed, so that a stopped monitor never holds a desktop. false: not sent.
 */
bool link_send(struct link *link, struct writer *writer, const int *descriptors, size_t count);
/* Like link_send, for the reply of `call`. */
bool link_reply(struct link *link, const struct call *call, struct writer *writer,
                const int *descriptors, size_t count);
/* A reply of a verdict, and why. */
void link_reply_verdict(struct link *link, const struct call *call, uint8_t verdict,
                        const char *text);
/* A reply without fields. */
void link_reply_empty(struct link *link, const struct call *call);
/* `error` is an errno; text NULL: strerror's. */
void link_fail(struct link *link, const struct call *call, int error, const char *text);
