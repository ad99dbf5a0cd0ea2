/** `--history`: desktops that are there and those that ended. Runs in: launcher. */
import type { PastDesktop } from '../../broker/control.ts';
import { addressOf, askDesktops, chosen } from './ask.ts';
import { done, type NxOrder, refused } from './order.ts';

const statuses: Readonly<Record<string, string>> = {
  running: 'Running',
  detached: 'Suspended',
  failed: 'Failed',
  ended: 'Finished',
};

export const history: NxOrder = {
  name: 'history',
  value: 'optional',
  describe: 'the desktops that were there too, of all or of a user, :display or id',
  async run({ value }) {
    if (value === 'clear') {
      return refused('ERROR: the record of desktops is not taken away; it ends by its age');
    }
    const now = await askDesktops('list');
    const past = await askDesktops('history');
    if (typeof now === 'string' || typeof past === 'string') {
      return refused(`ERROR: ${typeof now === 'string' ? now : String(past)}`);
    }
    const rows = chosen([...now, ...past], value === '' ? '*' : value).map((desktop) => {
      const { display, owner, id, startedAt, state } = desktop;
      const { endedAt } = desktop as Partial<PastDesktop>;
      const status = statuses[state] ?? (endedAt === undefined ? 'Running' : 'Finished');
      return [display, owner, addressOf(desktop), id, startedAt, status].join('\t');
    });
    return done(
      'NX> 127 Session list:',
      '',
      'Display Username        Remote IP       Session ID                       Date                Status',
      '------- --------------- --------------- -------------------------------- ------------------- -----------',
      '',
      ...rows,
      '',
    );
  },
};
