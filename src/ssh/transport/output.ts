/**
 * Packets on their way to the socket: those of one turn of the loop leave as one writev. Runs in:
 * worker.
 */
import type { Writable } from 'node:stream';
import { limits } from './limits.ts';

export class Output {
  readonly #stream: Writable;
  readonly #onFlushed: () => void;
  #corked: Buffer[] = [];
  #corkedBytes = 0;

  /** `onFlushed` is called each time the socket has taken what it was given. */
  constructor(stream: Writable, onFlushed: () => void) {
    this.#stream = stream;
    this.#onFlushed = onFlushed;
  }

  /** Bytes that the kernel does not have yet. */
  get pendingBytes(): number {
    return this.#corkedBytes + this.#stream.writableLength;
  }

  /** Held until `flush`. */
  push(packet: Buffer): void {
    this.#corked.push(packet);
    this.#corkedBytes += packet.length;
    if (this.#corkedBytes >= limits.corkedBytes) {
      this.flush();
    }
  }

  flush(): void {
    const packets = this.#corked;
    if (packets.length === 0) {
      return;
    }
    this.#corked = [];
    this.#corkedBytes = 0;
    if (!this.#stream.writable) {
      return;
    }
    const last = packets.length - 1;
    this.#stream.cork();
    for (let i = 0; i < last; i++) {
      this.#stream.write(packets[i]);
    }
    // The error of a failed write arrives as the stream's 'error'.
    this.#stream.write(packets[last], () => this.#onFlushed());
    this.#stream.uncork();
  }
}
