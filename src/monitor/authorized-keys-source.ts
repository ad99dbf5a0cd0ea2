/**
 * Looks a public key up in the user's AuthorizedKeysFile, which the leader reads as the user with
 * StrictModes, and then in what AuthorizedKeysCommand prints (sshd_config(5)). Runs in: monitor.
 */
import type { KeyMatch, KeyOptions } from '../../keys/authorized-keys.ts';
import { claimedName, fingerprint } from '../../keys/public-key.ts';
import { expandAuthorizedKeysFiles } from '../policy/authorized-keys-files.ts';
import type { Candidate } from './candidate.ts';
import type { OfferedKey } from './offered-key.ts';
import { runPolicyCommand } from './policy-command.ts';
import { refusedFileLine } from './refused-file.ts';

/** sshd has no limit; a key file beyond this is somebody's mistake or attack. */
const maxKeyFileBytes = 1024 * 1024;

export interface FoundKey {
  readonly file: string;
  readonly line: number;
  readonly options: KeyOptions;
}

/** Takes the descriptor over. */
export type ReadMemfd = (descriptor: number, maxBytes: number) => Buffer;

interface Source {
  readonly file: string;
  /** undefined: it is there and is not read (StrictModes), which has been told. */
  readonly content: Buffer | undefined;
}

/** Where keys are looked up; the next is only asked for when those before had nothing. */
export type KeySources = (
  candidate: Candidate,
  offered: OfferedKey,
  readMemfd: ReadMemfd,
) => AsyncGenerator<Source>;

/** AuthorizedKeysFile, in its order. */
export async function* keyFilesOf(
  candidate: Candidate,
  _offered: OfferedKey,
  readMemfd: ReadMemfd,
): AsyncGenerator<Source> {
  const { account, host, leader } = candidate;
  const { config, log } = host;
  for (const file of expandAuthorizedKeysFiles(config, account)) {
    const read = await leader.readFile(file, config.strictModes, maxKeyFileBytes);
    if (read.is === 'absent') {
      log.debug(`Could not open authorized keys '${file}'`);
    } else if (read.is === 'refused') {
      log.info(refusedFileLine(account.user, 'authorized keys', read.reason));
      yield { file, content: undefined };
    } else {
      yield { file, content: readMemfd(read.descriptor, maxKeyFileBytes) };
    }
  }
}

/** AuthorizedKeysCommand. */
export async function* keyCommandOf(
  candidate: Candidate,
  { key, blob }: OfferedKey,
  readMemfd: ReadMemfd,
): AsyncGenerator<Source> {
  const { account, host } = candidate;
  const { config, log } = host;
  const { authorizedKeysCommand: command, authorizedKeysCommandUser: user } = config;
  if (command === undefined) {
    return;
  }
  if (user === undefined) {
    // A Match block may name one without the other.
    log.error('No user for AuthorizedKeysCommand specified, skipping');
    return;
  }
  const content = await runPolicyCommand(
    candidate,
    {
      name: 'AuthorizedKeysCommand',
      command,
      user,
      otherwise: [account.user],
      tokens: {
        f: fingerprint(key.blob, config.fingerprintHash),
        k: blob.toString('base64'),
        t: claimedName(blob) ?? '',
      },
    },
    maxKeyFileBytes,
    readMemfd,
  );
  if (content !== undefined) {
    yield { file: command, content };
  }
}

/**
 * The first of the sources in which `match` finds the key. `denied`: its lines refuse it here, or may,
 * in a file that is not read.
 */
export async function findAuthorizedKey(
  sources: KeySources,
  candidate: Candidate,
  offered: OfferedKey,
  readMemfd: ReadMemfd,
  match: (content: Buffer) => KeyMatch,
): Promise<FoundKey | 'denied' | undefined> {
  const { log } = candidate.host;
  let isDenied = false;
  for await (const { file, content } of sources(candidate, offered, readMemfd)) {
    if (content === undefined) {
      isDenied = true;
      continue;
    }
    const found = match(content);
    for (const { level, line, text, isPlaced } of found.refusals) {
      log.at(level, isPlaced ? `${file}:${line}: ${text}` : text);
    }
    if (found.is === 'match') {
      return { file, line: found.line, options: found.options };
    }
    isDenied ||= found.refusals.length > 0;
  }
  return isDenied ? 'denied' : undefined;
}
