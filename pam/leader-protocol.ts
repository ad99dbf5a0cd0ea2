/**
 * What the monitor and a leader say to each other (frames of `ssh/wire/call.ts` over an unnamed
 * SOCK_SEQPACKET pair; a desktop's leader after a restart: over its control socket). The C side is
 * `pam/leader/`. Runs in: monitor. A leader acts only on these orders and never parses anything a
 * client sent; it answers calls in any order. A failure's code is an errno.
 *
 * Bounds: a frame 128 KiB, a list 4096 elements, 16 descriptors a frame. A frame that breaks a
 * bound ends the leader.
 */
import { bool, byte, list, record, string, text, uint32 } from '../src/ssh/wire/field.ts';
import { call, notice } from '../src/ssh/wire/call.ts';

const texts = list(text, 4096);
const strings = list(string, 4096);

/** PAM message styles as in <security/_pam_types.h>. */
export const pamStyle = {
  promptEchoOff: 1,
  promptEchoOn: 2,
  errorMessage: 3,
  textInfo: 4,
} as const;

/** style, text. In the order in which the modules sent them. */
export const pamMessages = list(
  record({ style: byte, text: string }),
  256,
) /* bytes as PAM gave them */;

/**
 * The first order: names the user, starts PAM (unless `service` is empty), looks the account up
 * through NSS. The same steps for a user who does not exist. `kind`: 0 login, 1 desktop.
 * rootless leaders know their own uid only.
 * shellState 0 executable, 1 missing, 2 not executable; shadowState 0 usable, 1 locked ('!' in
 * front, as sshd; '*' is no lock), 2 account expired, 3 password expired (must be changed), 4 no password set at all.
 */
export const Begin = call(
  1,
  'begin',
  {
    kind: byte,
    user: text,
    service: text,
    rhost: text,
    tty: text,
    connection: text /* SSH_CONNECTION for the PAM environment; empty: none */,
    loggedAs: text /* in front of what PAM modules write to syslog: `sshd[NUMBER]` */,
  },
  {
    exists: bool,
    user: text,
    uid: uint32,
    gid: uint32,
    home: text,
    shell: text,
    groups: texts,
    shellState: byte,
    shadowState: byte,
  },
);

/**
 * pam_authenticate, or with no PAM service the shadow entry and crypt(3).
 * mode 0: the conversation goes out as `prompt` notices. mode 1: `password` answers every echo-off
 * prompt; an echo-on prompt fails the attempt. refused: the user may not log in whatever the
 * answers are: they are replaced by junk of like length before PAM sees them.
 * returnCode is PAM's (0 success). delayUs is what pam_fail_delay asked for: the leader does not
 * sleep, the monitor holds the answer back. userChanged: a module changed PAM_USER.
 * messages: information and errors not yet shown.
 */
export const Authenticate = call(
  2,
  'authenticate',
  { mode: byte, password: string, allowEmpty: bool, refused: bool },
  { returnCode: uint32, delayUs: uint32, userChanged: bool, messages: pamMessages },
);

/** leader → monitor, during authenticate and change-password; at least one prompt in it. */
export const Prompt = notice(3, 'prompt', { messages: pamMessages });
/** monitor → leader: one answer per prompt of the last `prompt`. `abort` makes PAM_CONV_ERR. */
export const Answer = notice(4, 'answer', { abort: bool, answers: strings });

/**
 * pam_acct_mgmt (no service: the shadow states). authInfo: SSH_AUTH_INFO_0 of the PAM environment, a
 * line for each factor that has been met.
 */
export const Account = call(
  5,
  'account',
  { authInfo: text },
  {
    returnCode: uint32,
    newPasswordRequired: bool,
    userChanged: bool,
    messages: pamMessages,
  },
);

/** pam_chauthtok(PAM_CHANGE_EXPIRED_AUTHTOK) with `prompt` notices. */
export const ChangePassword = call(
  6,
  'change-password',
  {},
  {
    returnCode: uint32,
    messages: pamMessages,
  },
);

/**
 * initgroups, pam_setcred(ESTABLISH), pam_open_session, pam_getenvlist. Once. A code that is not 0
 * is told, not acted on. environment: `NAME=value`. root: a ChrootDirectory (empty: none), looked at
 * behind pam_open_session; everything that is done as the user from then on is done inside it, but for
 * names of hosts and TCP. rootRefusal not empty: it is not fit for it, or cannot be had, and nothing
 * is done as the user any more; sshd's words.
 */
export const Establish = call(
  7,
  'establish',
  { tty: text, authInfo: text /* as in Account */, root: text },
  {
    setcredCode: uint32,
    sessionCode: uint32,
    sessionText: text,
    environment: strings,
    messages: pamMessages,
    rootRefusal: text,
  },
);

/**
 * Opens and reads a file as the user, in a child that has dropped for good. verdict 0: one
 * descriptor comes, a sealed memfd with the content; 1: there is none (ENOENT, ENOTDIR); 2: refused,
 * `reason` says why (not regular, larger than maxBytes, bad ownership or modes for directory …).
 * strict: every component from the file up to `home` (or to / if outside it) is owned by the user
 * or root and not writable by group or others (sshd's StrictModes).
 */
export const ReadFile = call(
  8,
  'read-file',
  { path: text, strict: bool, maxBytes: uint32 },
  { verdict: byte, reason: text },
);

/** stdio of a spawned process. */
export const stdio = { pipes: 0, pty: 1, log: 2 } as const;

/**
 * What runs, and ends, in front of a program, in its directory, environment and session: the first
 * whose `exists` names something (empty: always). input: its stdin, at most 4 KiB. How it ends
 * changes nothing.
 */
const preparations = list(
  record({ exists: text, file: text, arguments: strings /* argv[0] first */, input: string }),
  4,
);

/**
 * Runs `file` as the user in a session of its own. Needs `establish` before it.
 * stdio pipes: descriptors [write end of stdin, read end of stdout, read end of stderr];
 * pty: [master] (O_NONBLOCK), `modes` are the encoded terminal modes of RFC 4254 §8;
 * log: /dev/null on stdin, output into a ring of the leader (64 KiB), no descriptor.
 * reportDescriptor: the child's descriptor 3 is a pipe; its read end comes as the last descriptor.
 * essential: when it ends, the leader (kind desktop) ends the desktop.
 * stderrText: written to the user's stderr before the program starts (warnings).
 * With something in `before` the program counts as started once that is: should it fail to start
 * then, its own stderr says so and it exits with 1.
 * isSftpServer: in a ChrootDirectory the program is run outside and enters it by itself
 * (`subsystems/sftp/enter-root.c`); nothing of `before` runs in front of it then.
 * environment is complete: nothing is inherited; with a pty an entry `SSH_TTY=` gets its path.
 * A pty of a login, with root, has its records in utmp, wtmp and lastlog from before the program
 * starts until it has ended.
 * directory: on failure goes on in / and says so on
 * the user's stderr (`Could not chdir to home directory D: why`), as sshd.
 */
export const Spawn = call(
  9,
  'spawn',
  {
    file: text,
    arguments: strings /* argv[0] first */,
    environment: strings,
    directory: text,
    stdio: byte,
    columns: uint32,
    rows: uint32,
    widthPixels: uint32,
    heightPixels: uint32,
    modes: string,
    reportDescriptor: bool,
    essential: bool,
    stderrText: string,
    before: preparations,
    isSftpServer: bool,
  },
  { handle: uint32, pid: uint32, tty: text },
);
/** leader → monitor: exactly once per handle. signal 0: exited with `status`. */
export const Exited = notice(10, 'exited', {
  handle: uint32,
  status: uint32,
  signal: uint32,
  coreDumped: bool,
});

/** kill(2) to the process group of the handle. */
export const Signal = call(11, 'signal', { handle: uint32, signal: uint32 }, {});

/**
 * Connects to a Unix stream socket as the user; one descriptor comes. EACCES: it lies below
 * `notBelow`, by whatever name (empty: it may lie anywhere).
 */
export const ConnectUnix = call(12, 'connect-unix', { path: text, notBelow: text }, {});

/** The last lines of a handle's output (stdio log), at most maxBytes. */
export const LogTail = call(13, 'log-tail', { handle: uint32, maxBytes: uint32 }, { tail: string });

/**
 * Desktop leaders. Makes `directory` (0711 root), `directory/user` (0700, the user's), in it
 * `Xauthority` (0600, these bytes) and `run` (0700); listens on `directory/control` (0600; peer uid
 * 0, rootless the own uid). From here on the leader outlives its monitor.
 * startedAt: ISO 8601; kept for `describe`. hasAgent: it listens on `directory/user/agent` (0600) too;
 * who connects there and is not asked for (see `agent-wanted`) is answered with SSH_AGENT_FAILURE.
 */
export const DesktopBegin = call(
  14,
  'desktop-begin',
  { id: text, directory: text, startedAt: text, xauthority: string, hasAgent: bool },
  {},
);

/**
 * Behind a `begin` without a service, and once: the service may depend on the account (Match). The
 * values are those of `begin`; an empty service is no PAM.
 */
export const BeginPam = call(
  21,
  'begin-pam',
  { user: text, service: text, rhost: text, tty: text, connection: text },
  {},
);

/** What a new monitor asks over `directory/control`. roles: what was given to `desktop-note`. */
export const DesktopDescribe = call(
  15,
  'desktop-describe',
  {},
  {
    id: text,
    user: text,
    uid: uint32,
    startedAt: text,
    pid: uint32,
    note: string,
  },
);
/** Opaque bytes (≤ 8 KiB) that the monitor wants back in `desktop-describe` after a restart. */
export const DesktopNote = call(16, 'desktop-note', { note: string }, {});

/**
 * As the user, over X11: how many top-level windows are mapped and viewable on the display behind
 * `socketPath` (the cookie is MIT-MAGIC-COOKIE-1). Answers as soon as one is, or at timeoutMs with
 * 0. Needs no program of the user's.
 */
export const WatchWindows = call(
  17,
  'watch-windows',
  { socketPath: text, cookie: string, timeoutMs: uint32 },
  { mapped: uint32 },
);

/** leader → monitor, kind desktop: an essential process ended; the leader cleans up and exits. */
export const DesktopEnded = notice(18, 'desktop-ended', { reason: text, tail: string });

/**
 * Ends everything in order: SIGHUP and SIGTERM to what runs (desktop: SIGKILL after graceMs to every
 * descendant), the user's part of the directory removed as the user, the directory as root,
 * pam_close_session, pam_setcred(DELETE), pam_end; then answers and exits. A login's leader does the
 * PAM part and does not kill commands without a terminal (as sshd). The end of the link means the
 * same for a login's leader.
 */
export const End = call(19, 'end', { graceMs: uint32 }, {});

/** As the user, over X11, with the desktop's own cookie: the size of the display as it is now. */
export const DisplaySize = call(
  20,
  'display-size',
  { socketPath: text },
  { width: uint32, height: uint32 },
);

/**
 * As the user, into `directory/user/below` (0700, made where it is not there): each file (0600) in place
 * of what has its name. Names are of small letters and hyphens; contents have 16 KiB at most.
 */
export const WriteFiles = call(
  22,
  'write-files',
  { below: text, files: list(record({ name: text, content: string }), 8) },
  {},
);

/** kill(2) to the process of the handle alone. */
export const SignalProcess = call(23, 'signal-process', { handle: uint32, signal: uint32 }, {});

// ---- records and greetings, 40–49 ----

/**
 * A wrong password goes into btmp (the file has to be there, root's, and closed to others). `user` as
 * the client gave it; where it comes from is known since `begin`. isWritten false: every step but the
 * writing, for the time that it takes.
 */
export const RecordFailure = call(40, 'record-failure', { user: string, isWritten: bool }, {});

/** What lastlog has of the user: `when` as ctime(3) says it, empty: nothing. */
export const LastLogin = call(41, 'last-login', {}, { when: text, host: text });

/**
 * As the user: a file /tmp/sshauth.RANDOM (0600) with `content`, removed at the end of the login.
 * Once.
 */
export const AuthInfoFile = call(42, 'auth-info-file', { content: string }, { path: text });

// ---- forwarding, 70–79 ----

/** Of `ConnectTcp`. */
export const connected = { done: 0, unknownHost: 1, failed: 2 } as const;
/** 0: any */
export type AddressFamilyNumber = 0 | 4 | 6;

/**
 * Looks a host up and connects to its addresses one after another, as the user; all of it takes
 * `patienceMs` at most. verdict done: one descriptor comes; otherwise `reason` is what
 * gai_strerror(3) or strerror(3) says.
 */
export const ConnectTcp = call(
  70,
  'connect-tcp',
  { host: text, port: uint32, family: byte, patienceMs: uint32 },
  { verdict: byte, reason: text },
);

/** Where `ListenTcp` listens: on the addresses of a name, on those of the loopback, on all. */
export const listenOn = { address: 0, loopback: 1, wildcard: 2 } as const;

/**
 * Listens as the user, with one socket for each address that it can be had on, all on one port; 0
 * asks for any. isRefused: none could be had, and `reason` says why. The leader keeps copies: at
 * `close-listener`, and at the end of the login, nobody can accept from it any more.
 */
export const ListenTcp = call(
  71,
  'listen-tcp',
  { where: byte, address: text, port: uint32, family: byte },
  { isRefused: bool, reason: text, listener: uint32, port: uint32 },
);

/**
 * The same with a Unix socket, one descriptor. mask: the umask that it is made with. Its file is
 * removed, as the user, at `close-listener` and at the end of the login, if it is still this one.
 * port is 0.
 */
export const ListenUnix = call(
  72,
  'listen-unix',
  { path: text, mask: uint32, unlinkFirst: bool, notBelow: text /* as in ConnectUnix */ },
  { isRefused: bool, reason: text, listener: uint32, port: uint32 },
);

export const CloseListener = call(73, 'close-listener', { listener: uint32 }, {});

// ---- agent and X11, 80–89 ----

/**
 * As the user: a directory /tmp/ssh-RANDOM (0700) with a listening socket agent.PID (0600) in it;
 * its descriptor comes. Once. Both are removed when the login ends. Refused (EPERM) where /tmp lets
 * others than its owner rename what is in it.
 */
export const AgentListen = call(80, 'agent-listen', {}, { path: text });

/**
 * As the user: TCP listeners on 6000 + display, the first number from `offset` on that is free on
 * every address of it; one or two descriptors come. family: 0 both, 4, 6. ENOENT: `xauth` is not
 * there. EADDRINUSE: 1000 numbers are taken. keepsNumber: the leader holds them too until `x11-close`
 * has taken the entry out of the authority file; else the number is free when the worker closes them.
 */
export const X11Listen = call(
  81,
  'x11-listen',
  { offset: uint32, loopbackOnly: bool, family: byte, keepsNumber: bool, xauth: text },
  { display: uint32 },
);

/** What `x11-close` and the end of the login run, as the user, before the display is free again. */
export const X11Undo = call(
  82,
  'x11-undo',
  { display: uint32, file: text, arguments: strings, input: string, environment: strings },
  {},
);

/** Answers when the undo is done. */
export const X11Close = call(83, 'x11-close', { display: uint32 }, {});

// ---- Kerberos, 90–99 ----

/** Of `GssStart`. */
export const gssStart = { ready: 0, noLibrary: 1, noCredentials: 2 } as const;
/** The acceptor's key, of this host's name alone (strict) or any of the keytab. Begins anew. */
export const GssStart = call(90, 'gss-start', { strict: bool }, { verdict: byte, reason: text });

export const gssToken = { more: 0, complete: 1, failed: 2 } as const;
/**
 * One step of the exchange. `token` goes to the client, if it is not empty; `reason` is why it
 * failed. Complete: it is Kerberos, with integrity, of a client with a name.
 */
export const GssToken = call(
  91,
  'gss-token',
  { token: string },
  { verdict: byte, token: string, reason: text },
);

export const gssCheck = { authorised: 0, badMic: 1, notAuthorised: 2 } as const;
/**
 * Once per complete exchange: is `mic` the client's over `signed`, and may its principal be the user
 * (krb5_kuserok, as the user)? text: the principal, or what is wrong with the MIC.
 */
export const GssCheck = call(
  92,
  'gss-check',
  { signed: string, mic: string },
  { verdict: byte, text: text },
);

export const gssKeep = { kept: 0, notKept: 1 } as const;
/**
 * Before `establish`: the tickets that an authorised client passed on go into a cache of the user's,
 * of the kind that is usual on this host; PAM learns its name. text: the name; not kept: why, empty
 * when there were none. removes: with the end of the login.
 */
export const GssKeepTickets = call(
  93,
  'gss-keep-tickets',
  { removes: bool },
  { verdict: byte, text: text },
);

export const ticketsTaken = { done: 0, unreadable: 1 } as const;
/**
 * Desktops: the tickets in the cache `from`, read as the user, take the place of what is in
 * `directory/user/tickets`, at once.
 */
export const TakeTickets = call(94, 'take-tickets', { from: text }, { verdict: byte, text: text });

// ---- the agent of a desktop, 95–98 ----

/** Until the end of this link, `agent-wanted` tells of connections to the desktop's agent socket. */
export const AgentWatch = call(95, 'agent-watch', {}, {});
/** leader → monitor: the owner, or root, has connected. Not asked for within 10 s: refused. */
export const AgentWanted = notice(96, 'agent-wanted', { socket: uint32 });
/** Its descriptor comes, and counts for the bound of 64 until `agent-done`. ENOENT: it is too late. */
export const AgentTake = call(97, 'agent-take', { socket: uint32 }, {});
/** Of one that was taken: it is over. Of one that was not: it is refused. */
export const AgentDone = call(98, 'agent-done', { socket: uint32 }, {});

export const ranAs = { done: 0, noUser: 1, notFound: 2, unsafe: 3, tooMuch: 4 } as const;
/** Of `PeerName`. `address`: the name is itself one; `notBack`: the name does not have the address. */
export const peerNameIs = { found: 0, none: 1, address: 2, notBack: 3 } as const;
/**
 * Before `begin`: the name of a numeric address, looked up by a child without rights; `patienceMs` is
 * at most 20 s, and its end a failure.
 */
export const PeerName = call(
  66,
  'peer-name',
  { address: text, patienceMs: uint32 },
  { verdict: byte, name: text },
);

/**
 * Runs `file` (absolute; it and every directory above it root's and writable by nobody else) as
 * `user` with all the groups of that user, in a process group of its own, and waits for the end of
 * its output. stdin is /dev/null; the environment is PATH, USER, LOGNAME, HOME. Before
 * `establish` only, and only when the login's user exists. At timeoutMs the group is killed and the
 * call fails with ETIMEDOUT; the end of the leader kills it too.
 * verdict `done`: one descriptor comes, a sealed memfd with the output; text is the beginning of what
 * went to stderr. signal 0: exited with `status` (127: it could not be executed). `tooMuch`: more than
 * maxBytes, killed. Else text says why nothing ran.
 */
export const RunCommand = call(
  65,
  'run-command',
  {
    user: text,
    file: text,
    arguments: strings /* argv[0] first */,
    maxBytes: uint32,
    timeoutMs: uint32,
  },
  { verdict: byte, status: uint32, signal: uint32, text: string },
);
