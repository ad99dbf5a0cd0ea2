/* The name of an address, for UseDNS. Runs in: child of a leader. */
#include "peer-name.h"

#include <ctype.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

enum { NAME_MAX_BYTES = 253 };

/* Lower case in place. false: not what a host is called, so it goes into no log and no list. */
static bool make_host_name(char *name) {
  size_t length = strlen(name);
  if (length == 0 || length > NAME_MAX_BYTES || name[0] == '-' || name[0] == '.') {
    return false;
  }
  for (char *at = name; *at != '\0'; at++) {
    *at = (char)tolower((unsigned char)*at);
    if (strchr("abcdefghijklmnopqrstuvwxyz0123456789._-", *at) == NULL) {
      return false;
    }
  }
  return true;
}

static struct addrinfo *resolve(const char *name, int family, int flags) {
  const struct addrinfo hints = {
      .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
  struct addrinfo *list = NULL;
  return getaddrinfo(name, NULL, &hints, &list) == 0 ? list : NULL;
}

static bool has_address(const char *name, int family, const char *address) {
  bool found = false;
  struct addrinfo *list = resolve(name, family, 0);
  for (const struct addrinfo *at = list; at != NULL && !found; at = at->ai_next) {
    char text[NI_MAXHOST];
    found = getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, NULL, 0,
                        NI_NUMERICHOST) == 0 &&
            strcmp(text, address) == 0;
  }
  if (list != NULL) {
    freeaddrinfo(list);
  }
  return found;
}

void peer_name(const void *given, struct helper_result *result) {
  const struct peer_name_input *input = given;
  result->verdict = PEER_NAME_NONE;
  struct addrinfo *own = resolve(input->address, AF_UNSPEC, AI_NUMERICHOST);
  if (own == NULL) {
    return;
  }
  char name[NI_MAXHOST];
  char address[NI_MAXHOST];
  bool is_named = getnameinfo(own->ai_addr, own->ai_addrlen, name, sizeof name, NULL, 0,
                              NI_NAMEREQD) == 0 &&
                  getnameinfo(own->ai_addr, own->ai_addrlen, address, sizeof address, NULL, 0,
                              NI_NUMERICHOST) == 0 &&
                  make_host_name(name);
  int family = own->ai_family;
  freeaddrinfo(own);
  if (!is_named) {
    return;
  }
  memcpy(result->text, name, strlen(name) + 1);
  /* A name that is an address would stand for it in every list. */
  struct addrinfo *numeric = resolve(name, AF_UNSPEC, AI_NUMERICHOST);
  if (numeric != NULL) {
    freeaddrinfo(numeric);
    result->verdict = PEER_NAME_ADDRESS;
    return;
  }
  result->verdict = has_address(name, family, address) ? PEER_NAME_FOUND : PEER_NAME_NOT_BACK;
}
