/**
 * `sshdesk connect [user@]host[:port]`: the arguments. What is done with them is in ../connect.
 * Runs in: user.
 */
import type { Argv, ArgumentsCamelCase, CommandModule } from 'yargs';
import { hideBin } from 'yargs/helpers';
import type { CardProcess } from '../../../keys/pkcs11/card-start.ts';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { ConnectRequest, Purpose } from '../connect/run.ts';
import { noStatus } from '../connect/no-status.ts';
import type { SshArguments } from '../connect/ssh-arguments.ts';
import {
  programOf,
  type SessionArguments,
  sessionOptionNames,
  sessionOptions,
  shorthandsOf,
} from '../connect/session-arguments.ts';
import { nxLinks } from '../connect/nx-links.ts';
import { maxViewers } from '../web/max-viewers.ts';
import { parseGeometry } from '../connect/target.ts';
import { withProfile } from '../profile/merge.ts';
import { ProfileStore, profileFolder } from '../profile/store.ts';
import { firstUnknownOption, givenOptions, type KnownOptions } from '../connect/unknown-option.ts';
import { arrangeWords } from '../connect/words.ts';

interface Arguments extends SessionArguments {
  readonly host: string | undefined;
  readonly profile: string | undefined;
  readonly i: readonly string[] | undefined;
  readonly p: string | undefined;
  readonly l: string | undefined;
  readonly o: readonly string[] | undefined;
  readonly F: string | undefined;
  readonly J: string | undefined;
  readonly pkcs11: string | readonly string[] | undefined;
  readonly K: boolean;
  readonly k: boolean;
  readonly batch: boolean;
  readonly session: string | undefined;
  readonly protocol: string | undefined;
  readonly link: string | undefined;
  readonly geometry: string | undefined;
  readonly list: boolean;
  readonly json: boolean;
  readonly listen: string | undefined;
  readonly web: boolean;
  readonly 'web-port': string | undefined;
  readonly viewers: string | undefined;
  readonly open: boolean;
  readonly screenshot: string | readonly string[] | undefined;
  readonly wait: string | undefined;
}

const usageExitCode = 2;
/** As `options` has them. */
const knownOptions: KnownOptions = new Map([
  ...sessionOptionNames,
  ...['i', 'p', 'l', 'o', 'F', 'J'].map((name) => [name, true] as const),
  ...['session', 'geometry', 'listen', 'screenshot', 'wait'].map((name) => [name, true] as const),
  ...['profile', 'protocol', 'link', 'web-port', 'viewers'].map((name) => [name, true] as const),
  ...['K', 'k', 'pkcs11', 'batch', 'list', 'json'].map((name) => [name, false] as const),
  ...['web', 'open', 'help', 'version'].map((name) => [name, false] as const),
]);
const remedies: Readonly<Record<string, string>> = {
  '-f': 'it does not go to the background by itself: let the shell (&) or systemd do it',
  '-W': 'use -L, or a command such as nc',
};
const maxWaitMs = 10 * 60 * 1000;
const maxNameChars = 256;

export const connect: CommandModule<object, Arguments> = {
  command: 'connect [host]',
  describe: 'open a desktop of a server, or run a command there: [user@]host[:port] [COMMAND …]',
  builder: (yargs) => options(yargs),
  async handler(given) {
    let request: ConnectRequest;
    try {
      request = requestOf(await completed(given));
    } catch (error) {
      if (!(error instanceof ClientFailure)) throw error;
      process.stderr.write(`${error.detail}\n`);
      // Below it is the number of a program.
      process.exitCode = isProgram(given) ? noStatus : usageExitCode;
      return;
    }
    // Begun before the greater part of this program is loaded, which takes as long.
    const cardProcess = wantsCard(request.ssh) ? await beginCardProcess() : undefined;
    const { runConnect } = await import('../connect/run.ts');
    process.exitCode = await runConnect({ ...request, ssh: { ...request.ssh, cardProcess } });
  },
};

/** As far as the command line tells; a configuration file is read later. */
function wantsCard({ pkcs11, options: given }: SshArguments): boolean {
  return pkcs11 !== undefined || given.some((option) => /^\s*pkcs11provider\b/i.test(option));
}

async function beginCardProcess(): Promise<CardProcess | undefined> {
  // Where there are no native parts that is said when the card is to be opened.
  const native = await import('../../../keys/pkcs11/card-start.ts').catch(() => undefined);
  return native?.startCardProcess({ environment: process.env });
}

/** The words of `sshdesk connect` as yargs is to see them: the command behind `--`. */
export function arrangeConnect(words: readonly string[]): readonly string[] {
  const [name = '', ...others] = words;
  return [name, ...arrangeWords(others, knownOptions)];
}

function isProgram({ '--': command = [], s, shell }: Arguments): boolean {
  return command.length > 0 || s !== undefined || shell;
}

function options(yargs: Argv<object>): Argv<Arguments> {
  const text = { type: 'string', requiresArg: true, nargs: 1 } as const;
  return sessionOptions(yargs)
    .positional('host', { type: 'string', describe: '[user@]host[:port], if no profile has it' })
    .option('profile', { ...text, describe: 'host and options of this profile, where not given' })
    .option('i', { ...text, array: true, describe: 'key file' })
    .option('p', { ...text, describe: 'port' })
    .option('l', { ...text, describe: 'user' })
    .option('o', { ...text, array: true, describe: 'option of ssh_config(5), as KEY=VALUE' })
    .option('F', { ...text, describe: 'configuration file instead of ~/.ssh/config' })
    .option('J', { ...text, describe: 'hosts to go through: [user@]host[:port],…' })
    .option('pkcs11', {
      type: 'string',
      describe: 'keys of smart cards, through this PKCS#11 module (none: those that are known)',
    })
    .option('K', { type: 'boolean', default: false, describe: 'Kerberos tickets go along' })
    .option('k', { type: 'boolean', default: false, describe: 'Kerberos tickets stay here' })
    .option('batch', { type: 'boolean', default: false, describe: 'never ask' })
    .option('session', { ...text, describe: 'name of the desktop' })
    .option('geometry', { ...text, describe: 'size of the desktop, such as 1280x800' })
    .option('protocol', {
      ...text,
      describe: 'rfb (default), or nx by the nxproxy of this machine',
    })
    .option('link', { ...text, describe: 'with nx: modem, isdn, adsl, wan or lan (default)' })
    .option('list', { type: 'boolean', default: false, describe: 'list the desktops' })
    .option('json', { type: 'boolean', default: false, describe: 'with --list: as JSON' })
    .option('listen', { ...text, describe: 'a loopback port for a viewer instead (0: any)' })
    .option('web', { type: 'boolean', default: false, describe: 'show it in the browser here' })
    .option('web-port', { ...text, describe: 'with --web: its loopback port instead of any' })
    .option('viewers', { ...text, describe: 'with --web: so many browsers at a time' })
    .option('open', {
      type: 'boolean',
      default: true,
      describe: 'with --web: start the browser (--no-open: say the address only)',
    })
    .option('screenshot', { ...text, describe: 'write what the desktop shows to this PNG file' })
    .option('wait', { ...text, describe: 'with --screenshot: ms to settle after the first frame' })
    .fail((message: string | null, error: Error | undefined) => {
      if (error) throw error;
      const words = arrangeConnect(hideBin(process.argv)).slice(1);
      const unknown = firstUnknownOption(words, knownOptions);
      const why =
        unknown === undefined
          ? message
          : `Unknown argument: ${unknown}; ${remedies[unknown] ?? 'see sshdesk connect --help'}`;
      process.stderr.write(`sshdesk connect: ${why}\n`);
      process.exit(words.includes('--') ? noStatus : usageExitCode);
    }) as unknown as Argv<Arguments>;
}

async function completed(given: ArgumentsCamelCase<Arguments>) {
  const name = single(given.profile, '--profile');
  if (name === undefined) return given;
  const profile = await new ProfileStore(profileFolder(process.env)).read(name);
  const words = arrangeConnect(hideBin(process.argv)).slice(1);
  return withProfile(given, givenOptions(words, knownOptions), profile);
}

function requestOf(given: ArgumentsCamelCase<Arguments>): ConnectRequest {
  if (given.host === undefined) usage('sshdesk connect: which host? [user@]host[:port]');
  return {
    isQuiet: given.q,
    ssh: {
      target: given.host,
      identityFiles: given.i ?? [],
      port: single(given.p, '-p'),
      user: single(given.l, '-l'),
      options: [...ticketOptions(given), ...(given.o ?? [])],
      configFile: single(given.F, '-F'),
      jump: single(given.J, '-J'),
      isBatch: given.batch,
      pkcs11: single(given.pkcs11, '--pkcs11'),
      shorthands: shorthandsOf(given),
    },
    desktop: {
      name: nameOf(single(given.session, '--session')),
      geometry: given.geometry === undefined ? null : parseGeometry(String(given.geometry)),
    },
    purpose: purposeOf(given),
  };
}

/** As ssh has them: stronger than -o and than any file. */
function ticketOptions({ K, k }: Pick<Arguments, 'K' | 'k'>): readonly string[] {
  if (K && k) usage('-K and -k exclude each other');
  if (k) return ['GSSAPIDelegateCredentials=no'];
  return K ? ['GSSAPIAuthentication=yes', 'GSSAPIDelegateCredentials=yes'] : [];
}

function nameOf(name: string | undefined): string | null {
  if (name === undefined) return null;
  if (name === '' || name.length > maxNameChars) usage('--session: not a name');
  return name;
}

function purposeOf(given: ArgumentsCamelCase<Arguments>): Purpose {
  const program = programOf(given);
  if (program !== null || given.N) {
    if (isDesktop(given)) usage('a command, -s, --shell and -N exclude what is for desktops');
    return program === null ? { is: 'forward' } : { is: 'program', program };
  }
  const chosen = [
    given.list,
    given.listen !== undefined,
    given.screenshot !== undefined,
    given.web,
  ];
  if (chosen.filter(Boolean).length > 1)
    usage('--list, --listen, --screenshot and --web exclude each other');
  if (!given.web && (given['web-port'] !== undefined || given.viewers !== undefined || !given.open))
    usage('--web-port, --viewers and --no-open go with --web');
  if (given.json && !given.list) usage('--json goes with --list');
  if (given.wait !== undefined && given.screenshot === undefined) {
    usage('--wait goes with --screenshot');
  }
  const link = linkOf(given);
  if (link !== undefined && chosen.some(Boolean)) {
    usage('--protocol nx excludes --list, --listen, --screenshot and --web');
  }
  if (given.list) return { is: 'list', isJson: given.json };
  if (given.listen !== undefined) {
    return { is: 'listen', port: number(given.listen, '--listen', 65535) };
  }
  if (given.screenshot !== undefined) {
    // `start` prints a line with one; whoever appends another means that.
    const file = [given.screenshot].flat().at(-1) ?? '';
    if (file === '') usage('--screenshot: a file name is expected');
    const waitMs = given.wait === undefined ? 0 : number(given.wait, '--wait', maxWaitMs);
    return { is: 'screenshot', path: file, waitMs };
  }
  if (link !== undefined) return { is: 'nx', link };
  return given.web ? webPurpose(given) : { is: 'view' };
}

/** Undefined: not by NX. */
function linkOf(given: ArgumentsCamelCase<Arguments>): string | undefined {
  const protocol = single(given.protocol, '--protocol') ?? 'rfb';
  const link = single(given.link, '--link');
  if (protocol !== 'rfb' && protocol !== 'nx') usage('--protocol: rfb or nx is expected');
  if (protocol === 'rfb' && link !== undefined) usage('--link goes with --protocol nx');
  if (link !== undefined && !nxLinks.includes(link)) {
    usage(`--link: one of ${nxLinks.join(', ')} is expected`);
  }
  return protocol === 'nx' ? (link ?? 'lan') : undefined;
}

function webPurpose(given: ArgumentsCamelCase<Arguments>): Purpose {
  const { 'web-port': port = '0', viewers = '1', open } = given;
  const count = number(viewers, '--viewers', maxViewers);
  if (count === 0) usage(`--viewers: a number from 1 to ${maxViewers} is expected`);
  return { is: 'web', port: number(port, '--web-port', 65535), viewers: count, isOpened: open };
}

function isDesktop(given: Arguments): boolean {
  const { list, json, web, listen, screenshot, session, geometry, protocol, link } = given;
  return (
    list ||
    json ||
    web ||
    [listen, screenshot, session, geometry, protocol, link].some((each) => each !== undefined)
  );
}

/** The last of several wins for none of these: two ports are a mistake. */
function single(value: string | readonly string[] | undefined, name: string): string | undefined {
  if (Array.isArray(value)) usage(`${name} is given more than once`);
  return value as string | undefined;
}

function number(text: string | readonly string[], name: string, max: number): number {
  const value = typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= max)) usage(`${name}: a number from 0 to ${max} is expected`);
  return value;
}

function usage(text: string): never {
  throw new ClientFailure('usage', text);
}
