/**
 * One session channel as the client sees it (RFC 4254 §6): what is asked for before the program
 * starts, and how the program ends. Runs in: user.
 */
import type { Channel } from '../connection/channel.ts';
import type { ChannelRequestHandler } from '../connection/channel-requests.ts';
import type { Connection } from '../connection/mux.ts';
import type { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import { ClientFailure } from './failure.ts';

export type ProgramStart =
  | { readonly is: 'subsystem'; readonly name: string }
  | { readonly is: 'exec'; readonly command: Buffer }
  | { readonly is: 'shell' };

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface PtyRequest {
  readonly term: string;
  readonly size: TerminalSize;
  /** Encoded terminal modes (RFC 4254 §8), TTY_OP_END included. */
  readonly modes: Buffer;
}

export interface ProgramOptions {
  readonly environment?: readonly (readonly [string, string])[];
  readonly pty?: PtyRequest | null;
  /** auth-agent-req@openssh.com on this channel. */
  readonly asksForAgent?: boolean;
  /** What the server refused and the program can do without. */
  readonly onRefused?: (what: string) => void;
}

export type ProgramEnd =
  | { readonly is: 'status'; readonly status: number }
  | { readonly is: 'signal'; readonly name: string; readonly text: string }
  /** The channel was closed without a word. */
  | { readonly is: 'none' };

const nothing = Buffer.alloc(0);
const maxSignalChars = 64;
const maxTextChars = 1024;

/** Takes the program's stderr; `consumed` gives the bytes back to the window. */
export type StderrTaker = (data: Buffer, consumed: () => void) => void;

export class Program {
  readonly channel: Channel;
  /** What came before somebody was there to take it: right behind the answer to the start, often. */
  #heldStderr: (readonly [data: Buffer, consumed: () => void])[] = [];
  #end: ProgramEnd = { is: 'none' };
  /** When the channel has closed; bytes of it may still wait for their reader. */
  readonly closed: Promise<ProgramEnd>;

  private constructor(channel: Channel) {
    this.channel = channel;
    channel.onStderr = (data, consumed) => this.#heldStderr.push([data, consumed]);
    this.closed = new Promise((resolve) => channel.onClose(() => resolve(this.#end)));
    channel.requests = new Map<string, ChannelRequestHandler>([
      ['exit-status', (fields) => this.#exited({ is: 'status', status: fields.uint32() })],
      ['exit-signal', (fields) => this.#exited(signalOf(fields))],
    ]);
  }

  /** Resolves when the server has started it; ClientFailure `desktop` when it refuses. */
  static async start(
    connection: Connection,
    start: ProgramStart,
    options: ProgramOptions = {},
  ): Promise<Program> {
    const outcome = await connection.openChannel('session', nothing);
    const what = start.is === 'subsystem' ? `subsystem ${start.name}` : start.is;
    if (!('opened' in outcome)) {
      throw new ClientFailure('desktop', `${what}: no session: ${outcome.text}`);
    }
    const program = new Program(outcome.opened);
    if (!(await program.#request(start, options))) {
      program.channel.abort();
      throw new ClientFailure('desktop', `${what}: the server refuses it`);
    }
    return program;
  }

  /** All are sent at once: the replies keep their order. */
  async #request(start: ProgramStart, options: ProgramOptions): Promise<boolean> {
    const { channel } = this;
    const optional: Promise<void>[] = [];
    const wish = (what: string, name: string, data: Buffer): void => {
      const told = channel.ask(name, data).then((isGranted) => {
        if (!isGranted && !channel.isClosed) options.onRefused?.(what);
      });
      optional.push(told);
    };
    if (options.asksForAgent === true) {
      wish('agent forwarding', 'auth-agent-req@openssh.com', nothing);
    }
    if (options.pty) wish('a terminal', 'pty-req', ptyRequest(options.pty));
    for (const [name, value] of options.environment ?? []) {
      // As with ssh nobody is told: AcceptEnv says which are taken.
      channel.tell('env', new Writer().text(name).text(value).done());
    }
    const started = channel.ask(start.is, startData(start));
    await Promise.all(optional);
    return started;
  }

  takeStderr(take: StderrTaker): void {
    this.channel.onStderr = take;
    for (const [data, consumed] of this.#heldStderr.splice(0)) take(data, consumed);
  }

  /** window-change (RFC 4254 §6.7). */
  resize({ columns, rows }: TerminalSize): void {
    const data = new Writer().uint32(columns).uint32(rows).uint32(0).uint32(0).done();
    this.channel.tell('window-change', data);
  }

  /** The first word counts: a server says it once. */
  #exited(end: ProgramEnd): boolean {
    if (this.#end.is === 'none') this.#end = end;
    return true;
  }
}

function startData(start: ProgramStart): Buffer {
  if (start.is === 'shell') return nothing;
  return start.is === 'exec'
    ? new Writer().string(start.command).done()
    : new Writer().text(start.name).done();
}

function ptyRequest({ term, size, modes }: PtyRequest): Buffer {
  return new Writer()
    .text(term)
    .uint32(size.columns)
    .uint32(size.rows)
    .uint32(0)
    .uint32(0)
    .string(modes)
    .done();
}

function signalOf(fields: Reader): ProgramEnd {
  const name = fields.string().toString('latin1').slice(0, maxSignalChars);
  fields.bool();
  const text = fields.string().toString('utf8').slice(0, maxTextChars);
  return { is: 'signal', name, text };
}
