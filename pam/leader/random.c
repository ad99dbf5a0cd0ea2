/* Names that nobody can guess. Runs in: leader and its children. */
#include "random.h"

#include <stdint.h>
#include <sys/random.h>
#include <sys/types.h>

bool random_letters(char *name, size_t length) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  if (getrandom(name, length, 0) != (ssize_t)length) {
    return false;
  }
  for (size_t i = 0; i < length; i++) {
    name[i] = letters[(uint8_t)name[i] % (sizeof letters - 1)];
  }
  name[length] = '\0';
  return true;
}
