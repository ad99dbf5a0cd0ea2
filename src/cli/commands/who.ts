/**
 * `sshdesk who`: one's own logins on this machine, as root everybody's. Exit status: 0, 1 refused,
 * 255 no daemon. Runs in: user.
 */
import type { CommandModule } from 'yargs';
import { showLogins } from '../logins/ask.ts';
import { drawWho } from '../logins/show.ts';
import { terminalColumns } from '../logins/table.ts';

interface Arguments {
  readonly json: boolean;
  readonly control: string | undefined;
}

export const who: CommandModule<object, Arguments> = {
  command: 'who',
  describe: 'who is logged in, from where, by which factors, with what open',
  builder: (yargs) =>
    yargs
      .option('json', { type: 'boolean', default: false, describe: 'one array, for programs' })
      .option('control', { type: 'string', describe: 'socket of the daemon' }),
  handler: async (values) => {
    process.exitCode = await showLogins({ action: 'who' }, values, (reply) =>
      reply.is === 'who' ? drawWho(reply.logins, terminalColumns()) : undefined,
    );
  },
};
