/* Passwords without PAM: the shadow entry and crypt(3). Runs in: leader, as root. */
#include "shadow.h"

#include <crypt.h>
#include <errno.h>
#include <security/pam_appl.h>
#include <shadow.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ENTRY_MAX = 16 * 1024, HASH_MAX = 512, KINDS_MAX = 8, SECONDS_PER_DAY = 86400 };

struct shadow_entry {
  bool found;
  struct spwd entry;
  char buffer[ENTRY_MAX];
};

static void look_up(const struct account *account, struct shadow_entry *shadow) {
  struct spwd *found = NULL;
  /* An unknown user's too is looked up, for the time that it takes. */
  int error = getspnam_r(account->name, &shadow->entry, shadow->buffer, sizeof shadow->buffer,
                         &found);
  shadow->found = account->exists && error == 0 && found != NULL;
}

enum shadow_state shadow_state(const struct account *account) {
  struct shadow_entry shadow;
  look_up(account, &shadow);
  if (!shadow.found) {
    return SHADOW_USABLE; /* an account of a directory: PAM knows more about it */
  }
  const struct spwd *entry = &shadow.entry;
  long today = (long)(time(NULL) / SECONDS_PER_DAY);
  enum shadow_state state = SHADOW_USABLE;
  if (entry->sp_pwdp[0] == '!') {
    state = SHADOW_LOCKED; /* '*' is no lock: a password that nothing matches, keys are welcome */
  } else if (entry->sp_expire != -1 && today > entry->sp_expire) {
    state = SHADOW_ACCOUNT_EXPIRED;
  } else if (entry->sp_lstchg == 0 ||
             (entry->sp_max != -1 && entry->sp_lstchg != -1 &&
              entry->sp_lstchg + entry->sp_max < today)) {
    state = SHADOW_PASSWORD_EXPIRED;
  } else if (entry->sp_pwdp[0] == '\0') {
    state = SHADOW_EMPTY;
  }
  explicit_bzero(&shadow, sizeof shadow);
  return state;
}

/* A kind of hash: what stands before the salt (`$6$`, `$6$rounds=9$`, `$y$j9T$`). */
struct kind {
  size_t prefix;
  size_t users;
  char hash[HASH_MAX];
};

static size_t prefix_of(const char *hash) {
  const char *id_end = strchr(hash + 1, '$');
  if (id_end == NULL) {
    return 1;
  }
  bool has_plain_salt = strchr("156", hash[1]) != NULL && id_end == hash + 2;
  const char *parameters_end = strchr(id_end + 1, '$');
  bool has_parameters = !has_plain_salt || strncmp(id_end + 1, "rounds=", 7) == 0;
  return (size_t)((has_parameters && parameters_end != NULL ? parameters_end : id_end) + 1 - hash);
}

static void count_kind(struct kind *kinds, const char *hash) {
  size_t prefix = prefix_of(hash);
  for (size_t i = 0; i < KINDS_MAX; i++) {
    if (kinds[i].users == 0) {
      kinds[i].prefix = prefix;
      strcpy(kinds[i].hash, hash);
    }
    if (kinds[i].prefix == prefix && strncmp(kinds[i].hash, hash, prefix) == 0) {
      kinds[i].users++;
      return;
    }
  }
}

/*
 * A hash that nothing matches but that costs as much as others: of the kind that most users of
 * this machine have, else of libcrypt's preferred kind.
 */
static void pick_fake(char fake[HASH_MAX]) {
  struct kind kinds[KINDS_MAX] = {0};
  char buffer[ENTRY_MAX];
  struct spwd entry;
  struct spwd *found = NULL;
  setspent();
  while (getspent_r(&entry, buffer, sizeof buffer, &found) == 0) {
    if (entry.sp_pwdp[0] == '$' && strlen(entry.sp_pwdp) < HASH_MAX) {
      count_kind(kinds, entry.sp_pwdp);
    }
  }
  endspent();
  const struct kind *most = &kinds[0];
  for (size_t i = 1; i < KINDS_MAX; i++) {
    most = kinds[i].users > most->users ? &kinds[i] : most;
  }
  if (most->users > 0) {
    strcpy(fake, most->hash);
  } else {
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    const char *made = crypt_gensalt_rn(NULL, 0, NULL, 0, setting, sizeof setting);
    strcpy(fake, made == NULL ? "$6$sshdesk$" : made);
  }
  explicit_bzero(kinds, sizeof kinds);
  explicit_bzero(buffer, sizeof buffer);
}

static bool equal(const char *a, const char *b) {
  size_t length = strlen(a);
  if (strlen(b) != length) {
    return false;
  }
  unsigned char difference = 0;
  for (size_t i = 0; i < length; i++) {
    difference |= (unsigned char)(a[i] ^ b[i]);
  }
  return difference == 0;
}

static int compare(const struct account *account, const char *secret, bool allow_empty) {
  struct shadow_entry shadow;
  char fake[HASH_MAX];
  look_up(account, &shadow);
  pick_fake(fake);
  const char *hash = shadow.found ? shadow.entry.sp_pwdp : "*";
  bool is_empty = hash[0] == '\0';
  bool is_real = hash[0] == '$' || (hash[0] != '!' && hash[0] != '*' && strlen(hash) >= 13);
  struct crypt_data *data = calloc(1, sizeof *data);
  int code = PAM_BUF_ERR;
  if (data != NULL) {
    const char *made = crypt_r(secret, is_real ? hash : fake, data);
    bool same = made != NULL && made[0] != '*' && equal(made, is_real ? hash : "*");
    bool matches = is_real ? same : is_empty && allow_empty && secret[0] == '\0';
    code = matches ? PAM_SUCCESS : PAM_AUTH_ERR;
    explicit_bzero(data, sizeof *data);
    free(data);
  }
  explicit_bzero(&shadow, sizeof shadow);
  explicit_bzero(fake, sizeof fake);
  return code;
}

int shadow_check_secret(const struct account *account, struct conversation *conversation,
                        bool allow_empty) {
  char *secret = NULL;
  conversation->delay_us = 0;
  if (conversation->mode == CONVERSE_PASSWORD) {
    secret = conversation_answer(conversation, conversation->password);
  } else if (!conversation_keep(conversation, STYLE_ECHO_OFF, "Password: ") ||
             !conversation_ask(conversation, &secret, 1)) {
    answer_free(secret);
    return PAM_CONV_ERR;
  }
  if (secret == NULL) {
    return PAM_AUTH_ERR;
  }
  int code = compare(account, secret, allow_empty);
  answer_free(secret);
  return code;
}
