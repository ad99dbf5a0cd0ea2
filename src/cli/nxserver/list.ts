/** `--list`: the desktops that are there. Runs in: launcher. */
import { hostname } from 'node:os';
import { addressOf, askDesktops, chosen } from './ask.ts';
import { done, type NxOrder, refused } from './order.ts';

export const list: NxOrder = {
  name: 'list',
  value: 'optional',
  describe: 'the desktops, of all or of a user, :display or id',
  async run({ value }) {
    const desktops = await askDesktops('list');
    if (typeof desktops === 'string') {
      return refused(`ERROR: ${desktops}`);
    }
    const server = hostname().split('.', 1)[0] as string;
    const rows = chosen(desktops, value === '' ? '*' : value).map((desktop) =>
      [server, desktop.display, desktop.owner, addressOf(desktop), desktop.id].join('\t'),
    );
    return done(
      value === '' ? 'NX> 127 Sessions list:' : `NX> 127 Sessions list of user '${value}'`,
      '',
      'Server     Display Username        Remote IP       Session ID',
      '---------- ------- --------------- --------------- --------------------------------',
      '',
      ...rows,
      '',
    );
  },
};
