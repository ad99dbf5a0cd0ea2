/** `sshdesk profile show NAME`. Runs in: user. */
import type { CommandModule } from 'yargs';
import { terminalColumns } from '../logins/table.ts';
import { runProfile } from './run.ts';
import { drawProfile } from './show-table.ts';

interface Arguments {
  readonly name: string;
  readonly json: boolean;
}

export const show: CommandModule<object, Arguments> = {
  command: 'show <name>',
  describe: 'show what a profile says',
  builder: (yargs) =>
    yargs
      .positional('name', { type: 'string', demandOption: true, describe: 'name of the profile' })
      .option('json', { type: 'boolean', default: false, describe: 'one object, for programs' }),
  handler: ({ name, json }) =>
    runProfile(async (store) => {
      const profile = await store.read(name);
      process.stdout.write(
        json
          ? `${JSON.stringify(profile, undefined, 2)}\n`
          : drawProfile(profile, terminalColumns()),
      );
      return 0;
    }),
};
