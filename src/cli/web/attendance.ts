/**
 * Whether anybody still looks: the page must be opened within a time, and when it is closed it may
 * come back within a shorter one, as a reload does. Runs in: user.
 */

export interface Patience {
  readonly firstMs: number;
  readonly returnMs: number;
}

export type Absence = 'never-came' | 'left';

export class Attendance {
  readonly #patience: Patience;
  readonly #end: (how: Absence) => void;
  readonly over: Promise<Absence>;
  #present = 0;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(patience: Patience) {
    this.#patience = patience;
    const { promise, resolve } = Promise.withResolvers<Absence>();
    this.over = promise;
    this.#end = resolve;
    this.#timer = setTimeout(() => this.#end('never-came'), patience.firstMs);
  }

  arrive(): void {
    this.#present += 1;
    clearTimeout(this.#timer);
  }

  leave(): void {
    this.#present -= 1;
    if (this.#present > 0 || this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end('left'), this.#patience.returnMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }
}
