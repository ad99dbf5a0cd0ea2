/**
 * The penalties of one address family, at most so many: who is penalised and until when, in the order
 * in which they end. A penalty that grows keeps its place in that order until it comes up. Pure.
 * Runs in: monitor.
 */
export interface Penalty {
  readonly block: string;
  endsMs: number;
  /** Beyond the least that counts. */
  isActive: boolean;
  /** What it was for, in sshd's words. */
  reason: string;
}

interface Queued extends Penalty {
  /** The place in the order; `endsMs` may be later. */
  queuedMs: number;
}

export class PenaltyTable {
  readonly #byBlock = new Map<string, Queued>();
  /** A binary heap by `queuedMs`. */
  readonly #queue: Queued[] = [];

  get size(): number {
    return this.#byBlock.size;
  }

  find(block: string): Penalty | undefined {
    return this.#byBlock.get(block);
  }

  /** A block that is not there yet. */
  insert(penalty: Penalty): void {
    const queued: Queued = { ...penalty, queuedMs: penalty.endsMs };
    this.#byBlock.set(penalty.block, queued);
    this.#queue.push(queued);
    this.#rise(this.#queue.length - 1);
  }

  /** Forgets what has ended. */
  expire(nowMs: number): void {
    for (let first = this.#first(); first !== undefined; first = this.#first()) {
      if (first.endsMs >= nowMs) {
        return;
      }
      this.#removeFirst();
    }
  }

  /** Forgets the one that would end first. */
  dropFirst(): void {
    if (this.#first() !== undefined) {
      this.#removeFirst();
    }
  }

  /** The one that ends first, in its right place. */
  #first(): Queued | undefined {
    for (;;) {
      const first = this.#queue[0];
      if (first === undefined || first.queuedMs === first.endsMs) {
        return first;
      }
      first.queuedMs = first.endsMs;
      this.#sink(0);
    }
  }

  #removeFirst(): void {
    const last = this.#queue.pop() as Queued;
    const first = this.#queue[0] ?? last;
    if (this.#queue.length > 0) {
      this.#queue[0] = last;
      this.#sink(0);
    }
    this.#byBlock.delete(first.block);
  }

  #swap(a: number, b: number): void {
    const kept = this.#queue[a] as Queued;
    this.#queue[a] = this.#queue[b] as Queued;
    this.#queue[b] = kept;
  }

  #isBefore(a: number, b: number): boolean {
    return (this.#queue[a] as Queued).queuedMs < (this.#queue[b] as Queued).queuedMs;
  }

  #rise(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) {
        return;
      }
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(from: number): void {
    let at = from;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#queue.length && this.#isBefore(child, least)) {
          least = child;
        }
      }
      if (least === at) {
        return;
      }
      this.#swap(at, least);
      at = least;
    }
  }
}
