/** A desktop's channel without a server: what is given and taken is counted. Runs in: test. */
import { Duplex } from 'node:stream';
import type { Subsystem } from '../../src/ssh/client/session.ts';

export class MemoryChannel extends Duplex {
  /** Bytes that came from the viewer. */
  written = 0;
  /** Bytes that were asked for, and can be given. */
  given = 0;
  /** While true, what is written stays unanswered. */
  isStuck = false;
  isClosed = false;
  /** Bytes that there are to read. */
  readonly #supply: number;
  #release: (() => void) | null = null;

  constructor(supply = 0) {
    super({ emitClose: false, readableHighWaterMark: 16 * 1024, writableHighWaterMark: 16 * 1024 });
    this.#supply = supply;
  }

  get asSubsystem(): Subsystem {
    return this as unknown as Subsystem;
  }

  override _read(size: number): void {
    const bytes = Math.min(size, this.#supply - this.given);
    if (bytes === 0) return;
    this.given += bytes;
    this.push(Buffer.alloc(bytes, 0x2e));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written += chunk.length;
    if (this.isStuck) this.#release = done;
    else done();
  }

  release(): void {
    this.isStuck = false;
    this.#release?.();
  }

  /** As the channel of a server that says how its program ended. */
  endWith(status: number | null): void {
    this.push(null);
    this.emit('close', status ?? undefined);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.emit('close');
  }
}
