/**
 * Accounts as they have to be known before any leader is there to ask: of `-T -C user=`, of workers, of
 * modules of tokens. Runs in: monitor, launcher.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { ConfigError } from '../../base/errors.ts';

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

export interface AccountIds {
  readonly uid: number;
  readonly gid: number;
}

/** NSS by way of getent: the account may come from a directory. Throws ConfigError. */
export function idsOf(name: string, missing: string): AccountIds {
  let fields: readonly string[];
  try {
    const printed = execFileSync('getent', ['passwd', '--', name], {
      encoding: 'utf8',
      timeout: patienceMs,
    });
    fields = printed.split(':');
  } catch (error) {
    throw new ConfigError(missing, { cause: error });
  }
  const [uid, gid] = [Number(fields[2]), Number(fields[3])];
  if (!(Number.isInteger(uid) && Number.isInteger(gid) && fields.length > 3)) {
    throw new ConfigError(`the account ${name} has uid ${fields[2]} and gid ${fields[3]}`);
  }
  return { uid, gid };
}

export function workerAccount(): AccountIds {
  const ids = idsOf(
    'sshdesk',
    'the system user sshdesk does not exist, workers would have nobody to run as; run ./setup',
  );
  // 0 would mean to the zygote that the ids are not to be changed.
  if (ids.uid === 0 || ids.gid === 0) {
    throw new ConfigError(`the system user sshdesk has uid ${ids.uid} and gid ${ids.gid}`);
  }
  return ids;
}
