/* A SOCK_SEQPACKET link to the monitor. Runs in: zygote, leader. */
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SEND_PATIENCE_MS = 10000, STATUS_DONE = 0, STATUS_FAILED = 1 };

bool link_open(struct link *link, int descriptor) {
  *link = (struct link){.descriptor = descriptor, .generation = 1};
  link->frame = malloc(FRAME_MAX + 1);
  return link->frame != NULL && fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0;
}

void link_close(struct link *link) {
  if (link->descriptor >= 0) {
    close(link->descriptor);
    link->descriptor = -1;
    link->generation++;
  }
}

void link_replace(struct link *link, int descriptor) {
  link_close(link);
  link->descriptor = descriptor;
}

enum received link_receive(struct link *link) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * FRAME_MAX_DESCRIPTORS)];
    struct cmsghdr align;
  } control;
  struct iovec part = {.iov_base = link->frame, .iov_len = FRAME_MAX};
  struct msghdr message = {
      .msg_iov = &part,
      .msg_iovlen = 1,
      .msg_control = control.bytes,
      .msg_controllen = sizeof control.bytes,
  };
  link->length = 0;
  link->descriptor_count = 0;
  ssize_t length = recvmsg(link->descriptor, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return RECEIVED_NOTHING;
    }
    return RECEIVED_END;
  }
  for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head != NULL;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(head) + i * sizeof(int), sizeof descriptor);
      if (link->descriptor_count < FRAME_MAX_DESCRIPTORS) {
        link->descriptors[link->descriptor_count++] = descriptor;
      } else {
        close(descriptor);
      }
    }
  }
  link->length = (size_t)length;
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return RECEIVED_BROKEN;
  }
  return length == 0 ? RECEIVED_END : RECEIVED_FRAME;
}

int link_take_descriptor(struct link *link, size_t index) {
  if (index >= link->descriptor_count) {
    return -1;
  }
  int descriptor = link->descriptors[index];
  link->descriptors[index] = -1;
  return descriptor;
}

void link_wipe(struct link *link) {
  explicit_bzero(link->frame, link->length);
  link->length = 0;
  for (size_t i = 0; i < link->descriptor_count; i++) {
    if (link->descriptors[i] >= 0) {
      close(link->descriptors[i]);
    }
  }
  link->descriptor_count = 0;
}

bool link_head(struct link *link, struct reader *reader, struct call *call) {
  reader_start(reader, link->frame, link->length);
  call->number = read_byte(reader);
  call->id = read_uint32(reader);
  call->generation = link->generation;
  return !reader->broken;
}

void reply_start(struct writer *writer, const struct call *call) {
  *writer = (struct writer){0};
  write_byte(writer, (uint8_t)(call->number + REPLY_BIT));
  write_uint32(writer, call->id);
  write_byte(writer, STATUS_DONE);
}

void notice_start(struct writer *writer, uint8_t number) {
  *writer = (struct writer){0};
  write_byte(writer, number);
  write_uint32(writer, 0);
}

static bool send_frame(struct link *link, const struct writer *writer, const int *descriptors,
                       size_t count) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * FRAME_MAX_DESCRIPTORS)];
    struct cmsghdr align;
  } control = {0};
  struct iovec part = {.iov_base = writer->bytes, .iov_len = writer->length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(head), descriptors, sizeof(int) * count);
  }
  for (;;) {
    if (sendmsg(link->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
      return true;
    }
    if (errno == EINTR) {
      continue;
    }
    if (errno != EAGAIN && errno != ENOBUFS) {
      return false;
    }
    struct pollfd wait = {.fd = link->descriptor, .events = POLLOUT};
    int ready = poll(&wait, 1, SEND_PATIENCE_MS);
    if (ready == 0 || (ready < 0 && errno != EINTR)) {
      return false;
    }
  }
}

bool link_send(struct link *link, struct writer *writer, const int *descriptors, size_t count) {
  bool sent = false;
  if (link->descriptor >= 0 && !writer->broken && count <= FRAME_MAX_DESCRIPTORS) {
    sent = send_frame(link, writer, descriptors, count);
    if (!sent) {
      /* shutdown, not close: the loop sees the end at its next turn and acts on it once. */
      shutdown(link->descriptor, SHUT_RDWR);
    }
  }
  writer_free(writer);
  return sent;
}

bool link_reply(struct link *link, const struct call *call, struct writer *writer,
                const int *descriptors, size_t count) {
  if (call->generation != link->generation) {
    writer_free(writer);
    return false;
  }
  if (writer->broken) {
    writer_free(writer);
    link_fail(link, call, EMSGSIZE, NULL);
    return false;
  }
  return link_send(link, writer, descriptors, count);
}

void link_reply_verdict(struct link *link, const struct call *call, uint8_t verdict,
                        const char *text) {
  struct writer writer;
  reply_start(&writer, call);
  write_byte(&writer, verdict);
  write_text(&writer, text);
  link_reply(link, call, &writer, NULL, 0);
}

void link_reply_empty(struct link *link, const struct call *call) {
  struct writer writer;
  reply_start(&writer, call);
  link_reply(link, call, &writer, NULL, 0);
}

void link_fail(struct link *link, const struct call *call, int error, const char *text) {
  if (call->generation != link->generation) {
    return;
  }
  struct writer writer = {0};
  write_byte(&writer, (uint8_t)(call->number + REPLY_BIT));
  write_uint32(&writer, call->id);
  write_byte(&writer, STATUS_FAILED);
  write_uint32(&writer, (uint32_t)error);
  write_text(&writer, text == NULL ? strerror(error) : text);
  link_send(link, &writer, NULL, 0);
}
