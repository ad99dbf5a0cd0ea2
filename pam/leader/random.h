/* Names that nobody can guess. Runs in: leader and its children. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* So many letters and digits, and a NUL. false: there is no randomness to be had. */
bool random_letters(char *name, size_t length);
