/**
 * Whether the daemon of this machine would look into a file for keys of a user at all
 * (AuthorizedKeysFile of /etc/ssh/sshd_config, with Match). Runs in: user.
 */
import { expandAuthorizedKeysFiles } from '../../policy/authorized-keys-files.ts';
import { systemSource } from '../../policy/config-source.ts';
import { defaultServerFile, loadConfig } from '../../policy/load.ts';
import { unknownSubject } from '../../policy/match.ts';
import { accountOf } from '../serve/account.ts';
import type { InvokingUser } from '../start/invoking-user.ts';

/** What to say of it; undefined: it is read, or nobody knows, since the configuration is not ours to read. */
export async function unreadBy(user: InvokingUser, file: string): Promise<string | undefined> {
  let files: readonly string[];
  try {
    const { configFor } = await loadConfig({
      file: defaultServerFile,
      commandLine: [],
      source: systemSource(),
    });
    const { groups } = accountOf(user.name);
    const config = configFor({ ...unknownSubject, user: user.name, groups });
    files = expandAuthorizedKeysFiles(config, { ...user, user: user.name });
  } catch {
    // Unreadable, wrong, or with a Match that only a connection decides: the daemon says that itself.
    return undefined;
  }
  const list = files.length === 0 ? 'none' : files.join(' ');
  return files.includes(file)
    ? undefined
    : `AuthorizedKeysFile of ${defaultServerFile} names ${list} for ${user.name}, and not ${file}`;
}
