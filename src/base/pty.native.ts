/**
 * The master of a pty as a stream: uv_poll and plain read and write, because Node's own wrappers
 * block the whole loop when the slave does not read. Runs in: worker.
 */
import { Duplex } from 'node:stream';
import {
  addon,
  checked,
  errno,
  nativeError,
  openWatch,
  readable,
  writable,
  type Watch,
} from './addon.native.ts';

interface Pending {
  readonly chunks: readonly Buffer[];
  readonly done: (error?: Error | null) => void;
  chunk: number;
  offset: number;
}

/**
 * Owns `descriptor`, which becomes non-blocking. Ends when the last holder of the slave has gone
 * (EIO); destroying it hangs the slave up. Input that comes after the end is dropped, as a terminal
 * does whose line has gone.
 */
export class PtyMaster extends Duplex {
  readonly #descriptor: number;
  readonly #watch: Watch;
  #wantsBytes = false;
  #pending: Pending | undefined;
  #hasEnded = false;

  constructor(descriptor: number) {
    super({ allowHalfOpen: true, readableHighWaterMark: 64 * 1024 });
    this.#descriptor = descriptor;
    this.#watch = openWatch(descriptor, (events) => this.#ready(events));
  }

  resize(columns: number, rows: number, widthPixels: number, heightPixels: number): void {
    if (!this.destroyed) {
      checked(
        'ioctl(TIOCSWINSZ)',
        addon.ptyResize(this.#descriptor, columns, rows, widthPixels, heightPixels),
      );
    }
  }

  override _read(): void {
    this.#wantsBytes = true;
    this.#want();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Pending['done']): void {
    this.#begin([chunk], done);
  }

  override _writev(
    chunks: Array<{ chunk: Buffer; encoding: BufferEncoding }>,
    done: Pending['done'],
  ): void {
    this.#begin(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const pending = this.#pending;
    this.#pending = undefined;
    addon.pollClose(this.#watch);
    pending?.done(error ?? new Error('the terminal was closed'));
    done(error);
  }

  #begin(chunks: readonly Buffer[], done: Pending['done']): void {
    this.#pending = { chunks, done, chunk: 0, offset: 0 };
    this.#flush();
    this.#want();
  }

  #want(): void {
    if (!this.destroyed) {
      const events =
        (this.#wantsBytes && !this.#hasEnded ? readable : 0) |
        (this.#pending === undefined ? 0 : writable);
      checked('uv_poll_start', addon.pollWant(this.#watch, events));
    }
  }

  #ready(events: number): void {
    if ((events & readable) !== 0 && this.#wantsBytes && !this.#hasEnded) {
      this.#receive();
    }
    if (this.#pending !== undefined) {
      this.#flush();
    }
    this.#want();
  }

  /** One read of at most 64 KiB per turn, so that a flood leaves room for the others. */
  #receive(): void {
    const bytes = addon.ptyRead(this.#descriptor);
    if (typeof bytes !== 'number') {
      this.#wantsBytes = false;
      this.push(bytes);
    } else if (bytes === -errno.EIO) {
      this.#hasEnded = true;
      this.push(null);
    } else if (bytes !== -errno.EAGAIN) {
      this.destroy(nativeError('read of a terminal', bytes));
    }
  }

  #flush(): void {
    const pending = this.#pending;
    while (pending !== undefined && pending.chunk < pending.chunks.length) {
      const chunk = pending.chunks[pending.chunk] as Buffer;
      const result =
        pending.offset >= chunk.length
          ? 0
          : addon.descriptorWrite(this.#descriptor, chunk, pending.offset);
      if (result === -errno.EAGAIN) {
        return;
      }
      if (result < 0 && result !== -errno.EIO) {
        this.destroy(nativeError('write to a terminal', result));
        return;
      }
      pending.offset = result < 0 ? chunk.length : pending.offset + result;
      if (pending.offset >= chunk.length) {
        pending.chunk++;
        pending.offset = 0;
      }
    }
    this.#pending = undefined;
    pending?.done();
  }
}
