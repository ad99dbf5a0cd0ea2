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
}

export class UsageError extends Error {}

const withValue = new Set([...'fphoEC']);
const withoutValue = new Set([...'DetTidqV46']);
const longNames = ['desktop-config', 'ready-descriptor'];

export const usage = `usage: sshdesk serve [-46DdeiqTtV] [-C connection_spec] [-E log_file]
                     [-f config_file] [-h host_key_file] [-o option]
                     [-p port] [--desktop-config file]`;

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
      if (!longNames.includes(name)) {
        throw new UsageError(`unknown option -- ${name}`);
      }
      given.push({ name, value: long[2] ?? next(name) });
      continue;
    }
    if (!/^-./.test(word)) {
      throw new UsageError(`extra argument ${word}`);
    }
    for (let at = 1; at < word.length; at++) {
      const name = word.charAt(at);
      if (withoutValue.has(name)) {
        given.push({ name, value: '' });
      } else if (withValue.has(name)) {
        const attached = word.slice(at + 1);
        given.push({ name, value: attached === '' ? next(name) : attached });
        break;
      } else {
        throw new UsageError(`unknown option -- ${name}`);
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
    readyDescriptor: ready === undefined ? undefined : Number(ready),
  };
  if (flags.connectionSpecs.length > 0 && !flags.dump && !flags.test) {
    throw new UsageError('Config test connection parameter (-C) provided without test mode (-T)');
  }
  return flags;
}
