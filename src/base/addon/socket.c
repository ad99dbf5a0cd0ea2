/* Calls on sockets and plain descriptors that Node does not offer. Runs in: monitor, worker. */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool take_descriptor(napi_env env, napi_callback_info info, int32_t *out) {
  napi_value arguments[1];
  return take_arguments(env, info, 1, arguments) && take_int(env, arguments[0], out);
}

/*
 * A socket of both families, as a service manager may pass it, calls 192.0.2.1 ::ffff:192.0.2.1: no
 * rule that names the address would hold.
 */
static void unmap(struct sockaddr_storage *address, socklen_t *length) {
  const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
  if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
    return;
  }
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = six->sin6_port};
  memcpy(&four.sin_addr, &six->sin6_addr.s6_addr[12], sizeof four.sin_addr);
  memset(address, 0, sizeof *address);
  memcpy(address, &four, sizeof four);
  *length = sizeof four;
}

static bool give_address(napi_env env, napi_value object, struct sockaddr_storage *from,
                         socklen_t length, const char *address_name, const char *port_name) {
  unmap(from, &length);
  char host[NI_MAXHOST] = "";
  int port = 0;
  if (from->ss_family == AF_INET || from->ss_family == AF_INET6) {
    /* NI_NUMERICHOST asks no resolver and keeps the scope of a link-local address. */
    if (getnameinfo((const struct sockaddr *)from, length, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST) != 0) {
      host[0] = 0;
    }
    port = ntohs(from->ss_family == AF_INET ? ((const struct sockaddr_in *)from)->sin_port
                                            : ((const struct sockaddr_in6 *)from)->sin6_port);
  }
  return give_property(env, object, address_name, give_text(env, host)) &&
         give_property(env, object, port_name, give_int(env, port));
}

/* {descriptor, remoteAddress, remotePort, localAddress, localPort}; closes nothing. */
static napi_value give_connection(napi_env env, int descriptor, struct sockaddr_storage *remote,
                                  socklen_t remote_length) {
  struct sockaddr_storage local = {0};
  socklen_t local_length = sizeof local;
  napi_value object = NULL;
  if (getsockname(descriptor, (struct sockaddr *)&local, &local_length) < 0) {
    return give_errno(env);
  }
  if (napi_create_object(env, &object) != napi_ok ||
      !give_property(env, object, "descriptor", give_int(env, descriptor)) ||
      !give_address(env, object, remote, remote_length, "remoteAddress", "remotePort") ||
      !give_address(env, object, &local, local_length, "localAddress", "localPort")) {
    return NULL;
  }
  return object;
}

/* acceptConnection(listening): {descriptor, addresses} | -errno. O_NONBLOCK, close-on-exec. */
static napi_value accept_connection(napi_env env, napi_callback_info info) {
  int32_t listening;
  if (!take_descriptor(env, info, &listening)) {
    return NULL;
  }
  struct sockaddr_storage remote = {0};
  socklen_t length = sizeof remote;
  int accepted;
  do {
    accepted =
        accept4(listening, (struct sockaddr *)&remote, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (accepted < 0 && errno == EINTR);
  if (accepted < 0) {
    return give_errno(env);
  }
  napi_value out = give_connection(env, accepted, &remote, length);
  napi_valuetype type = napi_undefined;
  if (out == NULL || napi_typeof(env, out, &type) != napi_ok || type != napi_object) {
    close(accepted);
  }
  return out;
}

/* connectionAddresses(descriptor): {descriptor, addresses} | -errno. */
static napi_value connection_addresses(napi_env env, napi_callback_info info) {
  int32_t descriptor;
  if (!take_descriptor(env, info, &descriptor)) {
    return NULL;
  }
  struct sockaddr_storage remote = {0};
  socklen_t length = sizeof remote;
  if (getpeername(descriptor, (struct sockaddr *)&remote, &length) < 0) {
    return give_errno(env);
  }
  return give_connection(env, descriptor, &remote, length);
}

/* listeningAddress(descriptor): {localAddress, localPort} | -errno. */
static napi_value listening_address(napi_env env, napi_callback_info info) {
  int32_t descriptor;
  if (!take_descriptor(env, info, &descriptor)) {
    return NULL;
  }
  struct sockaddr_storage local = {0};
  socklen_t length = sizeof local;
  napi_value object = NULL;
  if (getsockname(descriptor, (struct sockaddr *)&local, &length) < 0) {
    return give_errno(env);
  }
  if (napi_create_object(env, &object) != napi_ok ||
      !give_address(env, object, &local, length, "localAddress", "localPort")) {
    return NULL;
  }
  return object;
}

static napi_value set_flag(napi_env env, napi_callback_info info, int level, int name) {
  napi_value arguments[2];
  int32_t descriptor, value;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], &descriptor) ||
      !take_int(env, arguments[1], &value)) {
    return NULL;
  }
  return setsockopt(descriptor, level, name, &value, sizeof value) < 0 ? give_errno(env)
                                                                      : give_int(env, 0);
}

static napi_value set_quick_ack(napi_env env, napi_callback_info info) {
  return set_flag(env, info, IPPROTO_TCP, TCP_QUICKACK);
}

static napi_value set_no_delay(napi_env env, napi_callback_info info) {
  return set_flag(env, info, IPPROTO_TCP, TCP_NODELAY);
}

static napi_value set_keep_alive(napi_env env, napi_callback_info info) {
  return set_flag(env, info, SOL_SOCKET, SO_KEEPALIVE);
}

/* setTrafficClass(descriptor, value): the TOS byte of IPv4, the traffic class of IPv6. */
static napi_value set_traffic_class(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t descriptor, value;
  int domain = 0;
  socklen_t length = sizeof domain;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], &descriptor) ||
      !take_int(env, arguments[1], &value)) {
    return NULL;
  }
  if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0) {
    return give_errno(env);
  }
  int level = domain == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
  int name = domain == AF_INET6 ? IPV6_TCLASS : IP_TOS;
  return setsockopt(descriptor, level, name, &value, sizeof value) < 0 ? give_errno(env)
                                                                       : give_int(env, 0);
}

static napi_value peer_credentials(napi_env env, napi_callback_info info) {
  int32_t descriptor;
  struct ucred peer;
  socklen_t length = sizeof peer;
  napi_value object = NULL;
  if (!take_descriptor(env, info, &descriptor)) {
    return NULL;
  }
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) {
    return give_errno(env);
  }
  if (napi_create_object(env, &object) != napi_ok ||
      !give_property(env, object, "pid", give_int(env, peer.pid)) ||
      !give_property(env, object, "uid", give_int(env, peer.uid)) ||
      !give_property(env, object, "gid", give_int(env, peer.gid))) {
    return NULL;
  }
  return object;
}

/* shutdownDescriptor(descriptor): both directions, also of every duplicate. */
static napi_value shutdown_descriptor(napi_env env, napi_callback_info info) {
  int32_t descriptor;
  if (!take_descriptor(env, info, &descriptor)) {
    return NULL;
  }
  return shutdown(descriptor, SHUT_RDWR) < 0 ? give_errno(env) : give_int(env, 0);
}

static napi_value duplicate(napi_env env, napi_callback_info info) {
  int32_t descriptor;
  if (!take_descriptor(env, info, &descriptor)) {
    return NULL;
  }
  int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? give_errno(env) : give_int(env, copy);
}

static napi_value close_descriptor(napi_env env, napi_callback_info info) {
  int32_t descriptor;
  if (!take_descriptor(env, info, &descriptor)) {
    return NULL;
  }
  /* On Linux the descriptor is gone even when close(2) says EINTR. */
  return close(descriptor) < 0 && errno != EINTR ? give_errno(env) : give_int(env, 0);
}

static napi_value lock_exclusive(napi_env env, napi_callback_info info) {
  int32_t descriptor;
  if (!take_descriptor(env, info, &descriptor)) {
    return NULL;
  }
  return flock(descriptor, LOCK_EX | LOCK_NB) < 0 ? give_errno(env) : give_int(env, 0);
}

static napi_value set_close_on_exec(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t descriptor, on;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], &descriptor) ||
      !take_int(env, arguments[1], &on)) {
    return NULL;
  }
  return fcntl(descriptor, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? give_errno(env) : give_int(env, 0);
}

/* readMemory(descriptor, maxBytes): Buffer | -errno. Only a memfd that is sealed against change. */
static napi_value read_memory(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t descriptor, most;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], &descriptor) ||
      !take_int(env, arguments[1], &most)) {
    return NULL;
  }
  int seals = fcntl(descriptor, F_GET_SEALS);
  int needed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  struct stat about;
  if (seals < 0 || fstat(descriptor, &about) < 0) {
    return give_errno(env);
  }
  if ((seals & needed) != needed) {
    return give_int(env, -EPERM);
  }
  if (most < 0 || about.st_size > most) {
    return give_int(env, -EFBIG);
  }
  napi_value buffer = NULL;
  void *data = NULL;
  size_t size = (size_t)about.st_size, done = 0;
  if (napi_create_buffer(env, size, &data, &buffer) != napi_ok) {
    return give_int(env, -ENOMEM);
  }
  while (done < size) {
    ssize_t read_now = pread(descriptor, (char *)data + done, size - done, (off_t)done);
    if (read_now < 0 && errno == EINTR) {
      continue;
    }
    if (read_now <= 0) {
      return read_now < 0 ? give_errno(env) : give_int(env, -EIO);
    }
    done += (size_t)read_now;
  }
  return buffer;
}

/* connectSeqpacket(path): descriptor | -errno. A Unix connect either happens at once or fails. */
static napi_value connect_seqpacket(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!take_arguments(env, info, 1, arguments) ||
      !take_path(env, arguments[0], address.sun_path, sizeof address.sun_path)) {
    return NULL;
  }
  int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return give_errno(env);
  }
  if (connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
    napi_value failure = give_errno(env);
    close(descriptor);
    return failure;
  }
  return give_int(env, descriptor);
}

/*
 * listenUnix(path, backlog, isStream): descriptor | -errno. The path must not exist; its mode is the
 * caller's umask's and, if it matters, the directory's business.
 */
static napi_value listen_unix(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t backlog, is_stream;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!take_arguments(env, info, 3, arguments) ||
      !take_path(env, arguments[0], address.sun_path, sizeof address.sun_path) ||
      !take_int(env, arguments[1], &backlog) || !take_int(env, arguments[2], &is_stream)) {
    return NULL;
  }
  int type = is_stream != 0 ? SOCK_STREAM : SOCK_SEQPACKET;
  int descriptor = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return give_errno(env);
  }
  if (bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0 ||
      listen(descriptor, backlog) < 0) {
    napi_value failure = give_errno(env);
    close(descriptor);
    return failure;
  }
  return give_int(env, descriptor);
}

/* descriptorKind(descriptor): a word, or -errno. */
static napi_value descriptor_kind(napi_env env, napi_callback_info info) {
  int32_t descriptor;
  struct stat about;
  if (!take_descriptor(env, info, &descriptor)) {
    return NULL;
  }
  if (fstat(descriptor, &about) < 0) {
    return give_errno(env);
  }
  switch (about.st_mode & S_IFMT) {
  case S_IFREG:
    return give_text(env, "file");
  case S_IFDIR:
    return give_text(env, "directory");
  case S_IFIFO:
    return give_text(env, "pipe");
  case S_IFBLK:
    return give_text(env, "block");
  case S_IFCHR:
    return give_text(env, isatty(descriptor) ? "tty" : "character");
  case S_IFSOCK: {
    int type = 0, domain = 0, listens = 0;
    socklen_t length = sizeof type;
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) < 0 ||
        getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 ||
        getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0) {
      return give_errno(env);
    }
    if (domain == AF_UNIX) {
      return give_text(env, type == SOCK_SEQPACKET ? "unix-seqpacket"
                            : listens              ? "unix-listener"
                            : type == SOCK_STREAM  ? "unix-stream"
                                                   : "unix-datagram");
    }
    if (type == SOCK_STREAM && (domain == AF_INET || domain == AF_INET6)) {
      return give_text(env, listens ? "tcp-listener" : "tcp");
    }
    return give_text(env, "socket");
  }
  default:
    return give_text(env, "other");
  }
}

bool socket_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "acceptConnection", accept_connection) &&
         export_function(env, exports, "connectionAddresses", connection_addresses) &&
         export_function(env, exports, "listeningAddress", listening_address) &&
         export_function(env, exports, "setQuickAck", set_quick_ack) &&
         export_function(env, exports, "setNoDelay", set_no_delay) &&
         export_function(env, exports, "setKeepAlive", set_keep_alive) &&
         export_function(env, exports, "setTrafficClass", set_traffic_class) &&
         export_function(env, exports, "peerCredentials", peer_credentials) &&
         export_function(env, exports, "shutdownDescriptor", shutdown_descriptor) &&
         export_function(env, exports, "duplicate", duplicate) &&
         export_function(env, exports, "closeDescriptor", close_descriptor) &&
         export_function(env, exports, "lockExclusive", lock_exclusive) &&
         export_function(env, exports, "setCloseOnExec", set_close_on_exec) &&
         export_function(env, exports, "readMemory", read_memory) &&
         export_function(env, exports, "connectSeqpacket", connect_seqpacket) &&
         export_function(env, exports, "listenUnix", listen_unix) &&
         export_function(env, exports, "descriptorKind", descriptor_kind);
}
