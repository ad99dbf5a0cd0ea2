/**
 * Looks a public key up in the user's AuthorizedKeysFile, which the leader reads as the user with
 * StrictModes (sshd_config(5)). Runs in: monitor.
 */
import type { KeyMatch, KeyOptions } from '../../keys/authorized-keys.ts';
import type { Authentication } from './authentication.ts';
import { expandAuthorizedKeysFiles } from '../policy/authorized-keys-files.ts';

/** sshd has no limit; a key file beyond this is somebody's mistake or attack. */
const maxKeyFileBytes = 1024 * 1024;

export interface FoundKey {
  readonly file: string;
  readonly line: number;
  readonly options: KeyOptions;
}

/** Takes the descriptor over. */
export type ReadMemfd = (descriptor: number, maxBytes: number) => Buffer;

/** The first file in which `match` finds the key. */
export async function findAuthorizedKey(
  authentication: Authentication,
  readMemfd: ReadMemfd,
  match: (content: Buffer) => KeyMatch,
): Promise<FoundKey | undefined> {
  const { account, host } = authentication;
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
    const found = match(readMemfd(read.descriptor, maxKeyFileBytes));
    for (const { level, line, text, isPlaced } of found.refusals) {
      log.at(level, isPlaced ? `${file}:${line}: ${text}` : text);
    }
    if (found.is === 'match') {
      return { file, line: found.line, options: found.options };
    }
  }
  return undefined;
}
