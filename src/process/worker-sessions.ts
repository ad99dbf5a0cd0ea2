/**
 * The `SessionHost` of one connection: the monitor decides and has the leader act;
 * descriptors come back and become streams here. Runs in: worker.
 */
import { closeDescriptor } from '../base/socket.native.ts';
import { DescriptorSocket } from '../base/descriptor-socket.native.ts';
import { PtyMaster } from '../base/pty.native.ts';
import { MonitorRefusal } from '../base/errors.ts';
import { agentListener } from '../forwarding/agent.ts';
import type { ForwardListener } from '../forwarding/listener.ts';
import type { SocketRoom } from '../forwarding/room.ts';
import { x11Listener } from '../forwarding/x11.ts';
import * as link from '../monitor/link.ts';
import type { ChannelOpener } from '../ssh/connection/mux.ts';
import type { LendingSource } from '../ssh/connection/pump.ts';
import { PipeSource } from '../session/pipe-source.ts';
import { CallFailure, E2BIG, type Peer } from '../ssh/wire/peer.ts';
import type {
  HostedSession,
  SessionExitStatus,
  SessionHost,
  Started,
  Terminal,
  X11Request,
} from '../session/host.ts';

const connectFailed = 2;
const maxReason = 4;

/** A failure's code is the reason of the open failure (RFC 4254 §5.1). */
export function openFailure(error: unknown): { readonly refused: number; readonly text: string } {
  if (error instanceof CallFailure) {
    const reason = error.code >= 1 && error.code <= maxReason ? error.code : connectFailed;
    return { refused: reason, text: error.text };
  }
  throw error;
}

function closeAll(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) {
    closeDescriptor(descriptor);
  }
}

/** undefined: a client's packet may be longer than a frame of the link; nobody means such a request. */
async function unlessTooLong<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof CallFailure && error.code === E2BIG) {
      return undefined;
    }
    throw error;
  }
}

async function isAllowed(
  asked: Promise<{ readonly values: { readonly allowed: boolean } }>,
): Promise<boolean> {
  return (await unlessTooLong(asked))?.values.allowed ?? false;
}

/** What the sessions of one connection share. */
export interface SessionShared {
  readonly peer: Peer;
  readonly connection: number;
  /** What processes write is read into it; one for all of a worker. */
  readonly lentBuffer: Buffer;
  /** Opens channels to the client; there once somebody is logged in. */
  readonly opener: () => ChannelOpener;
  readonly room: SocketRoom;
  /** What the sessions that run are, all together: of a terminal, display or viewer, or bulk alone. */
  readonly onTraffic: (isInteractive: boolean) => void;
  readonly log: (level: string, line: string) => void;
}

/** `of`: the session whose display it is. */
type KeepListener = (of: 'agent' | number, listener: ForwardListener) => void;

/** What the monitor has the user read first goes out in front of what the process writes. */
function greeted(source: LendingSource, greeting: Buffer): LendingSource {
  return greeting.length === 0
    ? source
    : {
        start: (take, end) => {
          take(greeting);
          source.start(take, end);
        },
        pause: () => source.pause(),
        resume: () => source.resume(),
        destroy: () => source.destroy(),
      };
}

class MonitorSession implements HostedSession {
  readonly number: number;
  readonly #shared: SessionShared;
  readonly #onStarted: (isInteractive: boolean) => void;
  readonly #onClosed: () => void;
  #hasDisplay = false;
  readonly #keep: KeepListener;
  #isClosed = false;
  #early: SessionExitStatus | undefined;
  #onExit: ((exit: SessionExitStatus) => void) | undefined;
  onWarning: (line: string) => void = () => {};

  constructor(
    shared: SessionShared,
    number: number,
    keep: KeepListener,
    onStarted: (isInteractive: boolean) => void,
    onClosed: () => void,
  ) {
    this.#shared = shared;
    this.number = number;
    this.#keep = keep;
    this.#onStarted = onStarted;
    this.#onClosed = onClosed;
  }

  get onExit(): (exit: SessionExitStatus) => void {
    return this.#onExit ?? (() => {});
  }
  /** The process may have ended before anybody listens. */
  set onExit(listener: (exit: SessionExitStatus) => void) {
    this.#onExit = listener;
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) {
      listener(early);
    }
  }

  exited(exit: SessionExitStatus): void {
    if (this.#onExit === undefined) {
      this.#early = exit;
    } else {
      this.#onExit(exit);
    }
  }

  get #which(): { readonly connection: number; readonly session: number } {
    return { connection: this.#shared.connection, session: this.number };
  }

  async pty(terminal: Terminal): Promise<boolean> {
    return isAllowed(this.#shared.peer.call(link.SessionPty, { ...this.#which, ...terminal }));
  }

  async env(name: Buffer, value: Buffer): Promise<boolean> {
    return isAllowed(this.#shared.peer.call(link.SessionEnv, { ...this.#which, name, value }));
  }

  async forwardAgent(): Promise<boolean> {
    const { peer, opener, room, log } = this.#shared;
    const { values, descriptors } = await peer.call(link.AgentForward, this.#which);
    const [descriptor, ...more] = descriptors;
    closeAll(more);
    if (descriptor !== undefined) {
      this.#keep(
        'agent',
        agentListener(descriptor, opener(), room, ({ message }) => log('ERROR', message)),
      );
    }
    return values.allowed;
  }

  async forwardX11(request: X11Request): Promise<boolean> {
    const { peer, opener, room, log } = this.#shared;
    const answer = await unlessTooLong(peer.call(link.X11Forward, { ...this.#which, ...request }));
    if (answer === undefined) {
      return false;
    }
    const { values, descriptors } = answer;
    if (!values.allowed || descriptors.length === 0 || this.#isClosed) {
      closeAll(descriptors);
      return false;
    }
    this.#hasDisplay = true;
    this.#keep(
      this.number,
      x11Listener(descriptors, request, opener(), room, ({ message }) => log('ERROR', message)),
    );
    return true;
  }

  async start(kind: 'shell' | 'exec' | 'subsystem', command: Buffer): Promise<Started> {
    const answer = await this.#ask(kind, command);
    if (answer === undefined) {
      return { is: 'refused' };
    }
    const { values, descriptors } = answer;
    if (values.is === link.startedAs.internal) {
      closeAll(descriptors);
      this.#onStarted(true);
      return { is: 'internal', name: values.internalName };
    }
    if (values.is === link.startedAs.told || values.is === link.startedAs.printed) {
      closeAll(descriptors);
      const { greeting: text, status } = values;
      return { is: 'told', text, status, isOutput: values.is === link.startedAs.printed };
    }
    if (values.is !== link.startedAs.process) {
      closeAll(descriptors);
      return { is: 'refused' };
    }
    if (this.#isClosed) {
      // The channel went while the order was under way: nobody will read these.
      closeAll(descriptors);
      return { is: 'refused' };
    }
    this.#onStarted(values.isPty || this.#hasDisplay);
    if (values.isPty) {
      const pty = new PtyMaster(descriptors[0] as number);
      return { is: 'pty', pty, greeting: values.greeting };
    }
    const [stdin, stdout, stderr] = descriptors;
    if (stdin === undefined || stdout === undefined || stderr === undefined) {
      closeAll(descriptors);
      throw new MonitorRefusal('a process came without its three descriptors');
    }
    return {
      is: 'process',
      stdin: new DescriptorSocket(stdin, 'write'),
      stdout: greeted(new PipeSource(stdout, this.#shared.lentBuffer), values.greeting),
      stderr: new PipeSource(stderr, this.#shared.lentBuffer),
    };
  }

  async #ask(kind: string, command: Buffer) {
    try {
      return await this.#shared.peer.call(link.SessionStart, { ...this.#which, kind, command });
    } catch (error) {
      if (error instanceof CallFailure) {
        return undefined;
      }
      throw error;
    }
  }

  async signal(signalName: string): Promise<boolean> {
    return (await this.#shared.peer.call(link.SessionSignal, { ...this.#which, signalName })).values
      .allowed;
  }

  close(): void {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#onClosed();
      this.#shared.peer.notify(link.SessionClose, this.#which);
    }
  }
}

export class MonitorSessions implements SessionHost {
  readonly #shared: SessionShared;
  readonly #sessions = new Map<number, MonitorSession>();
  /** By number: whether it is interactive. */
  readonly #running = new Map<number, boolean>();
  readonly #listeners = new Map<'agent' | number, ForwardListener>();
  #isOver = false;

  constructor(shared: SessionShared) {
    this.#shared = shared;
  }

  /** The connection is over: nothing is accepted any more. */
  closed(): void {
    this.#isOver = true;
    for (const listener of this.#listeners.values()) {
      listener.close();
    }
    this.#listeners.clear();
  }

  /** Behind the last session the class stays: what follows is the farewell. */
  #tellTraffic(): void {
    if (this.#running.size > 0 && !this.#isOver) {
      this.#shared.onTraffic([...this.#running.values()].includes(true));
    }
  }

  /** The session is over, its process too, and with them its display. */
  displayEnded(session: number): void {
    this.#listeners.get(session)?.close();
    this.#listeners.delete(session);
  }

  #keepListener(of: 'agent' | number, listener: ForwardListener): void {
    if (this.#isOver) {
      listener.close();
    } else {
      this.#listeners.set(of, listener);
    }
  }

  async open(): Promise<
    { readonly opened: HostedSession } | { readonly refused: number; readonly text: string }
  > {
    try {
      const { values } = await this.#shared.peer.call(link.SessionOpen, {
        connection: this.#shared.connection,
      });
      const { session: number } = values;
      const session = new MonitorSession(
        this.#shared,
        number,
        (of, listener) => this.#keepListener(of, listener),
        (isInteractive) => {
          this.#running.set(number, isInteractive);
          this.#tellTraffic();
        },
        () => {
          this.#sessions.delete(number);
          this.#running.delete(number);
          this.#tellTraffic();
        },
      );
      this.#sessions.set(values.session, session);
      return { opened: session };
    } catch (error) {
      return openFailure(error);
    }
  }

  exited(session: number, exit: SessionExitStatus): void {
    this.#sessions.get(session)?.exited(exit);
  }
}
