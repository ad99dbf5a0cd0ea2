/** `sshdesk keys`: what is done with keys. Each is a file of ../keys. Runs in: user. */
import type { CommandModule } from 'yargs';
import { keysCommands } from '../keys/index.ts';

export const keys: CommandModule<object, object> = {
  command: 'keys',
  describe: 'list keys on smart cards, add keys to accounts',
  builder: (yargs) => {
    let parser = yargs;
    for (const command of keysCommands) parser = parser.command(command);
    return parser.demandCommand(1, 'keys: which command?').strict();
  },
  // Without one of its commands yargs has failed before.
  handler: () => undefined,
};
