/** `sshdesk profile add NAME [user@]host[:port] [options of connect]`. Runs in: user. */
import { resolve } from 'node:path';
import type { Argv, ArgumentsCamelCase, CommandModule } from 'yargs';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { terminalColumns } from '../logins/table.ts';
import { storedOptions } from './options.ts';
import type { OptionValue, StoredOption } from './options.ts';
import { checkProfile } from './profile.ts';
import type { Profile } from './profile.ts';
import { runProfile } from './run.ts';
import { drawProfile } from './show-table.ts';

interface Arguments {
  readonly name: string;
  readonly host: string;
  readonly replace: boolean;
}

export const add: CommandModule<object, Arguments> = {
  command: 'add <name> <host>',
  describe: 'keep a host and options of connect under a name',
  builder: (yargs) => options(yargs),
  handler: (given) =>
    runProfile(async (store) => {
      const profile = profileOf(given);
      const path = await store.write(profile, given.replace);
      process.stdout.write(drawProfile(profile, terminalColumns()));
      process.stdout.write(`Stored in ${path}; sshdesk connect --profile ${profile.name}\n`);
      return 0;
    }),
};

function options(yargs: Argv<object>): Argv<Arguments> {
  let parser: Argv<object> = yargs
    .positional('name', { type: 'string', demandOption: true, describe: 'name of the profile' })
    .positional('host', { type: 'string', demandOption: true, describe: '[user@]host[:port]' })
    .option('replace', {
      type: 'boolean',
      default: false,
      describe: 'take the place of a profile of this name',
    });
  for (const row of storedOptions) parser = parser.option(row.name, definition(row));
  return parser as Argv<Arguments>;
}

function definition(row: StoredOption) {
  const { kind, describe, default: ofItself = false } = row;
  if (kind === 'flag') return { type: 'boolean', default: ofItself, describe } as const;
  if (kind === 'optional') return { type: 'string', describe } as const;
  const text = { type: 'string', requiresArg: true, nargs: 1, describe } as const;
  return kind === 'list' ? ({ ...text, array: true } as const) : text;
}

/** Throws ClientFailure `usage`. */
function profileOf(given: ArgumentsCamelCase<Arguments>): Profile {
  const kept: Record<string, OptionValue> = {};
  for (const row of storedOptions) {
    const value = valueOf(row, given[row.name]);
    if (value !== undefined) kept[row.name] = value;
  }
  const profile: Profile = { name: given.name, host: given.host, options: kept };
  checkProfile(profile);
  return profile;
}

function valueOf(row: StoredOption, value: unknown): OptionValue | undefined {
  if (row.kind === 'flag') return value === (row.default ?? false) ? undefined : value === true;
  if (value === undefined) return undefined;
  if (row.kind === 'list') return [value].flat().map((one) => located(row, String(one)));
  if (typeof value !== 'string') {
    throw new ClientFailure('usage', `${row.name} is given more than once`);
  }
  return located(row, value);
}

/** `~`, tokens of ssh_config(5), `none` and nothing at all are for `connect` to read. */
function located(row: StoredOption, text: string): string {
  const isPlain = row.isPath === true && text !== '' && text !== 'none' && !/^[~%$]/.test(text);
  return isPlain ? resolve(text) : text;
}
