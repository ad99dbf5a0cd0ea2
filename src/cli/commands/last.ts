/**
 * `sshdesk last`: logins that ended, one's own, as root everybody's. Exit status: 0, 1 refused or not
 * recorded, 2 usage, 255 no daemon. Runs in: user.
 */
import type { CommandModule } from 'yargs';
import type { LoginRequest } from '../../broker/control.ts';
import { mostLogins } from '../../broker/control-logins.ts';
import { showLogins } from '../logins/ask.ts';
import { drawLast } from '../logins/show.ts';
import { sinceMs } from '../logins/since.ts';
import { terminalColumns } from '../logins/table.ts';

interface Arguments {
  readonly n: string | readonly string[] | undefined;
  readonly user: string | undefined;
  readonly since: string | undefined;
  readonly json: boolean;
  readonly control: string | undefined;
}

const usageFailed = 2;

/** Text: what is wrong. */
function requestFrom({ n, user, since }: Arguments): LoginRequest | string {
  const count = n === undefined ? mostLogins : /^\d{1,5}$/.test(String(n)) ? Number(n) : 0;
  if (count < 1 || count > mostLogins) {
    return `-n ${String(n)}: a number from 1 to ${mostLogins} is expected`;
  }
  const from = since === undefined ? 0 : sinceMs(String(since), Date.now());
  if (from === undefined) {
    return `--since ${since}: expected is 30m, 2h, 3d, 1w, or a date such as 2026-11-21 or 2026-11-21T10:28Z`;
  }
  return { action: 'last', count, sinceMs: from, ...(user === undefined ? {} : { user }) };
}

export const last: CommandModule<object, Arguments> = {
  command: 'last',
  describe: 'logins that ended: from where, from when to when, by which factors, and why',
  builder: (yargs) =>
    yargs
      .option('n', { type: 'string', requiresArg: true, describe: 'so many, the newest' })
      .option('user', { type: 'string', requiresArg: true, describe: 'of this account' })
      .option('since', {
        type: 'string',
        requiresArg: true,
        describe: 'begun since then: 2h, 3d, or a date in UTC',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one array, for programs' })
      .option('control', { type: 'string', describe: 'socket of the daemon' }),
  handler: async (values) => {
    const request = requestFrom(values);
    if (typeof request === 'string') {
      process.stderr.write(`sshdesk last: ${request}\n`);
      process.exitCode = usageFailed;
      return;
    }
    process.exitCode = await showLogins(request, values, (reply) =>
      reply.is === 'last' ? drawLast(reply.logins, terminalColumns()) : undefined,
    );
  },
};
