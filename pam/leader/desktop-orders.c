/* The orders about a desktop itself. Runs in: leader. */
#include "desktop-orders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leader.h"
#include "process.h"

static void desktop_is_made(struct leader *leader, const struct call *call,
                            const struct helper_result *result) {
  struct desktop *desktop = &leader->desktop;
  int error = result->error == 0 ? desktop_listen(desktop) : result->error;
  if (error == 0 && result->descriptor >= 0) {
    leader->desktop_agent.listener = fcntl(result->descriptor, F_DUPFD_CLOEXEC, 3);
    error = leader->desktop_agent.listener < 0 ? errno : 0;
  }
  if (error != 0) {
    desktop_remove_directory(desktop->directory, &leader->account);
    free(desktop->directory);
    desktop->directory = NULL;
    link_fail(&leader->link, call, error, NULL);
    return;
  }
  desktop->begun = true;
  standard_descriptors_drop();
  link_reply_empty(&leader->link, call);
}

static int keep_desktop(struct desktop *desktop, const char *id, const char *started_at,
                        const struct user_part_input *input) {
  free(desktop->id);
  free(desktop->started_at);
  desktop->id = strdup(id);
  desktop->started_at = strdup(started_at);
  desktop->directory = strdup(input->directory);
  memcpy(desktop->xauthority, input->xauthority.at, input->xauthority.length);
  desktop->xauthority_length = input->xauthority.length;
  return desktop->id == NULL || desktop->started_at == NULL || desktop->directory == NULL ? ENOMEM
                                                                                           : 0;
}

void order_desktop_begin(struct leader *leader, const struct call *call, struct reader *reader) {
  const char *id = read_text(reader);
  const char *directory = read_text(reader);
  const char *started_at = read_text(reader);
  struct user_part_input input = {.directory = directory, .xauthority = read_string(reader)};
  input.has_agent = read_bool(reader);
  if (!reader_done(reader)) {
    return;
  }
  int error = 0;
  if (leader->kind != KIND_DESKTOP || leader->desktop.directory != NULL) {
    error = EPROTO;
  } else if (reader->has_nul || input.xauthority.length > XAUTHORITY_MAX) {
    error = EINVAL;
  } else if (!leader->account.exists) {
    error = ENOENT;
  } else {
    error = desktop_make_directory(directory, &leader->account);
  }
  if (error == 0) {
    error = keep_desktop(&leader->desktop, id, started_at, &input);
    error = error != 0 ? error
                       : helper_start(&leader->helpers, &leader->account, call,
                                      desktop_make_user_part, &input, desktop_is_made,
                                      HELPER_PATIENCE_MS);
    if (error != 0) {
      desktop_remove_directory(directory, &leader->account);
      free(leader->desktop.directory);
      leader->desktop.directory = NULL;
    }
  }
  if (error != 0) {
    link_fail(&leader->link, call, error, NULL);
  }
}

void order_desktop_describe(struct leader *leader, const struct call *call,
                             struct reader *reader) {
  if (!reader_done(reader)) {
    return;
  }
  const struct desktop *desktop = &leader->desktop;
  struct writer writer;
  reply_start(&writer, call);
  write_text(&writer, desktop->id);
  write_text(&writer, leader->account.name);
  write_uint32(&writer, leader->account.uid);
  write_text(&writer, desktop->started_at);
  write_uint32(&writer, (uint32_t)getpid());
  write_string(&writer, desktop->note, desktop->note_length);
  link_reply(&leader->link, call, &writer, NULL, 0);
}

void order_desktop_note(struct leader *leader, const struct call *call, struct reader *reader) {
  struct bytes note = read_string(reader);
  if (!reader_done(reader)) {
    return;
  }
  if (note.length > NOTE_MAX) {
    link_fail(&leader->link, call, E2BIG, NULL);
    return;
  }
  memcpy(leader->desktop.note, note.at, note.length);
  leader->desktop.note_length = note.length;
  link_reply_empty(&leader->link, call);
}
