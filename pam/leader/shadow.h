/* Passwords without PAM: the shadow entry and crypt(3). Runs in: leader, as root. */
#pragma once
#include "account.h"
#include "conversation.h"

enum shadow_state {
  SHADOW_USABLE = 0,
  SHADOW_LOCKED = 1,
  SHADOW_ACCOUNT_EXPIRED = 2,
  SHADOW_PASSWORD_EXPIRED = 3,
  SHADOW_EMPTY = 4,
};

enum shadow_state shadow_state(const struct account *account);
/*
 * Asks for the password through the conversation and compares it. Returns a PAM code. The time is
 * that of one crypt(3) for everybody, the unknown and the locked included.
 */
int shadow_check_secret(const struct account *account, struct conversation *conversation,
                        bool allow_empty);
