/**
 * When a refused secret is answered. An answer that leaves as soon as it is known tells by its time
 * whether the account exists; so a refusal leaves at the next step of a ladder whose first step is
 * longer than any password hash takes, and whose third holds PAM's two seconds with their jitter of
 * a quarter. Public keys are not delayed: their refusals cost the same for everybody. Pure.
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
