/** `sshdesk profile list`. Runs in: user. */
import type { CommandModule } from 'yargs';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { printable } from '../connect/printable.ts';
import { terminalColumns } from '../logins/table.ts';
import type { Profile } from './profile.ts';
import { runProfile } from './run.ts';
import { drawProfiles } from './show-table.ts';

interface Arguments {
  readonly json: boolean;
}

export const list: CommandModule<object, Arguments> = {
  command: 'list',
  describe: 'list the profiles',
  builder: (yargs) =>
    yargs.option('json', { type: 'boolean', default: false, describe: 'one array, for programs' }),
  handler: ({ json }) =>
    runProfile(async (store) => {
      const profiles: Profile[] = [];
      let status = 0;
      for (const name of await store.names()) {
        try {
          profiles.push(await store.read(name));
        } catch (error) {
          if (!(error instanceof ClientFailure)) throw error;
          // One that is broken hides none of the others.
          process.stderr.write(`sshdesk profile: ${printable(error.detail)}\n`);
          status = 2;
        }
      }
      process.stdout.write(
        json
          ? `${JSON.stringify(profiles, undefined, 2)}\n`
          : drawProfiles(profiles, terminalColumns()),
      );
      return status;
    }),
};
