/*
 * The addon's initiator of GSSAPI without Node, to be built with the sanitizers: orders on stdin, a
 * line each, answers on stdout. `begin HOST`, `step HEX`, `sign HEX`.
 */
#include "gss-initiator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t from_hex(const char *text, uint8_t *to, size_t room) {
  size_t length = 0;
  unsigned byte;
  while (length < room && sscanf(text + 2 * length, "%2x", &byte) == 1) {
    to[length++] = (uint8_t)byte;
  }
  return length;
}

static void say_token(const char *state, struct gss_token *token) {
  printf("%s ", state);
  for (size_t i = 0; i < token->length; i++) {
    printf("%02x", token->data[i]);
  }
  printf("\n");
  free(token->data);
}

static void step(struct gss_initiator *gss, const uint8_t *data, size_t length) {
  static const char *const names[] = {"more", "complete", "failed"};
  struct gss_step out;
  initiator_step(gss, data, length, &out);
  fprintf(stderr, "%s %s %s\n", names[out.state], out.trouble, out.reason);
  say_token(names[out.state], &out.token);
}

int main(void) {
  static char line[4 * GSS_TOKEN_MAX];
  static uint8_t data[2 * GSS_TOKEN_MAX];
  struct gss_initiator *gss = NULL;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "begin ", 6) == 0) {
      initiator_close(gss);
      gss = initiator_open(line + 6, true);
      printf("%s\n", gss == NULL ? "refused" : "begun");
    } else if (gss != NULL && strncmp(line, "step ", 5) == 0) {
      /* On the heap, to the byte: whoever reads behind it is seen. */
      size_t length = from_hex(line + 5, data, sizeof data);
      uint8_t *exact = malloc(length + (length == 0));
      memcpy(exact, data, length);
      step(gss, exact, length);
      free(exact);
    } else if (gss != NULL && strncmp(line, "sign ", 5) == 0) {
      struct gss_token mic;
      char reason[GSS_REASON_MAX] = "";
      size_t length = from_hex(line + 5, data, sizeof data);
      if (initiator_sign(gss, data, length, &mic, reason)) {
        say_token("signed", &mic);
      } else {
        printf("refused %s\n", reason);
      }
    } else {
      printf("refused\n");
    }
  }
  initiator_close(gss);
  return 0;
}
