/*
 * The last fences around a worker: not dumpable, and a seccomp filter for all of its threads.
 * The filter names what is refused; it runs inside a mount, network and id confinement that the
 * zygote made, and with Node's permission model. Runs in: monitor (not dumpable), worker, card.
 */
#include "addon.h"

#include <asm/sockios.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "the seccomp filter is written for x86_64 and aarch64"
#endif

#define X32_BIT 0x40000000u

/* Newer than the headers of some machines; the numbers are the same on both architectures. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#define SYS_io_uring_register 427
#endif
#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#define SYS_fspick 433
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif

static const int refused[] = {
    /* other programs and processes */
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
    SYS_process_madvise, SYS_process_mrelease, SYS_kcmp, SYS_tkill, SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo, SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal,
    SYS_migrate_pages, SYS_move_pages, SYS_setpriority, SYS_ioprio_set,
    /* sockets of its own; accept(2) on a listener that was passed stays */
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen,
    /* namespaces and mounts */
    SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree,
    SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
    SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_mknodat, SYS_swapon, SYS_swapoff,
    /* identity */
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid,
    SYS_setfsuid, SYS_setfsgid, SYS_setgroups, SYS_capset,
    /* large pieces of kernel that nothing here needs */
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_bpf, SYS_perf_event_open,
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_userfaultfd, SYS_kexec_load, SYS_init_module,
    SYS_finit_module, SYS_delete_module, SYS_fanotify_init, SYS_fanotify_mark, SYS_personality,
    SYS_acct, SYS_quotactl, SYS_reboot, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime,
    SYS_adjtimex, SYS_syslog, SYS_sethostname, SYS_setdomainname, SYS_vhangup,
    SYS_lookup_dcookie, SYS_nfsservctl,
    /* memory and queues shared with others of the same uid */
    SYS_shmget, SYS_shmat, SYS_shmctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_semget,
    SYS_semop, SYS_semctl, SYS_semtimedop, SYS_mq_open, SYS_mq_unlink,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
#ifdef SYS_mknod
    SYS_mknod,
#endif
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
#ifdef SYS_uselib
    SYS_uselib, SYS__sysctl,
#endif
};

#define MAX_PROGRAM 512
struct program {
  struct sock_filter code[MAX_PROGRAM];
  unsigned short length;
};

#define LOW_WORD(argument) (offsetof(struct seccomp_data, args) + 8 * (argument))
#define HIGH_WORD(argument) (LOW_WORD(argument) + 4)
#define REFUSE (SECCOMP_RET_ERRNO | EPERM)

static void add(struct program *to, struct sock_filter line) {
  if (to->length < MAX_PROGRAM) {
    to->code[to->length] = line;
  }
  to->length++;
}

static void load(struct program *to, unsigned int offset) {
  add(to, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void answer(struct program *to, unsigned int action) {
  add(to, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Skips `skip` lines unless the loaded word is `value`. */
static void unless(struct program *to, unsigned int value, unsigned char skip) {
  add(to, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

static void refuse_call(struct program *to, int number) {
  unless(to, (unsigned int)number, 1);
  answer(to, REFUSE);
}

/* `number` is allowed only when the low word of `argument` is `value` or `other`. */
static void allow_only(struct program *to, int number, unsigned int argument, unsigned int value,
                       unsigned int other) {
  unless(to, (unsigned int)number, 6);
  load(to, LOW_WORD(argument));
  unless(to, value, 1);
  answer(to, SECCOMP_RET_ALLOW);
  unless(to, other, 1);
  answer(to, SECCOMP_RET_ALLOW);
  answer(to, REFUSE);
}

/* `number` is refused when the low word of `argument` is one of `values`. */
static void refuse_values(struct program *to, int number, unsigned int argument,
                          const unsigned int *values, unsigned char count) {
  unless(to, (unsigned int)number, (unsigned char)(2 * count + 2));
  load(to, LOW_WORD(argument));
  for (unsigned char at = 0; at < count; at++) {
    refuse_call(to, (int)values[at]);
  }
  answer(to, SECCOMP_RET_ALLOW);
}

static void refuse_flag(struct program *to, int number, unsigned int argument, unsigned int flag) {
  unless(to, (unsigned int)number, 4);
  load(to, LOW_WORD(argument));
  add(to, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1));
  answer(to, REFUSE);
  answer(to, SECCOMP_RET_ALLOW);
}

static void build(struct program *to) {
  unsigned int self = (unsigned int)getpid();
  to->length = 0;
  load(to, offsetof(struct seccomp_data, arch));
  unless(to, THIS_ARCH, 1);
  add(to, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0));
  answer(to, SECCOMP_RET_KILL_PROCESS);
  load(to, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
  /* The x32 table has the same calls under other numbers. */
  add(to, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, X32_BIT, 0, 1));
  answer(to, REFUSE);
#endif
  for (size_t at = 0; at < sizeof refused / sizeof *refused; at++) {
    refuse_call(to, refused[at]);
  }
  /* ENOSYS: glibc then uses clone(2), whose flags can be read here. */
  unless(to, SYS_clone3, 1);
  answer(to, SECCOMP_RET_ERRNO | ENOSYS);
  /* Threads of its own, no process. */
  unless(to, SYS_clone, 4);
  load(to, LOW_WORD(0));
  add(to, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1));
  answer(to, SECCOMP_RET_ALLOW);
  answer(to, REFUSE);
  /* Signals and limits: its own only (abort(3) raises with tgkill). */
  allow_only(to, SYS_kill, 0, self, self);
  allow_only(to, SYS_tgkill, 0, self, self);
  allow_only(to, SYS_prlimit64, 0, 0, self);
  allow_only(to, SYS_sched_setaffinity, 0, 0, self);
  allow_only(to, SYS_sched_setscheduler, 0, 0, self);
  allow_only(to, SYS_sched_setparam, 0, 0, self);
  allow_only(to, SYS_sched_setattr, 0, 0, self);
  /*
   * Typing into a terminal, taking the other end of one that it was given the master of, loading
   * line disciplines; and naming who gets the signals of a descriptor, which is kill(2) once more.
   */
  refuse_values(to, SYS_ioctl, 1,
                (const unsigned int[]){TIOCSTI, TIOCGPTPEER, TIOCSETD, FIOSETOWN, SIOCSPGRP}, 5);
  refuse_values(to, SYS_fcntl, 1, (const unsigned int[]){F_SETOWN, F_SETOWN_EX, F_SETSIG}, 3);
  /* A listener that is shut down is an unconnected socket, which this flag connects. */
  refuse_flag(to, SYS_sendto, 3, MSG_FASTOPEN);
  refuse_flag(to, SYS_sendmsg, 2, MSG_FASTOPEN);
  refuse_flag(to, SYS_sendmmsg, 3, MSG_FASTOPEN);
  /*
   * close(2) of a socket that lingers waits, for whoever closes it last: that can be the monitor,
   * which holds duplicates and closes what a worker sends.
   */
  unless(to, SYS_setsockopt, 6);
  load(to, LOW_WORD(1));
  unless(to, SOL_SOCKET, 3);
  load(to, LOW_WORD(2));
  unless(to, SO_LINGER, 1);
  answer(to, REFUSE);
  answer(to, SECCOMP_RET_ALLOW);
  /* Back to dumpable, or readable by a tracer. */
  unless(to, SYS_prctl, 9);
  load(to, LOW_WORD(0));
  unless(to, PR_SET_PTRACER, 1);
  answer(to, REFUSE);
  unless(to, PR_SET_DUMPABLE, 5);
  load(to, LOW_WORD(1));
  unless(to, 0, 2);
  load(to, HIGH_WORD(1));
  add(to, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
  answer(to, REFUSE);
  answer(to, SECCOMP_RET_ALLOW);
}

#define IORING_UNREGISTER_EVENTFD_CODE 5

/*
 * A ring that exists already would go round the filter: its operations open, connect and bind
 * without a system call. libuv makes one with its loop, whatever UV_USE_IO_URING says, unless the
 * starter of the process forbids it (the zygote does), and aborts when it cannot use it any more. A ring answers ENXIO to this
 * harmless operation, any other descriptor EOPNOTSUPP.
 */
static bool has_ring(void) {
  struct rlimit limit;
  rlim_t most = 65536;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < most) {
    most = limit.rlim_cur;
  }
  for (rlim_t descriptor = 0; descriptor < most; descriptor++) {
    if (syscall(SYS_io_uring_register, (int)descriptor, IORING_UNREGISTER_EVENTFD_CODE, NULL, 0) ==
        0) {
      return true;
    }
    if (errno == ENOSYS || errno == EPERM) {
      return false;
    }
    if (errno != EBADF && errno != EOPNOTSUPP) {
      return true;
    }
  }
  return false;
}

/* installSeccomp(): 0, -errno, or the id of a thread that could not be brought along. */
static napi_value install_seccomp(napi_env env, napi_callback_info info) {
  struct program program;
  if (has_ring()) {
    return give_int(env, -EBUSY);
  }
  build(&program);
  if (program.length > MAX_PROGRAM) {
    return give_int(env, -E2BIG);
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    return give_errno(env);
  }
  struct sock_fprog filter = {.len = program.length, .filter = program.code};
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
  if (result != 0) {
    return result < 0 ? give_errno(env) : give_int(env, result);
  }
  /* Believed only when it is seen to refuse. */
  if (syscall(SYS_execveat, -1, "", NULL, NULL, 0) != -1 || errno != EPERM) {
    return give_int(env, -EPROTO);
  }
  return give_int(env, 0);
}

static napi_value set_not_dumpable(napi_env env, napi_callback_info info) {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
    return give_errno(env);
  }
  return give_int(env, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -EPROTO);
}

/* endWithParent(pid): killed when that process, which started this one, is gone. */
static napi_value end_with_parent(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t parent;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], &parent)) {
    return NULL;
  }
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    return give_errno(env);
  }
  /* It may have gone before the call. */
  return give_int(env, getppid() == (pid_t)parent ? 0 : -ESRCH);
}

bool confine_exports(napi_env env, napi_value exports) {
  return export_function(env, exports, "installSeccomp", install_seccomp) &&
         export_function(env, exports, "setNotDumpable", set_not_dumpable) &&
         export_function(env, exports, "endWithParent", end_with_parent);
}
