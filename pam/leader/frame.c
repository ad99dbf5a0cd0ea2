/* Bounded reading and writing of one frame. Runs in: zygote, leader. */
#include "frame.h"

#include <stdlib.h>
#include <string.h>

void reader_start(struct reader *reader, uint8_t *bytes, size_t length) {
  *reader = (struct reader){.at = bytes, .left = length};
}

static uint8_t *take(struct reader *reader, size_t count) {
  if (reader->broken || count > reader->left) {
    reader->broken = true;
    return NULL;
  }
  uint8_t *from = reader->at;
  reader->at += count;
  reader->left -= count;
  return from;
}

uint8_t read_byte(struct reader *reader) {
  const uint8_t *at = take(reader, 1);
  return at == NULL ? 0 : *at;
}

bool read_bool(struct reader *reader) {
  return read_byte(reader) != 0;
}

uint32_t read_uint32(struct reader *reader) {
  const uint8_t *at = take(reader, 4);
  if (at == NULL) {
    return 0;
  }
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

struct bytes read_string(struct reader *reader) {
  size_t length = read_uint32(reader);
  const uint8_t *at = take(reader, length);
  if (at == NULL) {
    return (struct bytes){.at = (const uint8_t *)"", .length = 0};
  }
  return (struct bytes){.at = at, .length = length};
}

char *read_text(struct reader *reader) {
  uint8_t *prefix = reader->at;
  struct bytes string = read_string(reader);
  if (reader->broken) {
    static char empty[1];
    empty[0] = '\0';
    return empty;
  }
  if (memchr(string.at, '\0', string.length) != NULL) {
    reader->has_nul = true;
  }
  /* The four bytes of the length make room for the terminator: nothing has to be allocated. */
  memmove(prefix, string.at, string.length);
  prefix[string.length] = '\0';
  return (char *)prefix;
}

char **read_texts(struct reader *reader, size_t most, size_t *count) {
  *count = 0;
  size_t claimed = read_uint32(reader);
  if (reader->broken || claimed > most || claimed > reader->left / 4) {
    reader->broken = true;
    return NULL;
  }
  char **texts = calloc(claimed + 1, sizeof *texts);
  if (texts == NULL) {
    reader->broken = true;
    return NULL;
  }
  for (size_t i = 0; i < claimed; i++) {
    texts[i] = read_text(reader);
  }
  if (reader->broken) {
    free(texts);
    return NULL;
  }
  *count = claimed;
  return texts;
}

bool reader_done(const struct reader *reader) {
  return !reader->broken && reader->left == 0;
}

static uint8_t *grow(struct writer *writer, size_t count) {
  if (writer->broken || count > FRAME_MAX - writer->length) {
    writer->broken = true;
    return NULL;
  }
  size_t wanted = writer->length + count;
  if (wanted > writer->room) {
    size_t room = writer->room == 0 ? 256 : writer->room;
    while (room < wanted) {
      room *= 2;
    }
    uint8_t *bytes = realloc(writer->bytes, room);
    if (bytes == NULL) {
      writer->broken = true;
      return NULL;
    }
    writer->bytes = bytes;
    writer->room = room;
  }
  uint8_t *at = writer->bytes + writer->length;
  writer->length = wanted;
  return at;
}

void write_byte(struct writer *writer, uint8_t value) {
  uint8_t *at = grow(writer, 1);
  if (at != NULL) {
    *at = value;
  }
}

void write_bool(struct writer *writer, bool value) {
  write_byte(writer, value ? 1 : 0);
}

static void put_uint32(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 24);
  at[1] = (uint8_t)(value >> 16);
  at[2] = (uint8_t)(value >> 8);
  at[3] = (uint8_t)value;
}

void write_uint32(struct writer *writer, uint32_t value) {
  uint8_t *at = grow(writer, 4);
  if (at != NULL) {
    put_uint32(at, value);
  }
}

void write_string(struct writer *writer, const void *bytes, size_t length) {
  if (length > FRAME_MAX) {
    writer->broken = true;
    return;
  }
  write_uint32(writer, (uint32_t)length);
  uint8_t *at = grow(writer, length);
  if (at != NULL && length > 0) {
    memcpy(at, bytes, length);
  }
}

/* How many bytes the well-formed UTF-8 character at `at` has; 0: it is not one (RFC 3629 §4). */
static size_t utf8_length(const uint8_t *at, size_t left) {
  uint8_t first = at[0];
  size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (first > 0xf4 || length == 0 || length > left) {
    return 0;
  }
  for (size_t i = 1; i < length; i++) {
    if ((at[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  bool overlong = (first == 0xe0 && at[1] < 0xa0) || (first == 0xf0 && at[1] < 0x90);
  bool beyond = (first == 0xed && at[1] >= 0xa0) || (first == 0xf4 && at[1] >= 0x90);
  return overlong || beyond ? 0 : length;
}

void write_text(struct writer *writer, const char *text) {
  size_t from = writer->length + 4;
  size_t length = strlen(text);
  write_string(writer, text, length);
  if (writer->broken) {
    return;
  }
  uint8_t *at = writer->bytes + from;
  while (length > 0) {
    size_t character = utf8_length(at, length);
    if (character == 0) {
      *at = '?';
      character = 1;
    }
    at += character;
    length -= character;
  }
}

size_t write_count(struct writer *writer) {
  size_t where = writer->length;
  write_uint32(writer, 0);
  return where;
}

void set_count(struct writer *writer, size_t where, uint32_t count) {
  if (!writer->broken) {
    put_uint32(writer->bytes + where, count);
  }
}

void writer_free(struct writer *writer) {
  if (writer->bytes != NULL) {
    explicit_bzero(writer->bytes, writer->room);
    free(writer->bytes);
  }
  *writer = (struct writer){0};
}
