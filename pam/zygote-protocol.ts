/**
 * What the monitor asks of the zygote (frames of `ssh/wire/call.ts`, SOCK_SEQPACKET on the zygote's
 * descriptor 3). The C side is `pam/leader/zygote.c`. A failure's code is an errno.
 */
import { bool, list, string, text, uint32 } from '../src/ssh/wire/field.ts';
import { call, notice } from '../src/ssh/wire/call.ts';

/** Forks a leader; one descriptor goes with it, the leader's end of its link. */
export const ForkLeader = call(1, 'fork-leader', { title: text }, { pid: uint32 });

/** Binds and listens (SO_REUSEADDR, IPV6_V6ONLY, backlog 128, O_NONBLOCK); one descriptor comes. */
export const Bind = call(2, 'bind', { address: text, port: uint32 }, { port: uint32 });

/**
 * Starts a worker, confined: environment exactly `environment`, no core, no groups, uid and gid,
 * empty bounding set, no_new_privs, empty network namespace (loopback down), a mount namespace whose
 * root holds only the directories `readOnly` (bound read-only at the same path), libraries, /dev/null
 * and /dev/urandom. Descriptors that go with it: [link → 3 of the worker, stderr → 2].
 * uid 0 in the call means: do not change ids (rootless). relaxed: a step that fails is reported in
 * `skipped` instead of failing the call. Worker's argv is `arguments`, argv[0] the file.
 */
export const StartWorker = call(
  3,
  'start-worker',
  {
    arguments: list(string, 64),
    environment: list(string, 64),
    readOnly: list(text, 16),
    directory: text,
    uid: uint32,
    gid: uint32,
    relaxed: bool,
  },
  { pid: uint32, skipped: list(text, 16) },
);

/** zygote → monitor: a child (leader or worker) ended; wait status as of wait(2). */
export const ChildEnded = notice(4, 'child-ended', { pid: uint32, status: uint32 });

/** kill(2) of a child that has not been reported ended; ESRCH otherwise. */
export const KillChild = call(5, 'kill-child', { pid: uint32, signal: uint32 }, {});
