/**
 * Channel type `session` (RFC 4254 §6): terminal, environment, shell, command, subsystem, signals,
 * exit. Runs in: worker. The host decides and starts; this file parses, keeps the order and moves
 * the bytes.
 */
import { Readable } from 'node:stream';
import { sessionDrainPolls, sessionDrainPollMs } from '../base/limits.ts';
import type { Channel } from '../ssh/connection/channel.ts';
import type { ChannelRequestHandler, RequestAnswer } from '../ssh/connection/channel-requests.ts';
import type { ChannelOpenHandler, OpenOutcome } from '../ssh/connection/mux.ts';
import {
  destroyWhenWritten,
  drain,
  feed,
  type LendingSource,
  pump,
} from '../ssh/connection/pump.ts';
import type { Reader } from '../ssh/wire/reader.ts';
import type {
  HostedSession,
  InternalSubsystem,
  PtyStream,
  SessionExitStatus,
  SessionHost,
  Started,
  SubsystemPaces,
  Terminal,
} from './host.ts';
import { isSignalName, wireSignalName } from '../base/signals.ts';

/** What a subsystem of this process is told besides its channel. */
export interface InternalContext {
  /** The session's number, for what the subsystem asks of the privileged side. */
  readonly session: number;
}

/** Subsystems that run in this process, keyed by the name that the host answers with. */
export type InternalSubsystems = ReadonlyMap<string, InternalSubsystem<Channel, InternalContext>>;

/** What the kernel keeps of a window size is 16 bits. */
const largestCells = 0xffff;

export function sessionChannel(
  host: SessionHost,
  subsystems: InternalSubsystems,
  paces: SubsystemPaces = new Map(),
): ChannelOpenHandler {
  return (fields: Reader): Promise<OpenOutcome> => {
    fields.end();
    return open(host, subsystems, paces);
  };
}

async function open(
  host: SessionHost,
  subsystems: InternalSubsystems,
  paces: SubsystemPaces,
): Promise<OpenOutcome> {
  const answer = await host.open();
  if ('refused' in answer) {
    return answer;
  }
  const { opened } = answer;
  return {
    opened: (channel) => void new SessionChannel(channel, opened, subsystems, paces),
    abandoned: () => opened.close(),
  };
}

type State = 'idle' | 'starting' | 'running';
type Size = readonly [columns: number, rows: number, widthPixels: number, heightPixels: number];

/** By what was asked for, whatever was forced in its place: so it is in sshd. */
function timeoutType(kind: 'shell' | 'exec' | 'subsystem', command: Buffer): string {
  switch (kind) {
    case 'subsystem':
      return `session:subsystem:${command.toString('latin1')}`;
    case 'shell':
      return 'session:shell';
    case 'exec':
      return 'session:command';
  }
}

class SessionChannel {
  readonly #channel: Channel;
  readonly #hosted: HostedSession;
  readonly #subsystems: InternalSubsystems;
  readonly #paces: SubsystemPaces;
  #state: State = 'idle';
  #terminal: Terminal | undefined;
  #pty: PtyStream | undefined;
  #hasProcess = false;
  /** A window change that came before the terminal itself. */
  #size: Size | undefined;
  #openOutputs = 0;
  #hasExited = false;

  constructor(
    channel: Channel,
    hosted: HostedSession,
    subsystems: InternalSubsystems,
    paces: SubsystemPaces,
  ) {
    this.#paces = paces;
    this.#channel = channel;
    this.#hosted = hosted;
    this.#subsystems = subsystems;
    hosted.onWarning = (line) => void channel.err.write(Buffer.from(`${line}\n`));
    channel.onGone(() => hosted.close());
    channel.requests = new Map<string, ChannelRequestHandler>([
      ['pty-req', (fields) => this.#requestPty(fields)],
      ['env', (fields) => this.#requestEnv(fields)],
      ['auth-agent-req@openssh.com', (fields) => this.#requestAgent(fields)],
      ['x11-req', (fields) => this.#requestX11(fields)],
      ['window-change', (fields) => this.#changeWindow(fields)],
      ['shell', (fields) => this.#start('shell', noCommand(fields))],
      ['exec', (fields) => this.#start('exec', onlyString(fields))],
      ['subsystem', (fields) => this.#start('subsystem', onlyString(fields))],
      ['signal', (fields) => this.#signal(fields)],
      ['break', (fields) => this.#break(fields)],
    ]);
  }

  get #hasTerminal(): boolean {
    return this.#terminal !== undefined;
  }

  /** RFC 4254 §6.2 */
  async #requestPty(fields: Reader): Promise<boolean> {
    const term = Buffer.from(fields.string());
    const [columns, rows, widthPixels, heightPixels] = sizeOf(fields);
    const modes = Buffer.from(fields.string());
    fields.end();
    if (this.#state !== 'idle' || this.#hasTerminal) {
      return false;
    }
    const terminal = { term, columns, rows, widthPixels, heightPixels, modes };
    if (await this.#hosted.pty(terminal)) {
      this.#terminal = terminal;
    }
    return this.#hasTerminal;
  }

  /** RFC 4254 §6.4 */
  async #requestEnv(fields: Reader): Promise<boolean> {
    const name = fields.string();
    const value = fields.string();
    fields.end();
    return this.#state === 'idle' && (await this.#hosted.env(name, value));
  }

  async #requestAgent(fields: Reader): Promise<boolean> {
    fields.end();
    return this.#state === 'idle' && (await this.#hosted.forwardAgent());
  }

  /** RFC 4254 §6.3.1 */
  async #requestX11(fields: Reader): Promise<boolean> {
    const request = {
      singleConnection: fields.bool(),
      authProtocol: Buffer.from(fields.string()),
      authData: Buffer.from(fields.string()),
      screen: fields.uint32(),
    };
    fields.end();
    return this.#state === 'idle' && (await this.#hosted.forwardX11(request));
  }

  /** RFC 4254 §6.7 */
  #changeWindow(fields: Reader): boolean | Promise<boolean> {
    const size = sizeOf(fields);
    fields.end();
    if (this.#terminal === undefined) {
      return false;
    }
    if (this.#state === 'idle') {
      // The command that follows is to find this size from its first moment on.
      const [columns, rows, widthPixels, heightPixels] = size;
      return this.#hosted.pty({ ...this.#terminal, columns, rows, widthPixels, heightPixels });
    }
    if (this.#pty === undefined) {
      this.#size = size;
    } else if (!this.#pty.destroyed) {
      this.#pty.resize(...size);
    }
    return true;
  }

  /** RFC 4254 §6.9 */
  async #signal(fields: Reader): Promise<boolean> {
    const name = fields.text();
    fields.end();
    return (
      this.#hasProcess &&
      !this.#hasExited &&
      isSignalName(name) &&
      (await this.#hosted.signal(name))
    );
  }

  /**
   * RFC 4335. A pseudo-terminal of Linux has no line to break: tcsendbreak does nothing and
   * succeeds, and so does this.
   */
  #break(fields: Reader): boolean {
    fields.uint32();
    fields.end();
    return this.#pty !== undefined;
  }

  /** RFC 4254 §6.5. One per channel; a refused one may be followed by another (PuTTY's psftp). */
  async #start(kind: 'shell' | 'exec' | 'subsystem', command: Buffer): Promise<RequestAnswer> {
    if (this.#state !== 'idle') {
      return false;
    }
    this.#state = 'starting';
    const started = await this.#hosted.start(kind, command);
    if (started.is === 'refused') {
      this.#state = 'idle';
      return false;
    }
    this.#channel.timeoutType = timeoutType(kind, command);
    if (started.is === 'internal') {
      return this.#runInternal(started.name);
    }
    this.#state = 'running';
    if (started.is === 'told') {
      return () => {
        const stream = started.isOutput ? this.#channel.out : this.#channel.err;
        stream.write(started.text);
        this.#channel.sendExitStatus(started.status);
        this.#channel.close();
      };
    }
    this.#hasProcess = true;
    this.#channel.holdClose();
    // Nothing of the process, its exit least of all, goes out before the answer to the request.
    return started.is === 'pty'
      ? () => this.#runTerminal(started.pty, started.greeting)
      : () => this.#runProcess(started, kind === 'subsystem' ? command.toString('latin1') : '');
  }

  #runInternal(name: string): RequestAnswer {
    const subsystem = this.#subsystems.get(name);
    if (subsystem === undefined || this.#channel.isClosed) {
      this.#state = 'idle';
      return false;
    }
    this.#state = 'running';
    return () => subsystem(this.#channel, { session: this.#hosted.number });
  }

  /** subsystem: empty: a shell or command. */
  #runProcess(started: Extract<Started, { is: 'process' }>, subsystem: string): void {
    const { stdin, stdout, stderr } = started;
    const channel = this.#channel;
    this.#openOutputs = 2;
    const pace = stdout instanceof Readable ? undefined : this.#paces.get(subsystem)?.();
    const seen = pace === undefined ? stdout : pace.watch(stdout as LendingSource);
    pump(seen, channel.out, () => this.#outputEnded());
    if (subsystem !== '') {
      // As sshd: no client of a subsystem reads such a thing.
      drain(stderr, () => this.#outputEnded());
    } else {
      pump(stderr, channel.err, () => this.#outputEnded());
    }
    feed(channel, stdin, () => {}, undefined, pace);
    this.#hosted.onExit = (exit) => {
      this.#tellExit(exit);
      // Nobody is left to read it, as far as we are concerned: sshd closes its end here too.
      channel.discardInput();
      stdin.destroy();
      this.#closeWhenOver();
    };
    channel.onClose(() => {
      destroyWhenWritten(stdin);
      stdout.destroy();
      stderr.destroy();
    });
  }

  #runTerminal(pty: PtyStream, greeting: Buffer | undefined): void {
    const channel = this.#channel;
    if (greeting !== undefined && greeting.length > 0) {
      channel.out.write(greeting);
    }
    this.#pty = pty;
    if (this.#size !== undefined) {
      pty.resize(...this.#size);
    }
    this.#openOutputs = 1;
    pump(pty, channel.out, () => this.#outputEnded());
    feed(channel, pty, () => {});
    this.#hosted.onExit = (exit) => {
      this.#tellExit(exit);
      this.#closeWhenOver();
      this.#closeWhenQuiet(pty);
    };
    channel.onClose(() => pty.destroy());
  }

  /**
   * A background job may hold the terminal for ever: once its owner has exited, what is in it is
   * read, and the channel closed.
   */
  #closeWhenQuiet(pty: PtyStream): void {
    let polls = 0;
    let hasMore = false;
    pty.on('data', () => {
      hasMore = true;
    });
    const poll = (): void => {
      if (this.#channel.isClosed || this.#openOutputs === 0) {
        return;
      }
      const isHeldUp = this.#channel.out.isBlocked;
      polls += isHeldUp ? 0 : 1;
      if (!isHeldUp && (!hasMore || polls >= sessionDrainPolls)) {
        this.#outputEnded();
        return;
      }
      hasMore = false;
      setTimeout(poll, sessionDrainPollMs);
    };
    setTimeout(poll, sessionDrainPollMs);
  }

  #tellExit(exit: SessionExitStatus): void {
    this.#hasExited = true;
    if (exit.is === 'exited') {
      this.#channel.sendExitStatus(exit.status);
    } else {
      this.#channel.sendExitSignal(wireSignalName(exit.signalName), exit.coreDumped, '');
    }
    this.#channel.releaseClose();
  }

  #outputEnded(): void {
    this.#openOutputs = Math.max(0, this.#openOutputs - 1);
    if (this.#openOutputs === 0) {
      this.#channel.sendEof();
      this.#closeWhenOver();
    }
  }

  #closeWhenOver(): void {
    if (this.#hasExited && this.#openOutputs === 0) {
      this.#channel.close();
    }
  }
}

function sizeOf(fields: Reader): Size {
  const cells = (): number => Math.min(fields.uint32(), largestCells);
  return [cells(), cells(), cells(), cells()];
}

function noCommand(fields: Reader): Buffer {
  fields.end();
  return Buffer.alloc(0);
}

function onlyString(fields: Reader): Buffer {
  const command = Buffer.from(fields.string());
  fields.end();
  return command;
}
