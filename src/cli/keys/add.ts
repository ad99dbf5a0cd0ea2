/**
 * `sshdesk keys add [USER]`: a key into that user's authorized_keys. What is done is in add-keys.ts.
 * Runs in: user, root.
 */
import path from 'node:path';
import type { CommandModule } from 'yargs';

export interface AddArguments {
  readonly user: string | undefined;
  readonly file: string | readonly string[] | undefined;
  readonly certificate: string | readonly string[] | undefined;
  readonly pkcs11: string | readonly string[] | undefined;
  readonly key: string | readonly string[] | undefined;
  readonly options: string | readonly string[] | undefined;
  readonly login: boolean;
  readonly json: boolean;
}

const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;
const onceEach = ['file', 'certificate', 'pkcs11', 'key', 'options'] as const;

export const add: CommandModule<object, AddArguments> = {
  command: 'add [user]',
  describe: 'add a key to authorized_keys, as its owner',
  builder: (yargs) =>
    yargs
      .positional('user', {
        type: 'string',
        describe: 'whose; root for anybody, others for themselves',
      })
      .option('file', { type: 'string', describe: 'the public keys of this file' })
      .option('certificate', {
        type: 'string',
        describe: 'the key of this X.509 certificate (PEM or DER)',
      })
      .option('pkcs11', {
        type: 'string',
        describe: 'a key of the cards behind this module; without one: behind all that are known',
      })
      .option('key', {
        type: 'string',
        describe: 'which key of the cards: its label, its id or its fingerprint',
      })
      .option('login', {
        type: 'boolean',
        default: false,
        describe: 'ask for the PIN first, for cards that hide their keys without it',
      })
      .option('options', {
        type: 'string',
        describe: 'what stands in front of the key, such as restrict,pty',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one array, for programs' }),
  handler: async (given) => {
    const wrong = mistakeIn(given);
    if (wrong !== undefined) {
      process.stderr.write(`sshdesk keys add: ${wrong}\n`);
      process.exitCode = exitCodes.usage;
      return;
    }
    process.exitCode = await run(given);
  },
};

function mistakeIn(given: AddArguments): string | undefined {
  const twice = onceEach.find((name) => Array.isArray(given[name]));
  if (twice !== undefined) return `--${twice} is given more than once`;
  const sources = [given.file, given.certificate, given.pkcs11].filter((one) => one !== undefined);
  if (sources.length !== 1) return 'which key? one of --file, --certificate and --pkcs11 says so';
  const isCardOnly = given.key !== undefined || given.login;
  return isCardOnly && given.pkcs11 === undefined
    ? '--key and --login are for --pkcs11'
    : undefined;
}

async function run(given: AddArguments): Promise<number> {
  const { ConfigError } = await import('../../base/errors.ts');
  const { Interrupted, Terminal } = await import('../connect/terminal.ts');
  const { checkOptions } = await import('../../../keys/authorized-keys-addition.ts');
  const { addKeys, describe, json, ownerOf } = await import('./add-keys.ts');
  const terminal = new Terminal(process.stderr);
  try {
    const user = ownerOf(given.user);
    const options = String(given.options ?? '');
    checkOptions(options);
    const added = await addKeys(user, await keysOf(given, terminal), options);
    process.stdout.write(given.json ? json(user, added) : describe(added));
    const { unreadBy } = await import('./read-by-daemon.ts');
    const unread = await unreadBy(user, path.join(user.home, '.ssh/authorized_keys'));
    if (unread !== undefined) terminal.line(`Warning: ${unread}`);
    const isAsWanted = added.lines.every(({ state }) => state !== 'different');
    return isAsWanted ? exitCodes.done : exitCodes.failed;
  } catch (error) {
    if (error instanceof Interrupted) return exitCodes.interrupted;
    if (!(error instanceof ConfigError)) throw error;
    terminal.line(`sshdesk keys add: ${error.detail}`);
    return exitCodes.failed;
  } finally {
    terminal.restore();
  }
}

async function keysOf(
  { file, certificate, pkcs11, key, login }: AddArguments,
  terminal: import('../connect/terminal.ts').Terminal,
) {
  const offered = await import('./offered-keys.ts');
  if (file !== undefined) return offered.keysOfFile(String(file));
  if (certificate !== undefined) return [offered.keyOfCertificate(String(certificate))];
  const wanted = key === undefined ? undefined : String(key);
  return [await offered.keyOfCard(String(pkcs11), wanted, login, terminal)];
}
