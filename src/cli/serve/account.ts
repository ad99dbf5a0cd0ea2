/** An account as `-T -C user=` has to know it: no leader is there to ask. Runs in: launcher. */
import { spawnSync } from 'node:child_process';

const patienceMs = 10_000;

/** Names of groups through NSS, by id(1). */
export function accountOf(user: string): {
  readonly exists: boolean;
  readonly groups: readonly string[];
} {
  const found = spawnSync('/usr/bin/id', ['-G', '-n', '-z', '--', user], {
    encoding: 'utf8',
    timeout: patienceMs,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return found.status === 0
    ? { exists: true, groups: found.stdout.split('\0').filter((name) => name !== '') }
    : { exists: false, groups: [] };
}
