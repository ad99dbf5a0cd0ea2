/** Counts what this process holds open; for tests that look for leaks. */
import { readdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';

/** The descriptor that readdir itself opens is counted each time, so differences are exact. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** The same after some turns, when handles that were closed before have let go of theirs. */
export async function settledDescriptors(): Promise<number> {
  for (let count = 0; count < 10; count++) {
    await turn();
  }
  return openDescriptors();
}

/** Waits (at most `limitMs`) until `holds`; handles are closed some turns of the loop later. */
export async function eventually(holds: () => boolean, limitMs = 5_000): Promise<boolean> {
  const until = Date.now() + limitMs;
  while (!holds()) {
    if (Date.now() > until) {
      return false;
    }
    await turn();
  }
  return true;
}
