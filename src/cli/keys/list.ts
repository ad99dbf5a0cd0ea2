/**
 * `sshdesk keys list --pkcs11 [MODULE]`: the keys and certificates of smart cards, as far as they are
 * visible without a PIN. What is done is in card-list.ts. Runs in: user.
 */
import type { CommandModule } from 'yargs';

export interface ListArguments {
  readonly pkcs11: string | readonly string[] | undefined;
  readonly json: boolean;
  readonly public: boolean;
  readonly login: boolean;
}

const usageExitCode = 2;

export const list: CommandModule<object, ListArguments> = {
  command: 'list',
  describe: 'list the keys on smart cards',
  builder: (yargs) =>
    yargs
      .option('pkcs11', {
        type: 'string',
        describe: 'of the cards behind this PKCS#11 module; without one: behind all that are known',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one array, for programs' })
      .option('public', {
        type: 'boolean',
        default: false,
        describe: 'lines for authorized_keys, and nothing else',
      })
      .option('login', {
        type: 'boolean',
        default: false,
        describe: 'ask for the PIN first, for cards that hide their keys without it',
      }),
  handler: async (given) => {
    const wrong = mistakeIn(given);
    if (wrong !== undefined) {
      process.stderr.write(`sshdesk keys list: ${wrong}\n`);
      process.exitCode = usageExitCode;
      return;
    }
    const { listCards } = await import('./card-list.ts');
    process.exitCode = await listCards({
      module: String(given.pkcs11),
      isJson: given.json,
      isPublic: given.public,
      isLogin: given.login,
    });
  },
};

function mistakeIn({ pkcs11, json, public: isPublic }: ListArguments): string | undefined {
  if (pkcs11 === undefined) return 'of what? --pkcs11 lists smart cards';
  if (typeof pkcs11 !== 'string') return '--pkcs11 is given more than once';
  return json && isPublic ? '--json and --public exclude each other' : undefined;
}
