/**
 * What workers and the monitor say to each other (frames of `ssh/wire/call.ts` over an unnamed
 * SOCK_SEQPACKET pair per worker). A worker asks; the monitor decides. Declarations only; the rows
 * {phase, once, decides, schema, handler} stand in `request-table.ts`.
 * `connection` is the number that the monitor gave with the `connection` notice.
 */
import {
  bool,
  byte,
  list,
  nameList,
  record,
  string,
  text,
  uint32,
  uint64,
} from '../ssh/wire/field.ts';
import { call, notice } from '../ssh/wire/call.ts';

// ---- monitor → worker ----

/** The first frame: JSON of `WorkerSettings`. */
export const Settings = notice(1, 'settings', { json: string });
/** A new connection; its socket comes as descriptor. cookie: 16 bytes for the first KEXINIT. */
export const Connection = notice(2, 'connection', {
  connection: uint32,
  remoteAddress: text,
  remotePort: uint32,
  localAddress: text,
  localPort: uint32,
  cookie: string,
});
/** End a connection with DISCONNECT `reason`; reason 0: just close the socket. */
export const CloseConnection = notice(3, 'close-connection', {
  connection: uint32,
  reason: uint32,
  peerText: text,
});
/** A session's process ended. signalName without SIG; empty: exited with `status`. */
export const SessionExit = notice(4, 'session-exit', {
  connection: uint32,
  session: uint32,
  status: uint32,
  signalName: text,
  coreDumped: bool,
});
/**
 * A viewer is over (suspend, terminate, desktop ended); its stream is dead whatever the worker does.
 * status: how the session that runs it exits.
 */
export const ViewerEnd = notice(5, 'viewer-end', {
  connection: uint32,
  viewer: uint32,
  why: text,
  status: uint32,
});
/** Text for the user on stderr of the session that opened the desktop (a warning). */
export const ViewerWarning = notice(6, 'viewer-warning', {
  connection: uint32,
  viewer: uint32,
  line: text,
});
/** Takes no further connection; exits when the last one has ended. */
export const Drain = notice(7, 'drain', {});

// ---- worker → monitor ----

/** Confined and able to serve; what confinement could not be had (rootless, relaxed). */
export const Ready = notice(8, 'ready', { skipped: list(text, 16) });

/**
 * Key exchange: the monitor checks that serverKexInit carries the cookie it gave, computes the
 * exchange hash itself (RFC 4253 §8, RFC 5656 §4, PQ: K and values as strings) and signs only that.
 * The payloads are without record framing. sharedSecret: the raw big-endian number, or for hybrid
 * exchanges the hash that goes in as a string. hash: H, so that the worker can compare.
 */
export const SignExchange = call(
  10,
  'sign-exchange',
  {
    connection: uint32,
    clientVersion: string,
    serverVersion: string,
    clientKexInit: string,
    serverKexInit: string,
    hostKey: string,
    kexAlgorithm: text,
    hostKeyAlgorithm: text,
    clientValue: string,
    serverValue: string,
    sharedSecret: string,
  },
  { signature: string, hash: string, nextCookie: string },
);

export const authIs = {
  accepted: 0,
  partial: 1,
  refused: 2,
  prompt: 3,
  disconnect: 4,
  acceptable: 5,
  mechanism: 6,
  token: 7,
  lastToken: 8,
  /** The key of the account `nx` was right: its dialogue may begin, and nothing else. */
  handshake: 9,
} as const;
/** One shape for every answer of authentication; what `is` does not need is empty. */
const authReply = {
  is: byte,
  canContinue: nameList,
  banner: string /* UTF-8, sent before the answer; empty: none */,
  name: string,
  instruction: string,
  prompts: list(record({ text: string, echo: bool }), 256),
  reason: uint32,
  peerText: text,
  token: string /* RFC 4462: the mechanism, a token, with `refused` an error token */,
};
/** The first USERAUTH_REQUEST fixes the user; also method `none`. */
export const UserauthBegin = call(
  20,
  'userauth-begin',
  { connection: uint32, user: string, service: text },
  authReply,
);
export const CheckPassword = call(
  21,
  'check-password',
  { connection: uint32, password: string },
  authReply,
);
export const StartKeyboardInteractive = call(
  22,
  'start-keyboard-interactive',
  { connection: uint32, submethods: string },
  authReply,
);
export const AnswerKeyboardInteractive = call(
  23,
  'answer-keyboard-interactive',
  { connection: uint32, answers: list(string, 256) },
  authReply,
);
export const QueryKey = call(
  24,
  'query-key',
  { connection: uint32, algorithm: text, blob: string, hostKey: string /* as check-key */ },
  authReply,
);
/**
 * The monitor builds the signed bytes itself over its session identifier (RFC 4252 §7). hostKey: of
 * publickey-hostbound-v00@openssh.com, the server's key that the client has signed for; empty: plain
 * publickey.
 */
export const CheckKey = call(
  25,
  'check-key',
  { connection: uint32, algorithm: text, blob: string, signature: string, hostKey: string },
  authReply,
);
/** A method that is not offered or not known: counted, FAILURE. `none` after the first comes here. */
export const RefuseMethod = call(
  26,
  'refuse-method',
  { connection: uint32, method: text },
  authReply,
);

/** `none` as the first request, which PermitEmptyPasswords may let in. */
export const TryNone = call(27, 'try-none', { connection: uint32 }, authReply);

/** OIDs in DER (RFC 4462 §3.2); as many as a worker lets through. */
export const StartGssapi = call(
  28,
  'start-gssapi',
  { connection: uint32, mechanisms: list(string, 64) },
  authReply,
);
export const GssapiToken = call(
  29,
  'gssapi-token',
  { connection: uint32, token: string },
  authReply,
);
/** The monitor builds what is signed itself (RFC 4462 §3.5). */
export const GssapiMic = call(30, 'gssapi-mic', { connection: uint32, mic: string }, authReply);

/**
 * The one request of a connection of the account `nx`: the user of the dialogue, with the password.
 * accepted: `session` may ask for the desktops of `user`, and nothing else can be had.
 */
export const NxLogin = call(
  31,
  'nx-login',
  { connection: uint32, user: string, password: string },
  { accepted: bool, session: uint32, user: text },
);

/** Takes one of MaxSessions. A failure's code is the reason of CHANNEL_OPEN_FAILURE. */
export const SessionOpen = call(40, 'session-open', { connection: uint32 }, { session: uint32 });
export const SessionPty = call(
  41,
  'session-pty',
  {
    connection: uint32,
    session: uint32,
    term: string,
    columns: uint32,
    rows: uint32,
    widthPixels: uint32,
    heightPixels: uint32,
    modes: string,
  },
  { allowed: bool },
);
export const SessionEnv = call(
  42,
  'session-env',
  { connection: uint32, session: uint32, name: string, value: string },
  { allowed: bool },
);
export const startedAs = { refused: 0, process: 1, internal: 2, told: 3, printed: 4 } as const;
/**
 * kind `shell`, `exec`, `subsystem` (command: its name). Once per session. `process`: descriptors as
 * `Spawn`, [stdin, stdout, stderr] or [pty master]; `internal`: the worker runs the subsystem
 * `internalName` on the channel itself (`rfb`, `display`). greeting: goes out before the process's own
 * output (of a login shell: PAM's messages, and on a terminal the last login and /etc/motd). `told`:
 * nothing runs; greeting goes to stderr and the session exits with `status`; `printed`: the same, to
 * stdout.
 */
export const SessionStart = call(
  43,
  'session-start',
  { connection: uint32, session: uint32, kind: text, command: string },
  { is: byte, isPty: bool, internalName: text, greeting: string, status: uint32 },
);
export const SessionSignal = call(
  44,
  'session-signal',
  { connection: uint32, session: uint32, signalName: text },
  { allowed: bool },
);
export const SessionClose = notice(45, 'session-close', { connection: uint32, session: uint32 });
/**
 * `internalName` names an internal target (`rfb`); empty: the descriptor of the connected socket
 * comes. A failure's code is the open-failure reason.
 */
export const DirectTcpip = call(
  46,
  'direct-tcpip',
  { connection: uint32, host: text, port: uint32, originAddress: text, originPort: uint32 },
  { internalName: text },
);

// ---- forwarding, 100–119 ----

/** RFC 4254 §7.1. The listening descriptors come; `port` is the one listened on. */
export const TcpipForward = call(
  100,
  'tcpip-forward',
  { connection: uint32, host: text, port: uint32 },
  { listener: uint32, port: uint32 },
);
/** direct-streamlocal@openssh.com. The connected descriptor comes; failure as `direct-tcpip`. */
export const DirectStreamLocal = call(
  101,
  'direct-streamlocal',
  { connection: uint32, path: text, originAddress: text, originPort: uint32 },
  {},
);
/** streamlocal-forward@openssh.com. The listening descriptor comes. */
export const StreamLocalForward = call(
  102,
  'streamlocal-forward',
  { connection: uint32, path: text },
  { listener: uint32 },
);
/** A listener of either kind ends: the client cancelled it. */
export const CloseForward = call(
  103,
  'close-forward',
  { connection: uint32, listener: uint32 },
  {},
);

// ---- agent, X11 and keepalive, 120–127 ----

/**
 * The client's agent for the sessions of this login (auth-agent-req@openssh.com): the listening
 * descriptor of its socket comes, the first time.
 */
export const AgentForward = call(
  120,
  'agent-forward',
  { connection: uint32, session: uint32 },
  { allowed: bool },
);
/** x11-req (RFC 4254 §6.3.1), once per session. One or two listening descriptors come. */
export const X11Forward = call(
  121,
  'x11-forward',
  {
    connection: uint32,
    session: uint32,
    singleConnection: bool,
    authProtocol: string,
    authData: string,
    screen: uint32,
  },
  { allowed: bool },
);
/** monitor → worker: the session is over, and with it the listeners of its display. */
export const X11End = notice(122, 'x11-end', { connection: uint32, session: uint32 });
/**
 * monitor → worker, before the answer that makes a connection authenticated. aliveIntervalMs 0: the
 * client is not asked whether it is there; aliveCountMax 0: it may stay silent for ever. The rest is
 * ChannelTimeout, UnusedConnectionTimeout, RekeyLimit, and IPQoS: 256 leaves the class as it is.
 */
export const LoginSettings = notice(123, 'login-settings', {
  connection: uint32,
  aliveIntervalMs: uint32,
  aliveCountMax: uint32,
  channelTimeouts: list(record({ pattern: text, seconds: uint32 }), 256),
  unusedSeconds: uint32,
  interactiveClass: uint32,
  bulkClass: uint32,
  rekeyBytes: uint64,
  rekeyMs: uint64,
});
/**
 * monitor → worker: somebody in a desktop of this login's user has connected to its agent; the
 * descriptor comes. A worker cannot ask for one.
 */
export const DesktopAgentSocket = notice(124, 'desktop-agent-socket', {
  connection: uint32,
  socket: uint32,
});
/** worker → monitor: that is over. */
export const DesktopAgentClosed = notice(125, 'desktop-agent-closed', {
  connection: uint32,
  socket: uint32,
});
const maxHostKeys = 64;
/** Proof for the client that the host has these keys (OpenSSH PROTOCOL §2.5), in their order. */
export const ProveHostKeys = call(
  70,
  'prove-host-keys',
  { connection: uint32, keys: list(string, maxHostKeys) },
  { signatures: list(string, maxHostKeys) },
);

export const Log = notice(60, 'log', { level: text, connection: uint32, line: text });
/** Who ended a connection, as the worker saw it: a log line, and whether its source is to wait. */
export const endedBy = {
  peerClosed: 0,
  peerDisconnected: 1,
  us: 2,
  peerReset: 3,
  timeout: 4,
  noAgreement: 5,
  /** Something of ours broke. */
  fault: 6,
  /** UnusedConnectionTimeout. */
  unused: 7,
  /** Before it had said who it is. */
  closedUnidentified: 8,
  resetUnidentified: 9,
  /** What it said was no identification, or one of another protocol; `why` is sshd's line. */
  notIdentified: 10,
  otherVersion: 11,
} as const;
/**
 * The connection is over; the monitor ends everything it holds for it. why: the peer's
 * `REASON: TEXT`, or the detail of our error.
 */
export const ConnectionClosed = notice(61, 'connection-closed', {
  connection: uint32,
  why: text,
  initiator: byte,
});

/** What a worker may know of the configuration (immutable, JSON in `Settings`). */
export interface WorkerSettings {
  readonly worker: number;
  readonly version: string /* identification without CR LF, e.g. SSH-2.0-sshdesk_0.1.0 */;
  readonly algorithms: {
    readonly kex: readonly string[];
    readonly serverHostKey: readonly string[];
    readonly cipher: readonly string[];
    readonly mac: readonly string[];
    readonly compress: readonly string[];
  };
  /** public blobs of keys and certificates, base64, in order of the configuration */
  readonly hostKeys: readonly string[];
  /** Those that clients are told of after login: plain keys that may serve an exchange. */
  readonly announcedHostKeys: readonly string[];
  readonly confinement: 'strict' | 'relaxed';
  /** RLIMIT_NOFILE of a worker. */
  readonly descriptorLimit: number;
  readonly rekeyBytes: number;
  readonly rekeyMs: number;
  readonly acceptedUserKeyAlgorithms: readonly string[];
}
