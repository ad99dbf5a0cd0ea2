/** How many descriptors a worker can have: Node raises the soft limit to the hard one. Runs in: monitor. */
import { readFileSync } from 'node:fs';

const usualHardLimit = 4096;

export function hardFileLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(limits) ?? [];
  if (hard === 'unlimited') {
    return Number.MAX_SAFE_INTEGER;
  }
  const limit = Number(hard);
  return Number.isInteger(limit) && limit > 0 ? limit : usualHardLimit;
}
