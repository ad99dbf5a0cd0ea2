/** `sshdesk subsystem NAME`: desktops under another sshd (`Subsystem` of sshd_config). Runs in: user. */
import type { CommandModule } from 'yargs';
import { runSubsystem } from '../subsystem/run.ts';

interface Arguments {
  readonly name: string;
}

export const subsystem: CommandModule<object, Arguments> = {
  command: 'subsystem <name>',
  describe: 'desktops under another sshd: the command of its `Subsystem display` or `rfb`',
  builder: (yargs) =>
    yargs.positional('name', {
      type: 'string',
      choices: ['display', 'rfb'],
      demandOption: true,
      describe: 'which one',
    }),
  handler: async ({ name }) => {
    // Links to daemons and leaders that are still open keep nothing alive.
    process.exit(await runSubsystem(name));
  },
};
