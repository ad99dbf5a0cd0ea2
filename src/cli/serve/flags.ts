/**
 * sshd's own flags, in getopt's grammar (`-p2222`, `-De`, `-o Key=Value` several times), so that
 * sshdesk can stand where sshd stood (sshd(8)). Runs in: monitor.
 */
export interface ServeFlags {
  readonly configFile: string | undefined;
  readonly desktopConfigFile: string | undefined;
  /** In order, each `Key=Value`. */
  readonly options: readonly string[];
  readonly ports: readonly number[];
  readonly hostKeys: readonly string[];
  readonly connectionSpecs: readonly string[];
  readonly logFile: string | undefined;
  readonly logToStderr: boolean;
  readonly foreground: boolean;
  readonly test: boolean;
  readonly dump: boolean;
  readonly inherited: boolean;
  /** -d, as often as it was given. */
  readonly debug: number;
  readonly quiet: boolean;
  readonly family: 4 | 6 | undefined;
  readonly version: boolean;
  /** The launcher's pipe: one line comes on it when the daemon listens or cannot. */
  readonly readyDescriptor: number | undefined;
  /** The `sshdesk` script that --supervised has left in the place of the daemon. */
  readonly supervisor: number | undefined;
}

export class UsageError extends Error {}

/** One row per flag; the grammar, `--help`, the manual page and docs/reference are made of them. */
export interface FlagRow {
  /** One letter, or a long name. */
  readonly name: string;
  /** What stands behind it; undefined: nothing does. */
  readonly value?: string;
  readonly isRepeatable?: boolean;
  readonly summary: string;
  /** Between the launcher and its daemon; not for people. */
  readonly isInternal?: boolean;
}

export const serveFlags: readonly FlagRow[] = [
  { name: '4', summary: 'Listens on IPv4 addresses only.' },
  { name: '6', summary: 'Listens on IPv6 addresses only.' },
  {
    name: 'C',
    value: 'connection_spec',
    isRepeatable: true,
    summary: 'With -T or -t: checks user=, host=, addr=, laddr=, lport=; has no other effect yet.',
  },
  { name: 'D', summary: 'Stays in the foreground.' },
  {
    name: 'd',
    isRepeatable: true,
    summary: 'Debug: foreground, log on stderr, one connection; up to three times for more.',
  },
  { name: 'E', value: 'log_file', summary: 'Appends the log to this file.' },
  { name: 'e', summary: 'Writes the log to stderr.' },
  {
    name: 'f',
    value: 'config_file',
    summary: 'Configuration instead of /etc/ssh/sshd_config.',
  },
  {
    name: 'h',
    value: 'host_key_file',
    isRepeatable: true,
    summary: 'A host key, besides those of the configuration.',
  },
  { name: 'i', summary: 'Serves the one connection on stdin and stdout.' },
  {
    name: 'o',
    value: 'option',
    isRepeatable: true,
    summary: 'A line of the configuration as Keyword=value; comes before the file.',
  },
  {
    name: 'p',
    value: 'port',
    isRepeatable: true,
    summary: 'A port instead of those of Port; one in ListenAddress stays.',
  },
  { name: 'q', summary: 'Logs nothing.' },
  { name: 'T', summary: 'Checks everything, prints the keywords in effect, and leaves.' },
  { name: 't', summary: 'Checks configuration and host keys, and leaves.' },
  { name: 'V', summary: 'Prints the version on stderr, and leaves.' },
  {
    name: 'desktop-config',
    value: 'file',
    summary: 'Configuration of desktops and workers instead of /etc/sshdesk/sshdesk_config.',
  },
  {
    name: 'supervised',
    summary:
      'Directly behind serve, for systemd: a first process that ends at SIGTERM, so that logins outlast a restart.',
  },
  { name: 'help', summary: 'Prints this, and leaves.' },
  {
    name: 'ready-descriptor',
    value: 'number',
    summary: 'Where the daemon says that it listens.',
    isInternal: true,
  },
  {
    name: 'supervisor',
    value: 'pid',
    summary: 'The first process of --supervised.',
    isInternal: true,
  },
];

const rowOf = (name: string): FlagRow | undefined => serveFlags.find((row) => row.name === name);

export function flagText({ name, value }: FlagRow): string {
  const flag = name.length === 1 ? `-${name}` : `--${name}`;
  return value === undefined ? flag : `${flag} ${value}`;
}

export const usage = `usage: sshdesk serve [-46DdeiqTtV] [-C connection_spec] [-E log_file]
                     [-f config_file] [-h host_key_file] [-o option]
                     [-p port] [--desktop-config file] [--supervised] [--help]`;

/** What `--help` prints. */
export function serveHelp(): string {
  const shown = serveFlags.filter((row) => row.isInternal !== true);
  const width = Math.max(...shown.map((row) => flagText(row).length));
  const lines = shown.map((row) => `  ${flagText(row).padEnd(width)}  ${row.summary}`);
  return [usage, '', "The flags are sshd's:", ...lines, ''].join('\n');
}

/** `--help` at the place of a flag, not of a value; what else is wrong does not matter then. */
export function asksForHelp(args: readonly string[]): boolean {
  try {
    return split(args).some(({ name }) => name === 'help');
  } catch (error) {
    if (error instanceof UsageError) {
      return false; // parseFlags says what is wrong
    }
    throw error;
  }
}

interface Given {
  readonly name: string;
  readonly value: string;
}

function split(args: readonly string[]): readonly Given[] {
  const given: Given[] = [];
  const rest = [...args];
  const next = (name: string): string => {
    const value = rest.shift();
    if (value === undefined) {
      throw new UsageError(`option requires an argument -- ${name}`);
    }
    return value;
  };
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const long = /^--([a-z-]+)(?:=(.*))?$/s.exec(word);
    if (long !== null) {
      const name = long[1] as string;
      const row = name.length > 1 ? rowOf(name) : undefined;
      if (row === undefined) {
        throw new UsageError(`unknown option -- ${name}`);
      }
      if (row.value === undefined && long[2] !== undefined) {
        throw new UsageError(`option takes no argument -- ${name}`);
      }
      given.push({ name, value: row.value === undefined ? '' : (long[2] ?? next(name)) });
      continue;
    }
    if (!/^-./.test(word)) {
      throw new UsageError(`extra argument ${word}`);
    }
    for (let at = 1; at < word.length; at++) {
      const name = word.charAt(at);
      const row = rowOf(name);
      if (row === undefined) {
        throw new UsageError(`unknown option -- ${name}`);
      }
      if (row.value === undefined) {
        given.push({ name, value: '' });
      } else {
        const attached = word.slice(at + 1);
        given.push({ name, value: attached === '' ? next(name) : attached });
        break;
      }
    }
  }
  return given;
}

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65535) {
    throw new UsageError(`Bad port number.`);
  }
  return port;
}

export function parseFlags(args: readonly string[]): ServeFlags {
  const given = split(args);
  const all = (name: string): readonly string[] =>
    given.filter((one) => one.name === name).map(({ value }) => value);
  const has = (name: string): boolean => all(name).length > 0;
  if (has('help')) {
    throw new UsageError('--help is answered before anything is served');
  }
  if (has('supervised')) {
    throw new UsageError(
      '--supervised is for the sshdesk script, and stands directly behind serve',
    );
  }
  const supervisor = all('supervisor').at(-1);
  const ready = all('ready-descriptor').at(-1);
  const flags: ServeFlags = {
    configFile: all('f').at(-1),
    desktopConfigFile: all('desktop-config').at(-1),
    options: all('o'),
    ports: all('p').map(portOf),
    hostKeys: all('h'),
    connectionSpecs: all('C'),
    logFile: all('E').at(-1),
    logToStderr: has('e') || has('d'),
    foreground: has('D') || has('d'),
    test: has('t'),
    dump: has('T'),
    inherited: has('i'),
    debug: all('d').length,
    quiet: has('q'),
    family: has('4') ? 4 : has('6') ? 6 : undefined,
    version: has('V'),
    supervisor: supervisor === undefined ? undefined : Number(supervisor),
    readyDescriptor: ready === undefined ? undefined : Number(ready),
  };
  if (flags.connectionSpecs.length > 0 && !flags.dump && !flags.test) {
    throw new UsageError('Config test connection parameter (-C) provided without test mode (-T)');
  }
  return flags;
}
