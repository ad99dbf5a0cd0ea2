/**
 * A channel that is this process's own standard streams, as sshd(8) hands them to a subsystem: pipes
 * or sockets, and for who tries it by hand a file. Runs in: user.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { flushAfterCloseMs } from '../../base/limits.ts';
import type { PumpOutlet } from '../../ssh/connection/pump.ts';
import type { Sink } from '../../ssh/connection/channel-input.ts';
import type { DisplayChannel } from '../../../subsystems/display/viewer-channel.ts';

/** sshd's status for a command that could not be carried out. */
const unused = 255;

/** Node's own stdout blocks the whole process on a pipe whose reader is slow: not these. */
function inputOf(descriptor: number): Readable {
  try {
    return new Socket({ fd: descriptor, readable: true, writable: false });
  } catch {
    // Neither pipe nor socket: a file, or /dev/null.
    return createReadStream('', { fd: descriptor, autoClose: false });
  }
}

function outputOf(descriptor: number): Writable {
  try {
    return new Socket({ fd: descriptor, readable: false, writable: true });
  } catch {
    return createWriteStream('', { fd: descriptor, autoClose: false });
  }
}

/** stdin or stdout is a terminal: nothing of a desktop could be read there. */
export function isOnTerminal(): boolean {
  return isatty(0) || isatty(1);
}

class StreamOutlet implements PumpOutlet {
  readonly #stream: Writable;
  readonly #onWrite: (chunk: Buffer) => void;
  onDrain: () => void = () => {};
  onUnwanted: () => void = () => {};

  constructor(stream: Writable, onWrite: (chunk: Buffer) => void = () => {}) {
    this.#stream = stream;
    this.#onWrite = onWrite;
    stream.on('drain', () => this.onDrain());
  }

  write(chunk: Buffer): boolean {
    this.#onWrite(chunk);
    return this.#stream.destroyed || this.#stream.writableEnded || this.#stream.write(chunk);
  }

  writeLent(chunk: Buffer): boolean {
    return this.write(Buffer.from(chunk));
  }
}

export class StandardChannel implements DisplayChannel {
  readonly out: StreamOutlet;
  readonly err: StreamOutlet;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #errors: Writable;
  readonly #closeListeners: (() => void)[] = [];
  readonly #done = Promise.withResolvers<number>();
  #sink: Sink | undefined;
  #status = unused;
  #isSinkEnded = false;
  #isInputOver = false;
  #isBusy = true;
  #isDiscarding = false;
  #isClosed = false;

  /** `onReason`: what the user is told on stderr; sshd throws away what a subsystem says there. */
  constructor(onReason: (line: string) => void) {
    this.#input = inputOf(0);
    this.#output = outputOf(1);
    this.#errors = outputOf(2);
    this.out = new StreamOutlet(this.#output);
    this.err = new StreamOutlet(this.#errors, (chunk) => {
      for (const line of chunk.toString('utf8').trimEnd().split(/\r?\n/)) {
        onReason(line);
      }
    });
    this.#input.on('data', (chunk: Buffer) => this.#deliver(chunk));
    this.#input.on('end', () => this.#endInput());
    // A stream that breaks is a client that has gone.
    this.#input.on('error', () => this.#endInput());
    this.#input.pause();
    this.#output.on('error', () => this.#gone());
    this.#errors.on('error', () => {
      // Who reads no reasons gets none.
    });
  }

  /** The exit status, once everything has been written or nobody reads it any more. */
  get done(): Promise<number> {
    return this.#done.promise;
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }

  onClose(listener: () => void): void {
    if (this.#isClosed) {
      listener();
    } else {
      this.#closeListeners.push(listener);
    }
  }

  /** One consumer takes over from the other, and may say at once that it has enough. */
  receive(sink: Sink, unread?: Buffer): void {
    this.#sink = sink;
    this.#isBusy = unread !== undefined && unread.length > 0 && !sink.write(unread);
    this.#settle();
  }

  sinkReady(): void {
    this.#isBusy = false;
    this.#settle();
  }

  discardInput(): void {
    this.#isDiscarding = true;
    this.#isBusy = false;
    this.#settle();
  }

  #deliver(chunk: Buffer): void {
    if (!this.#isDiscarding && this.#sink?.write(chunk) === false) {
      this.#isBusy = true;
      this.#input.pause();
    }
  }

  #endInput(): void {
    this.#isInputOver = true;
    this.#settle();
  }

  #settle(): void {
    if (this.#isBusy) {
      this.#input.pause();
    } else if (!this.#isInputOver) {
      this.#input.resume();
    } else if (!this.#isSinkEnded && !this.#isDiscarding && this.#sink !== undefined) {
      this.#isSinkEnded = true;
      this.#sink.end();
    }
  }

  /** Its end is the end of the process: sshd closes the channel then, and only then. */
  sendEof(): void {}

  sendExitStatus(status: number): void {
    this.#status = status;
  }

  close(): void {
    if (this.#isClosed) {
      return;
    }
    this.#over();
    let open = 2;
    const flushed = (): void => {
      open--;
      if (open === 0) {
        this.#done.resolve(this.#status);
      }
    };
    for (const stream of [this.#output, this.#errors]) {
      if (stream.destroyed) {
        flushed();
      } else {
        stream.end(flushed);
      }
    }
    setTimeout(() => this.#done.resolve(this.#status), flushAfterCloseMs).unref();
  }

  #gone(): void {
    if (!this.#isClosed) {
      this.#status = this.#status === unused ? 0 : this.#status;
      this.#over();
      this.#done.resolve(this.#status);
    }
  }

  #over(): void {
    this.#isClosed = true;
    this.#input.destroy();
    for (const listener of this.#closeListeners.splice(0)) {
      listener();
    }
  }
}
