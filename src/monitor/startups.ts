/**
 * MaxStartups `start:rate:full` (sshd_config(5)): random early drop of unauthenticated connections.
 * Runs in: monitor.
 */
export interface StartupLimits {
  readonly start: number;
  readonly ratePercent: number;
  readonly full: number;
}

export class Startups {
  /** May be changed; who is in stays in. */
  limits: StartupLimits;
  readonly #random: () => number;
  #unauthenticated = 0;

  constructor(limits: StartupLimits, random: () => number) {
    this.limits = limits;
    this.#random = random;
  }

  get unauthenticated(): number {
    return this.#unauthenticated;
  }

  /** Whether this one is dropped: from `start` on the chance rises linearly from rate to 100 % at `full`. */
  drops(): boolean {
    const { start, ratePercent, full } = this.limits;
    if (this.#unauthenticated < start) {
      return false;
    }
    if (this.#unauthenticated >= full || ratePercent >= 100) {
      return true;
    }
    const percent =
      ratePercent + ((100 - ratePercent) * (this.#unauthenticated - start)) / (full - start);
    return this.#random() * 100 < percent;
  }

  /** `leave` must be called once, at authentication or its end. */
  enter(): void {
    this.#unauthenticated++;
  }

  leave(): void {
    this.#unauthenticated--;
  }
}
