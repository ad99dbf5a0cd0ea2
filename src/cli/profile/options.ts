/**
 * The options of `connect` that a profile keeps, as a table; a test compares it with those of
 * `connect`. What is done once (a command, `--screenshot`) is not kept. Runs in: user.
 */

export type StoredKind =
  /** One value. */
  | 'text'
  /** One value, or none: then the empty text. */
  | 'optional'
  | 'list'
  | 'flag';

export interface StoredOption {
  /** As on the command line of `connect`, and in the file. */
  readonly name: string;
  readonly kind: StoredKind;
  readonly describe: string;
  /** A file: relative to where `profile add` runs, which is not where `connect` will. */
  readonly isPath?: true;
  /** What belongs together on a command line: see `replaces`. */
  readonly group?: Group;
  /** A flag's value when it is not given. */
  readonly default?: boolean;
}

export const storedOptions: readonly StoredOption[] = [
  { name: 'A', kind: 'flag', describe: 'forward the agent', group: 'agent' },
  { name: 'a', kind: 'flag', describe: 'do not forward the agent', group: 'agent' },
  { name: 'L', kind: 'list', describe: 'port or socket here that leads there' },
  { name: 'R', kind: 'list', describe: 'port or socket there that leads here' },
  { name: 'D', kind: 'list', describe: 'SOCKS proxy here' },
  { name: 'N', kind: 'flag', describe: 'nothing but forwards', group: 'program' },
  { name: 'shell', kind: 'flag', describe: 'a login shell', group: 'program' },
  { name: 'q', kind: 'flag', describe: 'no warnings' },
  { name: 'i', kind: 'list', describe: 'key file', isPath: true },
  { name: 'p', kind: 'text', describe: 'port' },
  { name: 'l', kind: 'text', describe: 'user' },
  { name: 'o', kind: 'list', describe: 'option of ssh_config(5), as KEY=VALUE' },
  { name: 'F', kind: 'text', describe: 'configuration file', isPath: true },
  { name: 'J', kind: 'text', describe: 'hosts to go through' },
  { name: 'pkcs11', kind: 'optional', describe: 'PKCS#11 module of smart cards', isPath: true },
  { name: 'K', kind: 'flag', describe: 'Kerberos tickets go along', group: 'tickets' },
  { name: 'k', kind: 'flag', describe: 'Kerberos tickets stay here', group: 'tickets' },
  { name: 'batch', kind: 'flag', describe: 'never ask' },
  { name: 'session', kind: 'text', describe: 'name of the desktop', group: 'desktop' },
  { name: 'geometry', kind: 'text', describe: 'size of the desktop', group: 'desktop' },
  { name: 'protocol', kind: 'text', describe: 'rfb or nx', group: 'view' },
  { name: 'link', kind: 'text', describe: 'kind of line, for nx', group: 'view' },
  { name: 'listen', kind: 'text', describe: 'loopback port for a viewer', group: 'view' },
  { name: 'web', kind: 'flag', describe: 'in the browser', group: 'view' },
  { name: 'web-port', kind: 'text', describe: 'loopback port for the browser', group: 'view' },
  { name: 'viewers', kind: 'text', describe: 'browsers at a time', group: 'view' },
  { name: 'open', kind: 'flag', describe: 'start the browser', group: 'view', default: true },
];

type Group = 'agent' | 'tickets' | 'program' | 'desktop' | 'view';

/** What else of `connect` belongs to a group and is never kept. */
const unkept: Readonly<Partial<Record<Group, readonly string[]>>> = {
  // A command stands behind `--`.
  program: ['--', 's', 't', 'T', 'n'],
  view: ['list', 'screenshot'],
};

/** One of these on the command line replaces what the profile has of all of those. */
const replaces: Readonly<Record<Group, readonly Group[]>> = {
  agent: ['agent'],
  tickets: ['tickets'],
  program: ['program', 'desktop', 'view'],
  desktop: ['program'],
  view: ['program', 'view'],
};

export type OptionValue = string | boolean | readonly string[];

export function storedOption(name: string): StoredOption | undefined {
  return storedOptions.find((row) => row.name === name);
}

/** The names that `given` on the command line takes the place of. */
export function replacedBy(given: ReadonlySet<string>): ReadonlySet<string> {
  const replaced = new Set(given);
  for (const group of Object.keys(replaces) as Group[]) {
    if (![...namesOf(group), ...(unkept[group] ?? [])].some((name) => given.has(name))) continue;
    for (const other of replaces[group]) for (const name of namesOf(other)) replaced.add(name);
  }
  return replaced;
}

function namesOf(group: Group): readonly string[] {
  return storedOptions.filter((row) => row.group === group).map(({ name }) => name);
}
