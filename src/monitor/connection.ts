/**
 * What the monitor knows of one connection; nothing in it is taken from a worker's word but what
 * the monitor itself has checked. Runs in: monitor.
 */
import type { Log, LogSubject } from '../audit/log.ts';
import type { Account, Established, ExitReport, LeaderClient } from '../../pam/leader-client.ts';
import type { ServerConfig } from '../policy/config.ts';
import type { Grant } from '../policy/grant.ts';
import { signalName } from '../base/signals.ts';
import { ExchangePace } from './exchange-pace.ts';
import type { PenaltyKind } from './source-penalties.ts';

export type Phase = 'preauth' | 'postauth';

export interface Endpoints {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

/** What a worker watches over once somebody is logged in. */
export interface LoginSettings {
  readonly aliveIntervalMs: number;
  readonly aliveCountMax: number;
  readonly channelTimeouts: readonly { readonly pattern: string; readonly seconds: number }[];
  readonly unusedSeconds: number;
  /** 256: none. */
  readonly interactiveClass: number;
  readonly bulkClass: number;
  /** RekeyLimit, which a Match block may have; 0: no limit of its own. */
  readonly rekeyBytes: bigint;
  readonly rekeyMs: bigint;
}

/** Notices to the worker that holds the connection. */
export interface WorkerPort {
  readonly number: number;
  closeConnection(connection: number, reason: number, peerText: string): void;
  sessionExit(
    connection: number,
    session: number,
    exit: { readonly status: number; readonly signalName: string; readonly coreDumped: boolean },
  ): void;
  /** The display of a session is over: no connection to it is taken any more. */
  x11End(connection: number, session: number): void;
  loginSettings(connection: number, settings: LoginSettings): void;
  viewerEnd(connection: number, viewer: number, why: string, status: number): void;
  viewerWarning(connection: number, viewer: number, line: string): void;
  /** Somebody in a desktop asks the client's agent. Owns the descriptor. */
  desktopAgentSocket(connection: number, socket: number, descriptor: number): void;
}

/** The requested terminal of a session, as its pty-req carried it (RFC 4254 §6.2). */
export interface RequestedTerminal {
  readonly term: Buffer;
  readonly columns: number;
  readonly rows: number;
  readonly widthPixels: number;
  readonly heightPixels: number;
  readonly modes: Buffer;
}

/** A forwarded display (RFC 4254 §6.3.1). */
export interface X11Display {
  readonly display: number;
  /** DISPLAY */
  readonly name: string;
  /** What xauth calls it. */
  readonly authorityName: string;
  readonly protocol: string;
  readonly cookie: string;
}

export interface Session {
  readonly number: number;
  /** What the log calls it: sshd numbers sessions from 0, and gives a number that is free again. */
  readonly slot: number;
  terminal: RequestedTerminal | undefined;
  readonly environment: [name: string, value: Buffer][];
  environmentBytes: number;
  /** Empty until `session-start`; an internal subsystem's name opens the desktop requests. */
  startedAs: '' | 'starting' | 'process' | 'rfb' | 'display';
  handle: number | undefined;
  /** What was started, for those who ask who is there. */
  what:
    | { readonly kind: string; readonly terminal: string; readonly startedAtMs: number }
    | undefined;
  wasForced: boolean;
  /** `opening` while its listeners are made. */
  x11: X11Display | 'opening' | undefined;
  /** Its channel is closed; it counts for MaxSessions as long as its process runs, as in sshd. */
  isClosed: boolean;
}

/** An authenticated user with everything that was decided about this login. */
export interface Login {
  readonly user: string;
  readonly account: Account;
  readonly leader: LeaderClient;
  /** As PAM knows where it is from (PAM_RHOST). */
  readonly remoteHost: string;
  readonly grant: Grant;
  /** With the Match blocks that apply to it. */
  readonly config: ServerConfig;
  /** The password has expired: only `passwd` may run (sshd: forwarding off). */
  readonly mustChangePassword: boolean;
  readonly messages: Buffer;
  /** A line for each factor: the method, and the key. */
  readonly authInfo: string;
  /** The file that says so (ExposeAuthInfo), once it is asked for. */
  authInfoFile: Promise<string | undefined> | undefined;
  readonly established: Promise<Established>;
  /** pam_open_session has failed: nothing is opened in this login. Set when it is known. */
  hasNoSession: boolean;
  /** The cache of its Kerberos tickets; empty: it has none. Set when it is known. */
  tickets: string;
}

/** What is said of an attempt, and done about one that fails; `authentication.ts` has the rest. */
export interface OngoingAuthentication {
  readonly isValid: boolean;
  readonly loggedPlain: string;
  /** Why it ended is in the log already. */
  readonly isEndTold: boolean;
  /** What its source waits for, if there is no login. */
  readonly penalty: PenaltyKind;
}

/** The key in front of the login of the account `nx`; `handshake.ts` has the rest. */
export interface OngoingHandshake {
  /** The key was right. */
  readonly isIn: boolean;
}

/** By what the log knows it. */
export type LogIdentity = Pick<LogSubject, 'id' | 'processNumber'>;

export class Connection implements LogSubject {
  readonly number: number;
  readonly id: string;
  readonly processNumber: number;
  /** Its lines carry what they are about, at the level of its own configuration. */
  readonly log: Log;
  readonly endpoints: Endpoints;
  readonly worker: WorkerPort;
  readonly sessions = new Map<number, Session>();
  readonly exchanges = new ExchangePace();
  /** Rows with `once` that were used. */
  readonly spent = new Set<string>();
  /** The cookie that our next KEXINIT must carry; used once. */
  cookie: Buffer;
  /** H of the first exchange (RFC 4253 §7.2); set once. */
  sessionId: Buffer | undefined;
  /** K_S of the first exchange, which publickey-hostbound-v00 binds a signature to; set once. */
  firstHostKey: Buffer | undefined;
  /** The signature algorithm of the last exchange; empty before the first. */
  hostKeyAlgorithm = '';
  phase: Phase = 'preauth';
  authentication: OngoingAuthentication | undefined;
  /** Said where it is known better than the authentication knows: why its source is made to wait. */
  penalty: PenaltyKind | 'none' | undefined;
  login: Login | undefined;
  /** Somebody came as the account `nx`: of everything else here only its login and desktops are its. */
  handshake: OngoingHandshake | undefined;
  /** Since the last one that was accepted; one that is under way counts. */
  failedReauthentications = 0;
  /** `publickey SHA256:…`, `password`: what the login has met, in this order. */
  readonly factors: string[] = [];
  /** For the record of the login: of its last session, of its last program, and of itself. */
  lastTerminal = '';
  lastExit = '';
  endReason = '';
  /** A direct-tcpip channel to the reserved desktop name was granted. */
  mayReachDesktopDirectly = false;
  /** Id of the desktop that a forced command has found; no other may be opened then. */
  forcedDesktop: string | undefined;
  /** The socket of the forwarded agent; undefined: none was asked for. */
  agentSocket: string | undefined;
  closed = false;
  /** Listeners of remote forwarding, by the leader's number of them. */
  readonly listeners = new Set<number>();
  listenersBeingMade = 0;
  /** Exits that were told in the same turn as the reply that names their handle. */
  readonly #earlyExits = new Map<number, ExitReport>();
  /** From 1: 0 in a desktop request means a direct-tcpip channel. */
  #nextSession = 1;

  constructor(
    number: number,
    endpoints: Endpoints,
    worker: WorkerPort,
    cookie: Buffer,
    log: Log,
    { id, processNumber }: LogIdentity,
  ) {
    this.number = number;
    this.endpoints = endpoints;
    this.worker = worker;
    this.cookie = cookie;
    this.id = id;
    this.processNumber = processNumber;
    this.log = log.about(this);
  }

  get loggedUser(): string | undefined {
    return this.authentication?.loggedPlain;
  }

  /** `IP port N`, as every log line has it. */
  get from(): string {
    return `${this.endpoints.remoteAddress} port ${this.endpoints.remotePort}`;
  }

  /** undefined: forwarding of the agent was not asked for, or not granted. */
  get agentClient(): { uid: number; give(socket: number, descriptor: number): void } | undefined {
    return this.agentSocket === undefined || this.login === undefined
      ? undefined
      : {
          uid: this.login.account.uid,
          give: (socket, descriptor) =>
            this.worker.desktopAgentSocket(this.number, socket, descriptor),
        };
  }

  openSession(): Session {
    const session: Session = {
      number: this.#nextSession++,
      slot: this.#freeSlot(),
      terminal: undefined,
      environment: [],
      environmentBytes: 0,
      startedAs: '',
      handle: undefined,
      what: undefined,
      wasForced: false,
      x11: undefined,
      isClosed: false,
    };
    this.sessions.set(session.number, session);
    return session;
  }

  #freeSlot(): number {
    const taken = new Set(this.sessions.values().map(({ slot }) => slot));
    let slot = 0;
    while (taken.has(slot)) {
      slot++;
    }
    return slot;
  }

  /** False: there is no such session, or it was closed before. */
  closeSession(number: number): boolean {
    const session = this.sessions.get(number);
    if (session === undefined || session.isClosed) {
      return false;
    }
    session.isClosed = true;
    this.forget(session);
    return true;
  }

  /** Once it is closed and nothing of it runs or is being started. */
  forget(session: Session): void {
    if (
      session.isClosed &&
      session.handle === undefined &&
      session.startedAs !== 'starting' &&
      session.x11 !== 'opening'
    ) {
      this.sessions.delete(session.number);
      this.#endDisplay(session);
    }
  }

  /** As in sshd a display ends with its session; what is connected to it goes on. */
  #endDisplay(session: Session): void {
    if (session.x11 === undefined || session.x11 === 'opening') {
      return;
    }
    const { display } = session.x11;
    session.x11 = undefined;
    this.worker.x11End(this.number, session.number);
    // A leader that has gone has done it itself, or can no longer.
    this.login?.leader.x11Close(display).catch(() => {});
  }

  /** The leader reports an exit; the session may not know its handle yet. */
  exited(report: ExitReport): void {
    for (const session of this.sessions.values()) {
      if (session.handle === report.handle) {
        this.#tell(session, report);
        return;
      }
    }
    this.#earlyExits.set(report.handle, report);
  }

  started(session: Session, kind: string, terminal: string, nowMs: number): void {
    session.what = { kind, terminal, startedAtMs: nowMs };
    this.lastTerminal = terminal === '' ? this.lastTerminal : terminal;
  }

  /** The session's process is this handle. */
  assignHandle(session: Session, handle: number): void {
    session.handle = handle;
    const early = this.#earlyExits.get(handle);
    if (early !== undefined) {
      this.#earlyExits.delete(handle);
      this.#tell(session, early);
    }
  }

  #tell(session: Session, { status, signal, coreDumped }: ExitReport): void {
    session.handle = undefined;
    this.lastExit = signal === 0 ? String(status) : signalName(signal);
    if (!session.isClosed) {
      this.worker.sessionExit(this.number, session.number, {
        status,
        signalName: signal === 0 ? '' : signalName(signal),
        coreDumped,
      });
    }
    this.forget(session);
  }
}
