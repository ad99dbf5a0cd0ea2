/** `--status`: whether a daemon serves, and answers for nx. Runs in: launcher. */
import { askDesktops } from './ask.ts';
import { done, type NxOrder } from './order.ts';

export const status: NxOrder = {
  name: 'status',
  value: 'none',
  describe: 'whether the daemon runs, and by its configuration answers for the account nx',
  async run({ config }) {
    const answer = await askDesktops('list');
    const isServing = typeof answer !== 'string' && config.nxLegacyAccount;
    return done(`NX> 110 NX Server is ${isServing ? 'running' : 'stopped'}`);
  },
};
