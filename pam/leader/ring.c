/* The last output of a process. Runs in: leader. */
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { TURN_BYTES = 256 * 1024 };

enum ring_state ring_fill(struct ring *ring, int from) {
  /* Bounded per turn: one talkative process must not keep the leader from its other work. */
  for (size_t taken = 0; taken < TURN_BYTES;) {
    ssize_t length = read(from, ring->bytes + ring->next, RING_BYTES - ring->next);
    if (length < 0) {
      return errno == EAGAIN || errno == EINTR ? RING_OPEN : RING_ENDED;
    }
    if (length == 0) {
      return RING_ENDED;
    }
    taken += (size_t)length;
    ring->next = (ring->next + (size_t)length) % RING_BYTES;
    ring->filled += (size_t)length;
    ring->filled = ring->filled > RING_BYTES ? RING_BYTES : ring->filled;
  }
  return RING_OPEN;
}

size_t ring_tail(const struct ring *ring, uint8_t *to, size_t most) {
  size_t length = ring->filled < most ? ring->filled : most;
  size_t from = (ring->next + RING_BYTES - length) % RING_BYTES;
  size_t first = length < RING_BYTES - from ? length : RING_BYTES - from;
  memcpy(to, ring->bytes + from, first);
  memcpy(to + first, ring->bytes, length - first);
  if (length == ring->filled && ring->filled < RING_BYTES) {
    return length;
  }
  const uint8_t *end_of_line = memchr(to, '\n', length);
  if (end_of_line == NULL || end_of_line + 1 == to + length) {
    return length;
  }
  size_t cut = (size_t)(end_of_line + 1 - to);
  memmove(to, to + cut, length - cut);
  return length - cut;
}
