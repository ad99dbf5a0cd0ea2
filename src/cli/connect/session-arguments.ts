/**
 * The arguments of `connect` that ssh has too: forwards, a command, a subsystem, its terminal.
 * Runs in: user.
 */
import type { Argv } from 'yargs';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { ProgramRequest } from './remote-program.ts';
import { commandBytes } from './words.ts';

export interface SessionArguments {
  readonly A: boolean;
  readonly a: boolean;
  readonly L: readonly string[] | undefined;
  readonly R: readonly string[] | undefined;
  readonly D: readonly string[] | undefined;
  readonly N: boolean;
  readonly s: string | readonly string[] | undefined;
  readonly shell: boolean;
  readonly t: number;
  readonly T: boolean;
  readonly n: boolean;
  readonly four: boolean;
  readonly six: boolean;
  readonly x: boolean;
  readonly q: boolean;
  /** The words of the command. */
  readonly '--'?: readonly string[];
}

/** By name; true: a value follows. */
export const sessionOptionNames: readonly (readonly [string, boolean])[] = [
  ...['L', 'R', 'D', 's'].map((name) => [name, true] as const),
  ...['A', 'a', 'N', 'shell', 't', 'T', 'n', '4', '6', 'x', 'q'].map(
    (name) => [name, false] as const,
  ),
];

export function sessionOptions<Given>(yargs: Argv<Given>): Argv<Given> {
  const texts = { type: 'string', requiresArg: true, nargs: 1, array: true } as const;
  const flag = { type: 'boolean', default: false } as const;
  return yargs
    .option('A', { ...flag, describe: 'forward the agent' })
    .option('a', { ...flag, describe: 'do not forward the agent' })
    .option('L', { ...texts, describe: 'a port or socket here leads there: port:host:hostport' })
    .option('R', { ...texts, describe: 'a port or socket there leads here: port:host:hostport' })
    .option('D', { ...texts, describe: 'a SOCKS proxy here: [bind:]port' })
    .option('N', { ...flag, describe: 'nothing but forwards' })
    .option('s', {
      type: 'string',
      requiresArg: true,
      nargs: 1,
      describe: 'subsystem on stdin and stdout',
    })
    .option('shell', { ...flag, describe: 'a login shell' })
    .option('t', {
      type: 'count',
      describe: 'a terminal for the command; twice: without one here too',
    })
    .option('T', { ...flag, describe: 'no terminal' })
    .option('n', { ...flag, describe: 'nothing from stdin' })
    .option('4', { ...flag, alias: 'four', describe: 'IPv4 only' })
    .option('6', { ...flag, alias: 'six', describe: 'IPv6 only' })
    .option('q', { ...flag, describe: 'no warnings' })
    .option('x', { ...flag, describe: 'no X11 forwarding: there is none' }) as Argv<Given>;
}

/** Options of ssh_config(5) that these stand for. */
export function shorthandsOf(given: SessionArguments): (readonly [string, string])[] {
  if (given.A && given.a) usage('-A and -a exclude each other');
  if (given.four && given.six) usage('-4 and -6 exclude each other');
  const each = (name: string, values: readonly string[] = []) =>
    values.map((value) => [name, value] as const);
  return [
    ...(given.A || given.a ? [['ForwardAgent', given.A ? 'yes' : 'no'] as const] : []),
    ...each('LocalForward', given.L),
    ...each('RemoteForward', given.R),
    ...each('DynamicForward', given.D),
    ...(given.four ? [['AddressFamily', 'inet'] as const] : []),
    ...(given.six ? [['AddressFamily', 'inet6'] as const] : []),
  ];
}

/** Null: there is none to run. */
export function programOf(given: SessionArguments): ProgramRequest | null {
  const start = startOf(given);
  if (given.t > 0 && given.T) usage('-t and -T exclude each other');
  if (start === null) {
    if (given.t > 0 || given.T || given.n) usage('-t, -T and -n go with a command');
    return null;
  }
  const tty = given.T ? 'no' : given.t > 1 ? 'force' : given.t > 0 ? 'yes' : null;
  return { start, tty, isStdinNull: given.n };
}

function startOf(given: SessionArguments): ProgramRequest['start'] | null {
  const command = given['--'] ?? [];
  const chosen = [command.length > 0, given.s !== undefined, given.shell, given.N];
  if (chosen.filter(Boolean).length > 1) {
    usage('a command, -s, --shell and -N exclude each other');
  }
  if (command.length > 0) return { is: 'exec', command: commandBytes(command) };
  if (given.shell) return { is: 'shell' };
  if (given.s === undefined) return null;
  if (typeof given.s !== 'string' || given.s === '') usage('-s: one subsystem is expected');
  return { is: 'subsystem', name: given.s };
}

function usage(text: string): never {
  throw new ClientFailure('usage', text);
}
