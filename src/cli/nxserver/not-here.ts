/** Options that administrators know and that are not here: each says what is in its place. Pure. */
import { type NxOrder, refused } from './order.ts';

function notHere(name: string, value: NxOrder['value'], instead: string): NxOrder {
  return {
    name,
    value,
    describe: `not here: ${instead}`,
    run: () => refused(`ERROR: --${name} is not here: ${instead}`),
  };
}

export const notHereOrders: readonly NxOrder[] = [
  notHere('start', 'none', 'say NXLegacyAccount yes in sshdesk_config and reload the daemon'),
  notHere('stop', 'none', 'say NXLegacyAccount no in sshdesk_config and reload the daemon'),
  notHere('restart', 'none', 'reload the daemon (SIGHUP)'),
  notHere('force-terminate', 'optional', 'use --terminate, which ends what does not end by itself'),
  notHere('send', 'optional', 'there is no message to a desktop yet'),
  notHere('broadcast', 'optional', 'there is no message to desktops yet'),
];
