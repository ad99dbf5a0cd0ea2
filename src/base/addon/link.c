/*
 * Frames with descriptors over SOCK_SEQPACKET. A frame that does not fit, and descriptors that did
 * not fit, are told apart from good ones here: the reader ends such a link.
 * Runs in: monitor, worker.
 */
#include "addon.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
  struct cmsghdr align;
  char room[CMSG_SPACE(sizeof(int) * FRAME_MAX_DESCRIPTORS)];
};

/*
 * receiveFrame(descriptor, Int32Array[1 + 16]): Buffer, or 0 at the end, or -errno.
 * [0] is the number of descriptors, then they follow; all are close-on-exec and the caller's.
 * -EMSGSIZE: the frame or its descriptors were cut (EMFILE here shows as MSG_CTRUNC); what came was
 * closed.
 */
static napi_value receive_frame(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t descriptor, *out;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], &descriptor) ||
      !take_ints(env, arguments[1], 1 + FRAME_MAX_DESCRIPTORS, &out)) {
    return NULL;
  }
  /* One byte more than a frame may have, so that a longer one is seen as cut. */
  uint8_t frame[FRAME_MAX_BYTES + 1];
  union control control;
  struct iovec part = {.iov_base = frame, .iov_len = sizeof frame};
  struct msghdr message = {
      .msg_iov = &part,
      .msg_iovlen = 1,
      .msg_control = control.room,
      .msg_controllen = sizeof control.room,
  };
  out[0] = 0;
  ssize_t length;
  do {
    length = recvmsg(descriptor, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (length < 0 && errno == EINTR);
  if (length < 0) {
    return give_errno(env);
  }
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t at = 0; at < count; at++) {
      int received;
      memcpy(&received, CMSG_DATA(header) + at * sizeof(int), sizeof received);
      if (out[0] < FRAME_MAX_DESCRIPTORS) {
        out[1 + out[0]++] = received;
      } else {
        close(received);
        message.msg_flags |= MSG_CTRUNC;
      }
    }
  }
  napi_value result = NULL;
  bool cut = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0 || length > FRAME_MAX_BYTES;
  if (!cut && length > 0 &&
      napi_create_buffer_copy(env, (size_t)length, frame, NULL, &result) != napi_ok) {
    cut = true;
  }
  /* Frames carry passwords. */
  explicit_bzero(frame, (size_t)length);
  if (cut || length == 0) {
    while (out[0] > 0) {
      close(out[out[0]--]);
    }
    return give_int(env, cut ? -EMSGSIZE : 0);
  }
  return result;
}

/* sendFrame(descriptor, Buffer, Int32Array, count): 0 or -errno; the descriptors stay the caller's. */
static napi_value send_frame(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t descriptor, count, *descriptors;
  struct bytes frame;
  if (!take_arguments(env, info, 4, arguments) || !take_int(env, arguments[0], &descriptor) ||
      !take_bytes(env, arguments[1], &frame) || !take_int(env, arguments[3], &count)) {
    return NULL;
  }
  if (count < 0 || count > FRAME_MAX_DESCRIPTORS || frame.length == 0 ||
      frame.length > FRAME_MAX_BYTES) {
    return give_int(env, -EMSGSIZE);
  }
  if (!take_ints(env, arguments[2], (size_t)count, &descriptors)) {
    return NULL;
  }
  union control control;
  struct iovec part = {.iov_base = frame.data, .iov_len = frame.length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.room;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(header), descriptors, sizeof(int) * (size_t)count);
  }
  ssize_t sent;
  do {
    sent = sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? give_errno(env) : give_int(env, 0);
}

/* socketPair(Int32Array[2]): 0 or -errno. */
static napi_value socket_pair(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t *out;
  int ends[2];
  if (!take_arguments(env, info, 1, arguments) || !take_ints(env, arguments[0], 2, &out)) {
    return NULL;
  }
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    return give_errno(env);
  }
  out[0] = ends[0];
  out[1] = ends[1];
  return give_int(env, 0);
}

bool link_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "receiveFrame", receive_frame) &&
         export_function(env, exports, "sendFrame", send_frame) &&
         export_function(env, exports, "socketPair", socket_pair);
}
