/**
 * The keywords of /etc/sshdesk/sshdesk_config: what sshd has no word for. Same grammar, own table.
 * Pure. Runs in: monitor, launcher.
 */
import { type CardDraft, cardDefaults, cardKeywords } from './card-keywords.ts';
import type { DesktopConfig, ReauthOccasion } from './config.ts';
import { type KeywordDeclaration, type KeywordRow, keyword } from './keyword.ts';
import { desktopLogDefaults, logRows } from './log-keywords.ts';
import { nxDefaults, nxKeywords } from './nx-keywords.ts';
import { ConfigError } from '../base/errors.ts';
import { commandLine, integer, oneOf, several, single, yesNo } from './values.ts';
import type { Words } from './words.ts';

export type DesktopDraft = Omit<DesktopConfig, 'xSession' | keyof CardDraft> &
  CardDraft & {
    /** `none`: the machine's default. */
    readonly xSession: string;
  };

/** What can be another for another user; the rest is the daemon's. */
export const desktopMatchKeywords: ReadonlySet<string> = new Set([
  'desktopreauth',
  'localdesktops',
  'nxpasswordsplit',
  'xsession',
  ...cardKeywords.map(({ name }) => name.toLowerCase()),
]);
/** Of a desktop its owner is known, and no connection; of a card whom it is to log in. */
export const desktopCriteria: readonly string[] = ['user', 'group'];

/** Two, so that the loss of one never stops the service; one per core beyond that. */
export const leastWorkers = 2;
const mostWorkers = 1024;
const mostWorkerConnections = 1_000_000;

const reauthOccasions = ['resume', 'share'] as const satisfies readonly ReauthOccasion[];

/** Several at once, but `never` alone. In the order of the table. */
function occasions(words: Words): readonly ReauthOccasion[] {
  const said = several(words).map((word) => word.toLowerCase());
  const unknown = said.find((word) => ![...reauthOccasions, 'never'].includes(word));
  if (unknown !== undefined) {
    throw new ConfigError(`unsupported option "${unknown}" (one of resume, share, never)`);
  }
  if (said.includes('never') && said.length > 1) {
    throw new ConfigError('"never" goes with nothing else');
  }
  return reauthOccasions.filter((occasion) => said.includes(occasion));
}

function row<K extends keyof DesktopDraft>(
  declaration: KeywordDeclaration<DesktopDraft, DesktopConfig, K>,
): KeywordRow<DesktopDraft, DesktopConfig> {
  return keyword(declaration);
}

function accountName(words: Words): string {
  const word = single(words);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,255}$/.test(word)) {
    throw new ConfigError(`"${word}" is not the name of an account`);
  }
  return word;
}

export const desktopKeywords: readonly KeywordRow<DesktopDraft, DesktopConfig>[] = [
  row({
    name: 'Workers',
    argument: 'number',
    summary: 'Worker processes.',
    defaultText: 'one per core, at least 2',
    field: 'workers',
    parse: integer(leastWorkers, mostWorkers),
    dump: (config) => String(config.workers),
  }),
  row({
    name: 'WorkerConnections',
    argument: 'number',
    summary:
      'A worker that was given so many connections takes no more, ends with the last of them and is replaced.',
    defaultText: '1000',
    field: 'workerConnections',
    parse: integer(1, mostWorkerConnections),
    dump: (config) => String(config.workerConnections),
  }),
  row({
    name: 'WorkerIsolation',
    argument: 'shared | connection',
    summary: '`connection`: every connection gets a worker of its own.',
    defaultText: 'shared',
    field: 'workerIsolation',
    parse: oneOf<DesktopConfig['workerIsolation']>({ shared: 'shared', connection: 'connection' }),
    dump: (config) => config.workerIsolation,
  }),
  row({
    name: 'WorkerConfinement',
    argument: 'strict | relaxed',
    summary:
      'As root, a worker that cannot be confined stops the start; `relaxed` logs it and goes on.',
    defaultText: 'strict',
    field: 'workerConfinement',
    parse: oneOf<DesktopConfig['workerConfinement']>({ strict: 'strict', relaxed: 'relaxed' }),
    dump: (config) => config.workerConfinement,
  }),
  row({
    name: 'LocalDesktops',
    argument: 'yes | no',
    summary:
      'Whether a user of this machine has desktops without a login here: `sshdesk subsystem`, as another sshd runs it.',
    defaultText: 'yes',
    field: 'localDesktops',
    parse: yesNo,
    dump: (config) => (config.localDesktops ? 'yes' : 'no'),
  }),
  row({
    name: 'DesktopReauth',
    argument: 'resume | share | never',
    summary:
      'When PAM asks again who it is (auth and account): before a desktop that is there is opened (`resume`), before one is shared (`share`); both may be named. `sshdesk connect` and the subsystem `display` ask, every other way is refused. Without PAM (UsePAM no, not root) it is refused.',
    defaultText: 'never',
    field: 'desktopReauth',
    parse: occasions,
    dump: ({ desktopReauth }) => (desktopReauth.length === 0 ? 'never' : desktopReauth.join(' ')),
  }),
  row({
    name: 'XSession',
    argument: 'command | none',
    summary: "What a desktop runs, by the user's shell.",
    defaultText: "none: the machine's x-session-manager, else icewm with xterm",
    field: 'xSession',
    parse: commandLine,
    dump: (config) => config.xSession ?? 'none',
  }),
  row({
    name: 'HostKeyModuleUser',
    argument: 'account',
    summary:
      'As whom the PKCS#11 module of a `HostKey pkcs11:` runs, without further groups; a daemon that is not root runs it as itself.',
    defaultText: 'nobody',
    field: 'hostKeyModuleUser',
    parse: accountName,
    dump: (config) => config.hostKeyModuleUser,
  }),
  ...nxKeywords,
  ...cardKeywords,
  ...logRows,
];

export function desktopDefaults(cores: number): DesktopDraft {
  return {
    workers: Math.max(leastWorkers, Math.min(cores, mostWorkers)),
    workerConnections: 1000,
    workerIsolation: 'shared',
    workerConfinement: 'strict',
    localDesktops: true,
    desktopReauth: [],
    xSession: 'none',
    hostKeyModuleUser: 'nobody',
    ...nxDefaults,
    ...cardDefaults,
    ...desktopLogDefaults,
  };
}
