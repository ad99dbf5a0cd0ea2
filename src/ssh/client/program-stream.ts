/**
 * A program's channel as Node streams, for code that is not bulk: a Duplex, its stderr as a Readable,
 * and `'close'` with the exit status (null: none came) behind the last byte. Runs in: user.
 */
import { Duplex, Readable } from 'node:stream';
import type { Program, ProgramEnd } from './program.ts';

const highWaterMarkBytes = 256 * 1024;

export class ProgramStream extends Duplex {
  readonly stderr: Readable;
  readonly #program: Program;
  #end: ProgramEnd | null = null;
  #isReadToEnd = false;
  #hasClosed = false;

  constructor(program: Program) {
    super({ highWaterMark: highWaterMarkBytes, allowHalfOpen: true, emitClose: false });
    this.#program = program;
    const stderr = new StderrStream();
    this.stderr = stderr;
    const { channel } = program;
    program.takeStderr((data, consumed) => stderr.receive(data, consumed));
    channel.receive({
      write: (data) => this.push(data),
      end: () => {
        this.push(null);
        stderr.push(null);
        this.#isReadToEnd = this.readableEnded;
        this.#leave();
      },
    });
    this.once('end', () => {
      this.#isReadToEnd = true;
      this.#leave();
    });
    void program.closed.then((end) => {
      this.#end = end;
      this.#leave();
    });
  }

  /** EOF and CLOSE behind what was written. */
  close(): void {
    this.#program.channel.close();
  }

  #leave(): void {
    if (this.#end === null || !(this.#isReadToEnd || this.destroyed) || this.#hasClosed) return;
    this.#hasClosed = true;
    const status = this.#end.is === 'status' ? this.#end.status : null;
    this.destroy();
    this.emit('close', status);
  }

  override _read(): void {
    this.#program.channel.sinkReady();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const { out } = this.#program.channel;
    if (out.write(chunk)) {
      done();
      return;
    }
    out.onDrain = () => {
      out.onDrain = () => undefined;
      done();
    };
  }

  override _final(done: () => void): void {
    this.#program.channel.sendEof();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#program.channel.discardInput();
    this.#program.channel.close();
    done(error);
    this.#leave();
  }
}

/** Gives bytes back to the channel's window as they are read. */
class StderrStream extends Readable {
  #owed: (() => void)[] = [];

  receive(data: Buffer, consumed: () => void): void {
    if (this.destroyed || this.push(data)) consumed();
    else this.#owed.push(consumed);
  }

  override _read(): void {
    for (const consumed of this.#owed.splice(0)) consumed();
  }
}
