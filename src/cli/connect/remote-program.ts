/**
 * A command, login shell or subsystem on our standard streams, byte for byte, each with its own
 * back-pressure; its exit status is ours. Runs in: user.
 */
import { Readable, Transform, type TransformCallback } from 'node:stream';
import { finished } from 'node:stream/promises';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { Program, ProgramEnd, ProgramStart } from '../../ssh/client/program.ts';
import type { ClientSession } from '../../ssh/client/session.ts';
import type { Channel } from '../../ssh/connection/channel.ts';
import { feed, pump } from '../../ssh/connection/pump.ts';
import { EscapeFilter } from './escape.ts';
import { LocalTty } from './local-tty.ts';
import { noStatus } from './no-status.ts';
import type { ProgramSettings } from './session-settings.ts';
import type { Terminal } from './terminal.ts';

export interface ProgramRequest {
  readonly start: ProgramStart;
  /** -t, -tt and -T; null: none of them. */
  readonly tty: 'yes' | 'force' | 'no' | null;
  /** -n */
  readonly isStdinNull: boolean;
}

export interface Streams {
  /** Opened only when it is read: opening alone changes the mode that others share it in. */
  readonly stdin: () => NodeJS.ReadStream;
  readonly isStdinTty: boolean;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** What may still come for a reader that has left; more than windows hold. */
const maxUnreadBytes = 16 * 1024 * 1024;

/** The exit code. Throws when it cannot be started, or the connection is lost under it. */
export async function runProgram(
  session: ClientSession,
  request: ProgramRequest,
  settings: ProgramSettings,
  terminal: Terminal,
  streams: Streams,
): Promise<number> {
  const { isStdinTty } = streams;
  const tty = new LocalTty(isStdinTty, [streams.stdout, streams.stderr], process.env);
  const hasPty = wantsPty(request, settings, isStdinTty, terminal);
  let isRefused = false;
  const program = await session.start(request.start, {
    environment: settings.environment,
    pty: hasPty ? tty.request : null,
    onRefused(what) {
      isRefused ||= what === 'a terminal';
      terminal.line(`Warning: the server refuses ${what}.`);
    },
  });
  const run = new RunningProgram(program, streams);
  try {
    if (hasPty && !isRefused) {
      terminal.progress('');
      tty.makeRaw();
      tty.watchSize((size) => program.resize(size));
    }
    const stdin = request.isStdinNull || settings.isStdinNull ? null : streams.stdin();
    const isTyped = hasPty && !isRefused && isStdinTty;
    run.start(stdin && isTyped ? escaping(stdin, () => void session.close()) : stdin);
    const lost = session.ended.then((failure) => run.lost(failure));
    await Promise.race([run.ended, lost]);
  } finally {
    tty.restore();
    run.leave();
  }
  return exitCodeOf(await program.closed, run.isOutputGone, terminal);
}

function wantsPty(
  { start, tty }: ProgramRequest,
  { requestTty }: ProgramSettings,
  isStdinTty: boolean,
  terminal: Terminal,
): boolean {
  const wish = tty ?? requestTty;
  if (wish === 'no') return false;
  if (wish === 'force') return true;
  if (wish === 'yes' && !isStdinTty) {
    terminal.line(
      'Warning: stdin is no terminal, so there is none on the other side (-tt for one).',
    );
  }
  return isStdinTty && (wish === 'yes' || start.is === 'shell');
}

/** What is typed, without the escapes. */
function escaping(stdin: NodeJS.ReadStream, leave: () => void): Readable {
  const filter = new EscapeFilter();
  const transform = new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
      const { bytes, isLeft } = filter.take(chunk);
      if (isLeft) leave();
      done(null, bytes);
    },
  });
  transform.once('close', () => stdin.destroy());
  return stdin.pipe(transform);
}

function exitCodeOf(end: ProgramEnd, isOutputGone: boolean, terminal: Terminal): number {
  if (end.is === 'status') return end.status > noStatus ? noStatus : end.status;
  // Whoever read our output has left: that the program ends of it is no news.
  if (isOutputGone) return noStatus;
  if (end.is === 'signal') {
    const text = end.text === '' ? '' : `: ${end.text}`;
    terminal.line(`The program was ended by signal ${end.name}${text}.`);
  } else {
    terminal.line('The program ended without an exit status.');
  }
  return noStatus;
}

/** A program that is told (eow) ends of it; where it never hears of it the channel is closed. */
function discard(channel: Channel): void {
  let bytes = 0;
  channel.receive({
    write(data) {
      bytes += data.length;
      if (bytes > maxUnreadBytes) channel.abort();
      return true;
    },
    end: () => undefined,
  });
}

class RunningProgram {
  readonly #program: Program;
  readonly #streams: Streams;
  #stdin: Readable | null = null;
  #hasEnded = false;
  /** Nobody reads our stdout any more. */
  isOutputGone = false;
  /** The channel is closed and all that came is written. */
  ended: Promise<void> = Promise.resolve();

  constructor(program: Program, streams: Streams) {
    this.#program = program;
    this.#streams = streams;
  }

  /** Null: its stdin is empty. */
  start(stdin: Readable | null): void {
    const { channel, closed } = this.#program;
    const written = this.#write();
    this.#stdin = stdin;
    if (stdin === null) channel.sendEof();
    else pump(stdin, channel.out, () => channel.sendEof());
    this.ended = closed.then(async () => {
      this.#hasEnded = true;
      await written;
    });
  }

  /** Resolves when stdout and stderr have taken the last byte, or nobody reads them. */
  async #write(): Promise<void> {
    const { channel } = this.#program;
    const { stdout, stderr } = this.#streams;
    const waiting = new Set<() => void>();
    let isErrorGone = false;
    stderr.on('error', () => {
      isErrorGone = true;
      for (const consumed of waiting) consumed();
      waiting.clear();
    });
    this.#program.takeStderr((data, consumed) => {
      if (isErrorGone) {
        consumed();
        return;
      }
      waiting.add(consumed);
      stderr.write(data, () => {
        if (waiting.delete(consumed)) consumed();
      });
    });
    const outWritten = finished(stdout, { readable: false }).catch(() => {
      this.isOutputGone = true;
    });
    feed(channel, stdout, (error) => {
      if (error) discard(channel);
    });
    await outWritten;
    await new Promise<void>((resolve) => {
      if (isErrorGone) resolve();
      else stderr.write('', () => resolve());
    });
  }

  /** The connection has ended: no fault when the program had ended before. */
  async lost(failure: ClientFailure | null): Promise<void> {
    if (!this.#hasEnded) {
      throw failure ?? new ClientFailure('connection', 'the connection was closed');
    }
    await this.ended;
  }

  /** Nothing is read any more, so that this process can end. */
  leave(): void {
    this.#stdin?.destroy();
  }
}
