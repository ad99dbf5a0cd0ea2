/**
 * Looks a public key up in the user's AuthorizedKeysFile, which the leader reads as the user with
 * StrictModes (sshd_config(5)). Runs in: monitor.
 */
import { type KeyOptions, matchKey } from '../../keys/authorized-keys.ts';
import type { Authentication } from './authentication.ts';
import { expandAuthorizedKeysFiles } from '../policy/authorized-keys-files.ts';

/** sshd has no limit; a key file beyond this is somebody's mistake or attack. */
const maxKeyFileBytes = 1024 * 1024;

export interface FoundKey {
  readonly file: string;
  readonly line: number;
  readonly options: KeyOptions;
}

/** `readMemfd` takes the descriptor over. */
export async function findAuthorizedKey(
  authentication: Authentication,
  blob: Buffer,
  readMemfd: (descriptor: number, maxBytes: number) => Buffer,
): Promise<FoundKey | undefined> {
  const { account, connection, host } = authentication;
  const { config, log } = host;
  for (const file of expandAuthorizedKeysFiles(config, account)) {
    const read = await authentication.leader.readFile(file, config.strictModes, maxKeyFileBytes);
    if (read.is === 'absent') {
      log.debug(`Could not open authorized keys '${file}'`);
      continue;
    }
    if (read.is === 'refused') {
      log.info(`Authentication refused: ${read.reason}`);
      continue;
    }
    const text = readMemfd(read.descriptor, maxKeyFileBytes);
    const found = matchKey(text, blob, {
      nowMs: Date.now(),
      user: account.user,
      remoteAddress: connection.endpoints.remoteAddress,
      remoteHost: connection.endpoints.remoteAddress,
    });
    for (const refusal of found.refusals) {
      log.at(refusal.level, `${file}:${refusal.line}: ${refusal.text}`);
    }
    if (found.is === 'match') {
      return { file, line: found.line, options: found.options };
    }
  }
  return undefined;
}
