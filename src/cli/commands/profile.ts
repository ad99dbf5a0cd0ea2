/** `sshdesk profile`: hosts and options of `connect` under a name. Each is a file of ../profile. Runs in: user. */
import type { CommandModule } from 'yargs';
import { profileCommands } from '../profile/index.ts';

export const profile: CommandModule<object, object> = {
  command: 'profile',
  describe: 'keep hosts and options of connect under names',
  builder: (yargs) => {
    let parser = yargs;
    for (const command of profileCommands) parser = parser.command(command);
    return parser.demandCommand(1, 'profile: which command?').strict();
  },
  // Without one of its commands yargs has failed before.
  handler: () => undefined,
};
