/**
 * How often a host key signs for one connection. A worker that was taken over, or a client with
 * nothing else to do, is slowed down to a pace that no transfer with a sane RekeyLimit reaches; the
 * connection goes on. Runs in: monitor.
 */

/** sshd's clients need one; a person who thinks over a password may see some by time. */
const maxBeforeLogin = 32;
const burst = 100;
const perSecond = 50;

export class ExchangePace {
  #left = burst;
  #filledMs: number | undefined;
  #beforeLogin = 0;

  /** How long the next exchange has to wait, in ms. Undefined: there is to be none. */
  take(nowMs: number, isLoggedIn: boolean): number | undefined {
    if (!isLoggedIn && ++this.#beforeLogin > maxBeforeLogin) {
      return undefined;
    }
    const passedMs = nowMs - (this.#filledMs ?? nowMs);
    this.#filledMs = nowMs;
    this.#left = Math.min(burst, this.#left + (passedMs / 1000) * perSecond) - 1;
    return this.#left >= 0 ? 0 : (-this.#left / perSecond) * 1000;
  }
}
