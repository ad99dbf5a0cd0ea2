/**
 * So many at a time, the others in order. A client may ask for thousands of channels in one go; how
 * many sockets are asked for at the same time is bounded. Runs in: worker.
 */

export class Turns {
  readonly #mostAtOnce: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #isOver = false;

  constructor(mostAtOnce: number) {
    this.#mostAtOnce = mostAtOnce;
  }

  /** `otherwise` is the result when the end has come before the turn of `task`. */
  async run<T>(task: () => Promise<T>, otherwise: T): Promise<T> {
    if (this.#running >= this.#mostAtOnce) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running++;
    }
    try {
      return this.#isOver ? otherwise : await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#running--;
      } else {
        next(); // it takes this place
      }
    }
  }

  /** Nothing is begun any more. */
  end(): void {
    this.#isOver = true;
  }
}
