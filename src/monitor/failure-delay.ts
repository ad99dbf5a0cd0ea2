/**
 * When a refused secret is answered. An answer that leaves as soon as it is known tells by its time
 * whether the account exists; so a refusal leaves at the next step of a ladder whose first step is
 * longer than any password hash takes, and whose third holds PAM's two seconds with their jitter of
 * a quarter. Public keys are not delayed, since the same files are looked for for everybody, unless
 * AuthorizedKeysCommand is asked: it is run for accounts that exist, and takes its time.
 * Runs in: monitor.
 */
import type { AuthenticationHost } from './authentication-host.ts';

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

/** Until that time has come. */
export async function waitAsRefused(
  { nowMs, sleepMs }: Pick<AuthenticationHost, 'nowMs' | 'sleepMs'>,
  startedMs: number,
  pamDelayUs: number,
): Promise<void> {
  const elapsedMs = nowMs() - startedMs;
  await sleepMs(refusalLeavesAtMs(elapsedMs, pamDelayUs / 1000) - elapsedMs);
}

const firstCommandStepMs = 100;

/**
 * A refusal by AuthorizedKeysCommand leaves at a step of a ladder, and one for a name that nobody has
 * at the step of the last one that was real.
 */
export class CommandPace {
  #stepMs = firstCommandStepMs;

  /** Milliseconds after the attempt's start at which the refusal of an account leaves. */
  leavesAtMs(elapsedMs: number): number {
    let stepMs = firstCommandStepMs;
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
