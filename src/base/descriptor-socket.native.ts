/**
 * A Node socket over a descriptor of ours that is also written to and read past Node's streams: one
 * system call, no request object, no buffer of its own. Runs in: worker.
 */
import { Socket } from 'node:net';
import { addon } from './addon.native.ts';

/** Owns `descriptor`, which is connected and non-blocking. */
export class DescriptorSocket extends Socket {
  readonly #descriptor: number;
  readonly #isLending: boolean;
  #take: ((chunk: Buffer) => void) | undefined;

  /**
   * `lentBuffer`: nothing is read before `start`, and what is read goes there, not to 'data'. All
   * sockets of a process may share one: a chunk is used up before the next read, whoever reads.
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
    this.#isLending = lentBuffer !== undefined;
    if (this.#isLending) {
      this.pause();
    }
  }

  /** A `LendingSource`: `take` has a chunk for the time of the call; `end` comes once. */
  start(take: (chunk: Buffer) => void, end: (error?: Error) => void): void {
    this.#take = take;
    let isEnded = false;
    const endOnce = (error?: Error): void => {
      if (!isEnded) {
        isEnded = true;
        end(error);
      }
    };
    if (!this.#isLending) {
      this.on('data', take);
    }
    this.on('end', () => endOnce());
    this.on('error', endOnce);
    this.on('close', () => endOnce());
    this.resume();
  }

  /** Bytes of `chunk` that were taken, 0 while anything waits; a failure is `write`'s to find. */
  writeNow(chunk: Buffer): number {
    if (this.destroyed || this.writableEnded || this.writableLength > 0) {
      return 0;
    }
    return Math.max(0, addon.descriptorWrite(this.#descriptor, chunk, 0));
  }
}
