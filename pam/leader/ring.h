/* The last output of a process, for the log of a desktop that ended. Runs in: leader. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { RING_BYTES = 64 * 1024 };

struct ring {
  uint8_t bytes[RING_BYTES];
  size_t next;
  size_t filled;
};

enum ring_state { RING_OPEN, RING_ENDED };

/* Takes what there is now; never blocks. */
enum ring_state ring_fill(struct ring *ring, int from);
/* Copies the last whole lines, at most `most` bytes, into `to`. Returns their length. */
size_t ring_tail(const struct ring *ring, uint8_t *to, size_t most);
