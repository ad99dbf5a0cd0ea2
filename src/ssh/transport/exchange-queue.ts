/**
 * What waits for the end of a key exchange: payloads in order, and the start of compression in its
 * place among them. Bounded. Runs in: worker.
 */
import { limits } from './limits.ts';

/** Queued instead of a payload: compression starts behind SUCCESS, not in front of it. */
export const startCompression = Symbol('start compression');
export type Queued = Buffer | typeof startCompression;

export class ExchangeQueue {
  #entries: Queued[] = [];
  #bytes = 0;

  /** With what the entries themselves cost. */
  get bytes(): number {
    return this.#bytes;
  }

  /** False: it is full, the payload was not taken. */
  push(entry: Queued): boolean {
    this.#bytes += entry === startCompression ? 0 : entry.length + limits.queuedEntryBytes;
    if (this.#bytes > limits.queuedBytes) {
      return false;
    }
    this.#entries.push(entry);
    return true;
  }

  /** Everything, in order; the queue is empty afterwards. */
  take(): readonly Queued[] {
    const entries = this.#entries;
    this.clear();
    return entries;
  }

  clear(): void {
    this.#entries = [];
    this.#bytes = 0;
  }
}
