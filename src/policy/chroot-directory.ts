/**
 * ChrootDirectory of sshd_config(5): its row, and its tokens for one account. Whether the directory is
 * fit for it is seen at each login, by the leader. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { expandTokens, isPathSafeUser, type KeyFileAccount } from './authorized-keys-files.ts';
import { row } from './server-row.ts';
import { single } from './values.ts';
import type { Words } from './words.ts';

/** What no directory has for a name: the leader refuses it, as every path that is not absolute. */
const nowhere = 'nowhere';

function pattern(words: Words): string {
  const word = single(words);
  if (word.toLowerCase() === 'none') {
    return word;
  }
  if (!/^(?:\/|%h(?:\/|$)|~(?:\/|$))/.test(word)) {
    throw new ConfigError(`"${word}" does not begin at the root: a path from / on, or with %h`);
  }
  if (/%(?:[^%hUu]|$)/.test(word.replaceAll('%%', ''))) {
    throw new ConfigError(`"${word}" has a token other than %%, %h, %U, %u`);
  }
  return word;
}

export const chrootDirectoryRow = row({
  name: 'ChrootDirectory',
  argument: 'directory | none',
  summary:
    'What sessions have for a root; %h is the home, %u the name, %U the number of the user. It and all above it are root’s and writable by nobody else, or the login ends. Such logins have no desktops.',
  defaultText: 'none',
  field: 'chrootDirectory',
  parse: pattern,
  dump: (config) => config.chrootDirectory ?? 'none',
});

/** undefined: none is configured. */
export function chrootDirectoryFor(
  config: { readonly chrootDirectory: string | undefined },
  account: KeyFileAccount,
): string | undefined {
  if (config.chrootDirectory === undefined) {
    return undefined;
  }
  if (!isPathSafeUser(account.user)) {
    return nowhere;
  }
  const expanded = expandTokens(config.chrootDirectory.replace(/^~/, '%h'), account);
  return expanded === undefined || expanded === '' || expanded.includes('\0') ? nowhere : expanded;
}
