/**
 * The account `nx` of old clients, as rows of sshdesk_config: whether it answers, by which keys, and
 * who may log in behind it by what. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { DesktopConfig } from './config.ts';
import { type KeywordDeclaration, type KeywordRow, keyword } from './keyword.ts';
import { concatAll, concatBounded, maxListItems } from './server-row.ts';
import { absolutePath, integer, several, single, yesNo } from './values.ts';
import type { Words } from './words.ts';

export type NxDraft = Pick<
  DesktopConfig,
  | 'nxLegacyAccount'
  | 'nxKeyFile'
  | 'nxPasswordUsers'
  | 'nxUsersDatabase'
  | 'nxPasswordSplit'
  | 'nxLegacyAlgorithms'
>;

/** A code of so many characters is longer than any. */
const mostSplit = 64;

function row<K extends keyof NxDraft>(
  declaration: KeywordDeclaration<NxDraft, DesktopConfig, K>,
): KeywordRow<NxDraft, DesktopConfig> {
  return keyword(declaration);
}

function names(words: Words): readonly string[] {
  const said = several(words);
  if (said.length === 1 && said[0]?.toLowerCase() === 'none') {
    return [];
  }
  const wrong = said.find((word) => !/^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,255}$/.test(word));
  if (wrong !== undefined) {
    throw new ConfigError(`"${wrong}" is not the name of an account`);
  }
  return said;
}

/** Said as a word, so that `0` is no riddle. */
function split(words: Words): number {
  return single(words).toLowerCase() === 'none' ? 0 : integer(1, mostSplit)(words);
}

function noLegacyAlgorithms(words: Words): false {
  if (yesNo(words)) {
    throw new ConfigError(
      'algorithms of the clients before 4.0 (SHA-1, ssh-dss) are not offered; give those clients an ssh program of today (their settings have the path), or take a client that brings one',
    );
  }
  return false;
}

const yesOrNo = (value: boolean): string => (value ? 'yes' : 'no');

export const nxKeywords: readonly KeywordRow<NxDraft, DesktopConfig>[] = [
  row({
    name: 'NXLegacyAccount',
    argument: 'yes | no',
    summary:
      'Whether sshdesk answers for the account `nx` of NX clients 1.4 to 3: its shared key opens a dialogue in which the user logs in with a password, and then his desktops, nothing else. Whoever has the key reaches that question.',
    defaultText: 'no',
    field: 'nxLegacyAccount',
    parse: yesNo,
    dump: (config) => yesOrNo(config.nxLegacyAccount),
  }),
  row({
    name: 'NXKeyFile',
    argument: 'file',
    summary:
      'Public keys of the account `nx`, one in a line, without options; `sshdesk nxserver --keygen` makes it. Read at every attempt.',
    defaultText: '/etc/sshdesk/nx/authorized_keys',
    field: 'nxKeyFile',
    parse: (words, place) => absolutePath(single(words), place),
    dump: (config) => config.nxKeyFile,
  }),
  row({
    name: 'NXPasswordUsers',
    argument: 'user ... | none',
    summary:
      'Who logs in behind `nx` by a password of `sshdesk nxserver --passwd` in place of the system’s; the account and session stacks of PAM are asked all the same.',
    defaultText: 'none',
    field: 'nxPasswordUsers',
    parse: names,
    add: concatBounded(maxListItems),
    addAll: concatAll,
    dump: ({ nxPasswordUsers }) =>
      nxPasswordUsers.length === 0 ? 'none' : nxPasswordUsers.join(' '),
  }),
  row({
    name: 'NXUsersDatabase',
    argument: 'yes | no',
    summary:
      'Whether only those log in behind `nx` whom `sshdesk nxserver --useradd` has listed, by whatever password.',
    defaultText: 'no',
    field: 'nxUsersDatabase',
    parse: yesNo,
    dump: (config) => yesOrNo(config.nxUsersDatabase),
  }),
  row({
    name: 'NXPasswordSplit',
    argument: 'number | none',
    summary:
      'So many characters at the end of the password line answer what PAM asks behind the password (a one-time code). `none`: who is asked more than a password does not get in.',
    defaultText: 'none',
    field: 'nxPasswordSplit',
    parse: split,
    dump: ({ nxPasswordSplit }) => (nxPasswordSplit === 0 ? 'none' : String(nxPasswordSplit)),
  }),
  row({
    name: 'NXLegacyAlgorithms',
    argument: 'no',
    summary: 'Only `no`: key exchanges and signatures with SHA-1 are not offered to anybody.',
    defaultText: 'no',
    field: 'nxLegacyAlgorithms',
    parse: noLegacyAlgorithms,
    dump: (config) => yesOrNo(config.nxLegacyAlgorithms),
  }),
];

export const nxDefaults: NxDraft = {
  nxLegacyAccount: false,
  nxKeyFile: '/etc/sshdesk/nx/authorized_keys',
  nxPasswordUsers: [],
  nxUsersDatabase: false,
  nxPasswordSplit: 0,
  nxLegacyAlgorithms: false,
};
