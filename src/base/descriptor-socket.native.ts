/**
 * A Node socket over a descriptor of ours that is also written to and read past Node's streams: one
 * system call, no request object, no buffer of its own. Runs in: worker.
 */
import { Socket } from 'node:net';
import { addon } from './addon.native.ts';

/** Owns `descriptor`, which is connected and non-blocking. */
export class DescriptorSocket extends Socket {
  readonly #descriptor: number;
  #take: ((chunk: Buffer) => void) | undefined;

  /**
   * `lentBuffer`: what is read goes there and to `readLent`, not to 'data'. All sockets of a process
   * may share one: a chunk is used up before the next read, whoever reads.
   */
  constructor(descriptor: number, direction: 'write' | 'both', lentBuffer?: Buffer) {
    super({
      fd: descriptor,
      readable: direction === 'both',
      writable: true,
      allowHalfOpen: true,
      ...(lentBuffer === undefined
        ? {}
        : {
            onread: {
              buffer: lentBuffer,
              callback: (byteCount: number) => {
                this.#take?.(lentBuffer.subarray(0, byteCount));
                return !this.isPaused();
              },
            },
          }),
    });
    this.#descriptor = descriptor;
  }

  /** Once, in the turn in which the socket was made: later, bytes have been lost. */
  readLent(take: (chunk: Buffer) => void): void {
    this.#take = take;
  }

  /** Bytes of `chunk` that were taken, 0 while anything waits; a failure is `write`'s to find. */
  writeNow(chunk: Buffer): number {
    if (this.destroyed || this.writableEnded || this.writableLength > 0) {
      return 0;
    }
    return Math.max(0, addon.descriptorWrite(this.#descriptor, chunk, 0));
  }
}
