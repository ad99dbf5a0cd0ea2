/**
 * The keywords of sshd_config(5) about who may log in and how, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import { isValidAddressList } from '../../keys/pattern.ts';
import { ConfigError } from '../base/errors.ts';
import type { RootLogin } from './config.ts';
import type { ServerDraft } from './server-draft.ts';
import { concatAll, concatBounded, flag, maxListItems, row } from './server-row.ts';
import { absolutePath, integer, oneOf, type Place, several, single, userFile } from './values.ts';
import type { Words } from './words.ts';

function userPatterns(words: Words): readonly string[] {
  for (const pattern of words.words) {
    const at = pattern.lastIndexOf('@');
    if (pattern === '' || (at >= 0 && !isValidAddressList(pattern.slice(at + 1)))) {
      throw new ConfigError(`invalid ${words.keyword} pattern: "${pattern}"`);
    }
  }
  return several(words);
}

/** Tokens are checked at the start, not at the first login. */
function keyFiles(words: Words, place: Place): readonly string[] {
  const list = several(words).map((word) => userFile(word, place));
  return list.length === 1 && list[0]?.toLowerCase() === 'none' ? [] : list;
}

function serviceName(words: Words): string {
  const name = single(words);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name)) {
    throw new ConfigError(`"${name}" is not the name of a PAM service`);
  }
  return name;
}

export const usePamRow = flag(
  'UsePAM',
  'usePam',
  'no',
  'PAM decides about passwords, accounts and sessions.',
);

export const pamServiceNameRow = row({
  name: 'PAMServiceName',
  argument: 'name',
  summary: 'The service file in /etc/pam.d. Not printed by `-T` unless it was changed.',
  defaultText: 'sshd',
  field: 'pamServiceName',
  parse: serviceName,
  dump: (config) => (config.pamServiceName === 'sshd' ? [] : config.pamServiceName),
});

export const maxAuthTriesRow = row({
  name: 'MaxAuthTries',
  argument: 'number',
  summary: 'Failed attempts after which the connection is ended.',
  defaultText: '6',
  field: 'maxAuthTries',
  parse: integer(0),
  dump: (config) => String(config.maxAuthTries),
});

export const permitRootLoginRow = row({
  name: 'PermitRootLogin',
  argument: 'yes | prohibit-password | forced-commands-only | no',
  summary:
    'How root may log in. prohibit-password: by key only; forced-commands-only: with a key that has command=.',
  defaultText: 'prohibit-password',
  field: 'permitRootLogin',
  parse: oneOf<RootLogin>({
    'without-password': 'prohibit-password',
    'prohibit-password': 'prohibit-password',
    'forced-commands-only': 'forced-commands-only',
    yes: 'yes',
    no: 'no',
  }),
  dump: (config) =>
    config.permitRootLogin === 'prohibit-password' ? 'without-password' : config.permitRootLogin,
});

export const pubkeyAuthenticationRow = flag(
  'PubkeyAuthentication',
  'pubkeyAuthentication',
  'yes',
  'Offers the method publickey.',
  ['DSAAuthentication'],
);

export const passwordAuthenticationRow = flag(
  'PasswordAuthentication',
  'passwordAuthentication',
  'yes',
  'Offers the method password.',
);

export const kbdInteractiveAuthenticationRow = flag(
  'KbdInteractiveAuthentication',
  'kbdInteractiveAuthentication',
  'yes',
  'Offers the method keyboard-interactive (with UsePAM).',
  ['ChallengeResponseAuthentication', 'SkeyAuthentication'],
);

export const permitEmptyPasswordsRow = flag(
  'PermitEmptyPasswords',
  'permitEmptyPasswords',
  'no',
  'An account whose password is empty can be logged in to, by `none` too.',
);

export const strictModesRow = flag(
  'StrictModes',
  'strictModes',
  'yes',
  'Key files count only when nobody but their owner and root can write them or a directory above.',
);

export const authorizedKeysFileRow = row({
  name: 'AuthorizedKeysFile',
  argument: 'file ... | none',
  summary:
    "Files with the user's keys; %h is the home, %u the name, %U the number of the user; relative ones are in the home.",
  defaultText: '.ssh/authorized_keys .ssh/authorized_keys2',
  field: 'authorizedKeysFiles',
  parse: keyFiles,
  dump: (config) =>
    config.authorizedKeysFiles.length === 0 ? 'none' : config.authorizedKeysFiles.join(' '),
});

export const allowUsersRow = row({
  name: 'AllowUsers',
  argument: 'pattern ...',
  summary: 'Only users that match may log in; `user@host` also looks at the address.',
  defaultText: 'everybody',
  field: 'allowUsers',
  parse: userPatterns,
  add: concatBounded(maxListItems),
  addAll: concatAll,
  dump: (config) => config.allowUsers,
});

export const denyUsersRow = row({
  name: 'DenyUsers',
  argument: 'pattern ...',
  summary: 'Users that match may not log in, whatever AllowUsers says.',
  defaultText: 'nobody',
  field: 'denyUsers',
  parse: userPatterns,
  add: concatBounded(maxListItems),
  addAll: concatAll,
  dump: (config) => config.denyUsers,
});

export const allowGroupsRow = row({
  name: 'AllowGroups',
  argument: 'pattern ...',
  summary: 'Only members of a group that matches may log in, the primary one or another.',
  defaultText: 'everybody',
  field: 'allowGroups',
  parse: several,
  add: concatBounded(maxListItems),
  addAll: concatAll,
  dump: (config) => config.allowGroups,
});

export const denyGroupsRow = row({
  name: 'DenyGroups',
  argument: 'pattern ...',
  summary: 'Members of a group that matches may not log in, whatever AllowGroups says.',
  defaultText: 'nobody',
  field: 'denyGroups',
  parse: several,
  add: concatBounded(maxListItems),
  addAll: concatAll,
  dump: (config) => config.denyGroups,
});

export const bannerRow = row({
  name: 'Banner',
  argument: 'file | none',
  summary: 'Its text is shown before authentication; at most 64 KiB.',
  defaultText: 'none',
  field: 'banner',
  parse: (words, place) => absolutePath(single(words), place),
  dump: (config) => config.banner ?? 'none',
});

export const loginDefaults = {
  usePam: false,
  pamServiceName: 'sshd',
  maxAuthTries: 6,
  permitRootLogin: 'prohibit-password',
  pubkeyAuthentication: true,
  passwordAuthentication: true,
  kbdInteractiveAuthentication: true,
  permitEmptyPasswords: false,
  strictModes: true,
  authorizedKeysFiles: ['.ssh/authorized_keys', '.ssh/authorized_keys2'],
  allowUsers: [],
  denyUsers: [],
  allowGroups: [],
  denyGroups: [],
  banner: 'none',
} satisfies Partial<ServerDraft>;
