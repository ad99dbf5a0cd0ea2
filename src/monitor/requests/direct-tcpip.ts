/**
 * `direct-tcpip` (RFC 4254 §7.2): to a host, by the leader as the user, and to the reserved name of
 * the user's desktop. Both obey AllowTcpForwarding, PermitOpen and the key. Runs in: monitor.
 */
import type { LeaderClient } from '../../../pam/leader-client.ts';
import { forwardConnectMs } from '../../base/limits.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { mayOpen, openRefusalLine } from '../../policy/permit-open.ts';
import type { Connection } from '../connection.ts';
import { nologinText } from '../greeting.ts';
import { DirectTcpip } from '../link.ts';
import { forwardingLogin } from '../forwarding-login.ts';
import { type Answer, type AnyRow, row } from '../request-table.ts';
import { mayOpenDesktop } from '../session-plan.ts';

export const desktopHost = 'rfb.sshdesk';
export const desktopPort = 5900;
const administrativelyProhibited = 1;
const connectFailed = 2;

const familyNumbers = { any: 0, inet: 4, inet6: 6 } as const;

type Reply = (typeof DirectTcpip)['reply'];

export function directTcpip(): AnyRow {
  return row({
    schema: DirectTcpip,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { host, port, originAddress, originPort }) {
      const login = await forwardingLogin(connection);
      const open = mayOpen(login.grant, host, port);
      if (!open.allowed) {
        const { remoteAddress, remotePort } = connection.endpoints;
        connection.log.info(
          openRefusalLine(open.reason, {
            host,
            port,
            originAddress,
            originPort,
            remoteAddress,
            remotePort,
          }),
          { event: 'forwarding.refused', target: host, targetPort: port, reason: open.reason },
        );
        throw new CallFailure(administrativelyProhibited, 'open failed');
      }
      if (host !== desktopHost || port !== desktopPort) {
        const family = familyNumbers[login.grant.addressFamily];
        return connectTo(login.leader, connection, host, port, family);
      }
      const desktop = mayOpenDesktop(login);
      if (!desktop.allowed) {
        connection.log.info(`refused ${host}: ${desktop.detail}`);
        throw new CallFailure(administrativelyProhibited, 'open failed');
      }
      if ((await nologinText(login, connection.log)) !== undefined) {
        throw new CallFailure(administrativelyProhibited, 'open failed');
      }
      return desktopOf(connection);
    },
  });
}

function desktopOf(connection: Connection): Answer<Reply> {
  connection.mayReachDesktopDirectly = true;
  return { values: { internalName: 'rfb' } };
}

/** The client is told what the resolver or connect(2) says, as sshd tells it. */
async function connectTo(
  leader: LeaderClient,
  { log }: Connection,
  host: string,
  port: number,
  family: 0 | 4 | 6,
): Promise<Answer<Reply>> {
  let outcome: Awaited<ReturnType<LeaderClient['connectTcp']>>;
  try {
    outcome = await leader.connectTcp(host, port, family, forwardConnectMs);
  } catch (error) {
    if (error instanceof CallFailure) {
      // The leader could not even try: too many at once, or no descriptors.
      log.error(`connect_to ${host} port ${port}: ${error.text}`);
      throw new CallFailure(connectFailed, 'open failed');
    }
    throw error;
  }
  switch (outcome.is) {
    case 'connected':
      return { values: { internalName: '' }, descriptors: [outcome.descriptor] };
    case 'unknown':
      log.error(`connect_to ${host}: unknown host (${outcome.reason})`);
      break;
    default:
      log.error(`connect_to ${host} port ${port}: failed.`);
  }
  throw new CallFailure(connectFailed, outcome.reason);
}
