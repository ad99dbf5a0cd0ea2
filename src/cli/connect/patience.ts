/**
 * How long something of the server may take; a person who is asked in between has all the time that
 * the server gives. Runs in: user.
 */
import { ClientFailure } from '../../ssh/client/failure.ts';

export class Patience {
  readonly #ms: number;
  readonly #what: string;
  readonly #late = Promise.withResolvers<never>();
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number, what: string) {
    this.#ms = ms;
    this.#what = what;
    // Heard by who waits, if anybody does.
    this.#late.promise.catch(() => undefined);
  }

  /** From now on, all of it. */
  begin(): void {
    this.pause();
    this.#timer = setTimeout(() => {
      const text = `${this.#what} does not come within ${this.#ms / 1000} s`;
      this.#late.reject(new ClientFailure('desktop', text));
    }, this.#ms);
  }

  pause(): void {
    clearTimeout(this.#timer);
  }

  /** The value, or a failure that names what did not come in time. */
  async with<Value>(promise: Promise<Value>): Promise<Value> {
    this.begin();
    try {
      return await Promise.race([promise, this.#late.promise]);
    } finally {
      this.pause();
    }
  }
}

export function within<Value>(ms: number, promise: Promise<Value>, what: string): Promise<Value> {
  return new Patience(ms, what).with(promise);
}
