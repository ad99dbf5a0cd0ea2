/**
 * The keywords of sshd_config(5) about what a session gets and runs, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { reachesNeverTaken } from './accept-env.ts';
import { checkInternalSftp } from './internal-sftp.ts';
import type { ServerDraft } from './server-draft.ts';
import { concatAll, concatBounded, flag, maxListItems, row } from './server-row.ts';
import { commandLine, integer, type Place, several, single } from './values.ts';
import type { Words } from './words.ts';

function environmentPatterns(words: Words): readonly string[] {
  for (const pattern of words.words) {
    if (pattern === '' || pattern.includes('=')) {
      throw new ConfigError(`invalid environment name "${pattern}"`);
    }
  }
  return several(words);
}

function subsystem({ words }: Words, place: Place): ReadonlyMap<string, string> {
  const [name, ...command] = words;
  if (name === undefined || name === '') {
    throw new ConfigError('missing subsystem name');
  }
  if (command.length === 0 || command[0] === '') {
    throw new ConfigError('missing subsystem command');
  }
  return new Map([[name, checkInternalSftp(command.join(' '), place)]]);
}

function assignments(words: Words): readonly (readonly [string, string])[] {
  return several(words).map((word) => {
    const at = word.indexOf('=');
    if (at <= 0) {
      throw new ConfigError('Invalid environment.');
    }
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

/** The first value of each name counts. */
function firstOfEach<V>(values: readonly Iterable<readonly [string, V]>[]): ReadonlyMap<string, V> {
  const all = new Map<string, V>();
  for (const [name, value] of values.flatMap((each) => [...each])) {
    if (!all.has(name)) {
      all.set(name, value);
    }
  }
  return all;
}

function allVariables(values: readonly ServerDraft['setEnv'][]): ServerDraft['setEnv'] {
  return [...firstOfEach(values)];
}

function moreVariables(
  before: ServerDraft['setEnv'],
  next: ServerDraft['setEnv'],
): ServerDraft['setEnv'] {
  const both = allVariables([before, next]);
  if (both.length > maxListItems) {
    throw new ConfigError(`more than ${maxListItems} of them`);
  }
  return both;
}

export const maxSessionsRow = row({
  name: 'MaxSessions',
  argument: 'number',
  summary: 'Open sessions per connection; 0 allows none.',
  defaultText: '10',
  field: 'maxSessions',
  parse: integer(0),
  dump: (config) => String(config.maxSessions),
});

export const permitTtyRow = flag(
  'PermitTTY',
  'permitTty',
  'yes',
  'Terminals are given; `no` also refuses desktops.',
);

export const permitUserRcRow = flag(
  'PermitUserRC',
  'permitUserRc',
  'yes',
  '~/.ssh/rc runs in front of a shell or command.',
);

/** Behind KbdInteractiveAuthentication. */
export const printMotdRow = flag(
  'PrintMotd',
  'printMotd',
  'yes',
  'A login shell on a terminal is shown /etc/motd, unless there is a ~/.hushlogin.',
);

export const printLastLogRow = flag(
  'PrintLastLog',
  'printLastLog',
  'yes',
  'The same says when and from where the user was last logged in.',
);

export const exposeAuthInfoRow = flag(
  'ExposeAuthInfo',
  'exposeAuthInfo',
  'no',
  'SSH_USER_AUTH names a file that says by which methods, and with which keys, the user has logged in.',
);

export const forceCommandRow = row({
  name: 'ForceCommand',
  argument: 'command | none',
  summary:
    'Runs for every shell, command and subsystem instead of what was asked; beats command= of a key. With `internal-sftp` and its flags there is sftp and nothing else.',
  defaultText: 'none',
  field: 'forceCommand',
  parse: (words, place) => checkInternalSftp(commandLine(words), place),
  dump: (config) => config.forceCommand ?? 'none',
});

export const acceptEnvRow = row({
  name: 'AcceptEnv',
  argument: 'pattern ...',
  summary:
    'Environment variables taken from the client; never those of the dynamic linker, of interpreters and of the account.',
  defaultText: 'none',
  field: 'acceptEnv',
  parse: environmentPatterns,
  stricter: (patterns) =>
    patterns.some(reachesNeverTaken)
      ? 'never names of the dynamic linker, of interpreters and of the account'
      : undefined,
  add: concatBounded(maxListItems),
  addAll: concatAll,
  dump: (config) => config.acceptEnv,
});

export const setEnvRow = row({
  name: 'SetEnv',
  argument: 'NAME=value ...',
  summary: 'Variables of every session; the first value of a name counts.',
  defaultText: 'none',
  field: 'setEnv',
  parse: assignments,
  add: moreVariables,
  addAll: allVariables,
  parts: (variables) => variables.map(([name]) => name),
  dump: (config) => config.setEnv.map(([name, value]) => `${name}=${value}`),
});

export const permitUserEnvironmentRow = row({
  name: 'PermitUserEnvironment',
  argument: 'yes | no | pattern-list',
  summary: 'Whether ~/.ssh/environment and environment= of keys count, and for which names.',
  defaultText: 'no',
  field: 'permitUserEnvironment',
  stricter: (names) => (names === 'no' ? undefined : 'never names of the dynamic linker'),
  parse: single,
  dump: (config) => config.permitUserEnvironment,
});

export const subsystemRow = row({
  name: 'Subsystem',
  argument: 'name command ...',
  summary:
    'A subsystem and what it runs: a program, or `internal-sftp` and flags of sftp-server(8). `rfb` and `display` are built in.',
  defaultText: 'none',
  field: 'subsystems',
  parse: subsystem,
  counts: 'by name',
  parts: (subsystems) => [...subsystems.keys()],
  // Of one name the first counts (sshd from 9.5 on), wherever a later one stands.
  add: (before, next) => firstOfEach([before, next]),
  addAll: firstOfEach,
  dump: (config) => [...config.subsystems].map(([name, command]) => `${name} ${command}`),
});

export const sessionDefaults = {
  maxSessions: 10,
  permitTty: true,
  permitUserRc: true,
  printMotd: true,
  printLastLog: true,
  exposeAuthInfo: false,
  forceCommand: 'none',
  chrootDirectory: 'none',
  acceptEnv: [],
  setEnv: [],
  permitUserEnvironment: 'no',
  subsystems: new Map(),
} satisfies Partial<ServerDraft>;
