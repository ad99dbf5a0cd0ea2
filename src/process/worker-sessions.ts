/**
 * The `SessionHost` and `ForwardHost` of one connection: the monitor decides and has the leader act;
 * descriptors come back and become streams here. Runs in: worker.
 */
import { Socket } from 'node:net';
import { closeDescriptor } from '../base/socket.native.ts';
import { PtyMaster } from '../base/pty.native.ts';
import { MonitorRefusal } from '../base/errors.ts';
import type { ForwardHost } from '../forwarding/host.ts';
import * as link from '../monitor/link.ts';
import type { LendingSource } from '../ssh/connection/pump.ts';
import { PipeSource } from '../session/pipe-source.ts';
import { CallFailure, type Peer } from '../ssh/wire/peer.ts';
import type {
  HostedSession,
  SessionExitStatus,
  SessionHost,
  Started,
  Terminal,
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
  readonly #peer: Peer;
  readonly #connection: number;
  readonly #lentBuffer: Buffer;
  readonly #onClosed: () => void;
  #isClosed = false;
  #early: SessionExitStatus | undefined;
  #onExit: ((exit: SessionExitStatus) => void) | undefined;
  onWarning: (line: string) => void = () => {};

  constructor(
    peer: Peer,
    connection: number,
    number: number,
    lentBuffer: Buffer,
    onClosed: () => void,
  ) {
    this.#peer = peer;
    this.#connection = connection;
    this.#lentBuffer = lentBuffer;
    this.number = number;
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
    return { connection: this.#connection, session: this.number };
  }

  async pty(terminal: Terminal): Promise<boolean> {
    return (await this.#peer.call(link.SessionPty, { ...this.#which, ...terminal })).values.allowed;
  }

  async env(name: Buffer, value: Buffer): Promise<boolean> {
    return (await this.#peer.call(link.SessionEnv, { ...this.#which, name, value })).values.allowed;
  }

  async start(kind: 'shell' | 'exec' | 'subsystem', command: Buffer): Promise<Started> {
    const answer = await this.#ask(kind, command);
    if (answer === undefined) {
      return { is: 'refused' };
    }
    const { values, descriptors } = answer;
    if (values.is === link.startedAs.internal) {
      closeAll(descriptors);
      return { is: 'internal', name: values.internalName };
    }
    if (values.is === link.startedAs.told) {
      closeAll(descriptors);
      return { is: 'told', text: values.greeting, status: values.status };
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
    if (values.isPty) {
      return { is: 'pty', pty: new PtyMaster(descriptors[0] as number) };
    }
    const [stdin, stdout, stderr] = descriptors;
    if (stdin === undefined || stdout === undefined || stderr === undefined) {
      closeAll(descriptors);
      throw new MonitorRefusal('a process came without its three descriptors');
    }
    return {
      is: 'process',
      stdin: new Socket({ fd: stdin, readable: false, writable: true }),
      stdout: greeted(new PipeSource(stdout, this.#lentBuffer), values.greeting),
      stderr: new PipeSource(stderr, this.#lentBuffer),
    };
  }

  async #ask(kind: string, command: Buffer) {
    try {
      return await this.#peer.call(link.SessionStart, { ...this.#which, kind, command });
    } catch (error) {
      if (error instanceof CallFailure) {
        return undefined;
      }
      throw error;
    }
  }

  async signal(signalName: string): Promise<boolean> {
    return (await this.#peer.call(link.SessionSignal, { ...this.#which, signalName })).values
      .allowed;
  }

  close(): void {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#onClosed();
      this.#peer.notify(link.SessionClose, this.#which);
    }
  }
}

export class MonitorSessions implements SessionHost, ForwardHost {
  readonly #peer: Peer;
  readonly #connection: number;
  /** What processes write is read into it; one for all of a worker. */
  readonly #lentBuffer: Buffer;
  readonly #sessions = new Map<number, MonitorSession>();

  constructor(peer: Peer, connection: number, lentBuffer: Buffer) {
    this.#peer = peer;
    this.#connection = connection;
    this.#lentBuffer = lentBuffer;
  }

  async open(): Promise<
    { readonly opened: HostedSession } | { readonly refused: number; readonly text: string }
  > {
    try {
      const { values } = await this.#peer.call(link.SessionOpen, { connection: this.#connection });
      const { session: number } = values;
      const session = new MonitorSession(
        this.#peer,
        this.#connection,
        number,
        this.#lentBuffer,
        () => this.#sessions.delete(number),
      );
      this.#sessions.set(values.session, session);
      return { opened: session };
    } catch (error) {
      return openFailure(error);
    }
  }

  async directTcpip(
    host: string,
    port: number,
    originAddress: string,
    originPort: number,
  ): Promise<{ readonly internal: string } | { readonly refused: number; readonly text: string }> {
    try {
      const { values } = await this.#peer.call(link.DirectTcpip, {
        connection: this.#connection,
        host,
        port,
        originAddress,
        originPort,
      });
      return { internal: values.internalName };
    } catch (error) {
      return openFailure(error);
    }
  }

  exited(session: number, exit: SessionExitStatus): void {
    this.#sessions.get(session)?.exited(exit);
  }
}
