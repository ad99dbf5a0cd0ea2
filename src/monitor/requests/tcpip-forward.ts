/**
 * `tcpip-forward` (RFC 4254 §7.1): the leader listens as the user, where GatewayPorts says; the worker
 * that holds the connection accepts. Runs in: monitor.
 */
import { listenOn } from '../../../pam/leader-protocol.ts';
import { bindPlace, listenRefusalLine, mayListen } from '../../policy/permit-listen.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { forwardingLogin } from '../forwarding-login.ts';
import { TcpipForward } from '../link.ts';
import { makeListener } from '../listeners.ts';
import { type AnyRow, row } from '../request-table.ts';

const administrativelyProhibited = 1;
const largestPort = 65535;
const familyNumbers = { any: 0, inet: 4, inet6: 6 } as const;

export function tcpipForward(): AnyRow {
  return row({
    schema: TcpipForward,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { host, port }) {
      const { grant, account, leader } = await forwardingLogin(connection);
      const verdict = mayListen(grant, account.uid, host, port);
      if (!verdict.allowed || port > largestPort) {
        connection.log.info(listenRefusalLine(connection.endpoints, host, port), {
          event: 'forwarding.refused',
          target: host,
          targetPort: port,
        });
        throw new CallFailure(administrativelyProhibited, 'refused');
      }
      const place = bindPlace(grant.gatewayPorts, host);
      const made = await makeListener(connection, () =>
        leader.listenTcp({
          where: listenOn[place.is],
          address: place.is === 'address' ? place.address : '',
          port,
          family: familyNumbers[grant.addressFamily],
        }),
      );
      if (made.is === 'refused') {
        connection.log.error(made.reason);
        connection.log.error(`cannot listen to port: ${port}`);
        throw new CallFailure(administrativelyProhibited, 'refused');
      }
      const { listener, port: actual, descriptors } = made;
      return { values: { listener, port: actual }, descriptors };
    },
  });
}
