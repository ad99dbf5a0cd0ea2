/**
 * When a refused secret is answered. An answer that leaves as soon as it is known tells by its time
 * whether the account exists; so a refusal leaves at the next step of a ladder whose first step is
 * longer than any password hash takes, and whose third holds PAM's two seconds with their jitter of
 * a quarter. Keys have ladders of their own: files are read, and AuthorizedKeysCommand is run, for
 * accounts that exist. Runs in: monitor.
 */
const firstStepMs = 650;
const lastStepMs = firstStepMs * 2 ** 6;

/** Milliseconds after the attempt's start at which its refusal leaves. */
export function refusalLeavesAtMs(elapsedMs: number, pamDelayMs: number): number {
  const wantedMs = Math.max(elapsedMs, pamDelayMs);
  let stepMs = firstStepMs;
  while (stepMs < wantedMs && stepMs < lastStepMs) {
    stepMs *= 2;
  }
  return Math.max(stepMs, wantedMs);
}

/** A key that only files were asked about: reading them takes 1 ms, on a busy machine several. */
export const firstFileStepMs = 8;
export const firstCommandStepMs = 100;

/**
 * A refusal of a key leaves at a step of a ladder, and one for a name that nobody has at the step of
 * the last one that was real.
 */
export class RefusalPace {
  readonly #firstStepMs: number;
  #stepMs: number;

  constructor(firstStepMs: number) {
    this.#firstStepMs = firstStepMs;
    this.#stepMs = firstStepMs;
  }

  /** Milliseconds after the attempt's start at which the refusal of an account leaves. */
  leavesAtMs(elapsedMs: number): number {
    let stepMs = this.#firstStepMs;
    while (stepMs < elapsedMs) {
      stepMs *= 2;
    }
    this.#stepMs = stepMs;
    return stepMs;
  }
  /** The same for a name without one. */
  get usualMs(): number {
    return this.#stepMs;
  }
}
