/*
 * Work done as the user: a forked child that has dropped for good, gives one result and a few
 * descriptors back, and exits. The leader never blocks on it. Runs in: leader and its children.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "account.h"
#include "link.h"

enum { HELPERS_MAX = 128, HELPER_OTHERS_MAX = 7, HELPER_TEXT_MAX = 480, HELPER_PATIENCE_MS = 20000 };

struct helper_result {
  int32_t error; /* an errno; 0: the rest counts */
  uint32_t number;
  uint8_t verdict;
  char text[HELPER_TEXT_MAX];
  int descriptor; /* -1: none; valid in the process that fills it in */
  /* Further ones behind it; only with a first one. */
  uint8_t other_count;
  int others[HELPER_OTHERS_MAX];
  bool ends_group; /* the child is done with everything that it has started: it is to end */
};

struct leader;
/* In the child, as the user. */
typedef void helper_work(const void *input, struct helper_result *result);
/* In the leader. The result's descriptors are closed afterwards. */
typedef void helper_done(struct leader *leader, const struct call *call,
                         const struct helper_result *result);

struct helper {
  pid_t pid; /* 0: reaped already */
  int descriptor;
  int64_t deadline_ms;
  struct call call;
  helper_done *done;
  bool is_spared; /* at the end of the leader it may finish what it does */
};

struct helpers {
  struct helper list[HELPERS_MAX];
  size_t count;
};

/* `input` is copied by the fork. Returns 0 or an errno. */
int helper_start(struct helpers *helpers, const struct account *account, const struct call *call,
                 helper_work *work, const void *input, helper_done *done, int64_t patience_ms);
/* Its descriptor is readable. */
void helper_finish(struct leader *leader, struct helpers *helpers, size_t index);
/* Those past their time are ended with ETIMEDOUT. */
void helpers_expire(struct leader *leader, struct helpers *helpers);
/* The milliseconds until the next one expires; -1: there is none. */
int helpers_timeout(const struct helpers *helpers);
bool helpers_reaped(struct helpers *helpers, pid_t pid);
void helpers_kill(struct helpers *helpers);
/* After it: until those that were killed have ended, but not for long; `spared`: the others too. */
void helpers_wait(struct helpers *helpers, bool spared, int64_t patience_ms);
/* Of the one that was started last. */
void helper_spare(struct helpers *helpers);
