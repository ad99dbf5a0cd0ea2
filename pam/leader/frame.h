/*
 * Bounded reading and writing of one frame (src/ssh/wire/call.ts): the fields of RFC 4251 §5.
 * Runs in: zygote, leader. What a reader reads comes from the monitor and is still checked byte
 * by byte: a frame that breaks a bound ends the process that read it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAME_MAX = 128 * 1024, FRAME_MAX_DESCRIPTORS = 16, LIST_MAX = 4096 };

struct bytes {
  const uint8_t *at;
  size_t length;
};

/* A cursor over a frame that belongs to the caller; texts are terminated inside it. */
struct reader {
  uint8_t *at;
  size_t left;
  bool broken;  /* truncated or out of bounds: the frame is malformed */
  bool has_nul; /* a text holds a NUL byte: well formed, but of no use to the system */
};

void reader_start(struct reader *reader, uint8_t *bytes, size_t length);
uint8_t read_byte(struct reader *reader);
bool read_bool(struct reader *reader);
uint32_t read_uint32(struct reader *reader);
struct bytes read_string(struct reader *reader);
/* Never NULL; lives as long as the frame. */
char *read_text(struct reader *reader);
/* A NULL-terminated array to be freed by the caller (the texts live in the frame). NULL: broken. */
char **read_texts(struct reader *reader, size_t most, size_t *count);
/* Everything was read, and nothing is left behind the last field. */
bool reader_done(const struct reader *reader);

struct writer {
  uint8_t *bytes;
  size_t length;
  size_t room;
  bool broken; /* out of memory, or larger than a frame may be */
};

void write_byte(struct writer *writer, uint8_t value);
void write_bool(struct writer *writer, bool value);
void write_uint32(struct writer *writer, uint32_t value);
void write_string(struct writer *writer, const void *bytes, size_t length);
/* Bytes that are not UTF-8 become '?', since the other end refuses them. */
void write_text(struct writer *writer, const char *text);
/* For a count that is known only behind the elements: where it stands, to be set later. */
size_t write_count(struct writer *writer);
void set_count(struct writer *writer, size_t where, uint32_t count);
void writer_free(struct writer *writer);
