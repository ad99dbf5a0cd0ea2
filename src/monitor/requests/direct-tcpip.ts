/**
 * `direct-tcpip` (RFC 4254 §7.2): only the reserved name of the user's desktop for now; it obeys
 * AllowTcpForwarding and permitopen besides what opening a desktop asks for. Runs in: monitor.
 */
import type { Log } from '../../audit/log.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { mayOpen, openRefusalLine } from '../../policy/permit-open.ts';
import { DirectTcpip } from '../link.ts';
import { loginOf } from '../login.ts';
import { type AnyRow, row } from '../request-table.ts';
import { mayOpenDesktop } from '../session-plan.ts';

export const desktopHost = 'rfb.sshdesk';
export const desktopPort = 5900;
const administrativelyProhibited = 1;

export function directTcpip(log: Log): AnyRow {
  return row({
    schema: DirectTcpip,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { host, port, originAddress, originPort }) {
      const login = loginOf(connection);
      await login.established;
      const open = mayOpen(login.grant, host, port);
      if (!open.allowed) {
        const { remoteAddress, remotePort } = connection.endpoints;
        log.info(
          openRefusalLine(open.reason, {
            host,
            port,
            originAddress,
            originPort,
            remoteAddress,
            remotePort,
          }),
        );
        throw new CallFailure(administrativelyProhibited, 'open failed');
      }
      if (host !== desktopHost || port !== desktopPort) {
        log.info(`direct-tcpip to ${host} port ${port} for ${login.user}: not supported yet`);
        throw new CallFailure(administrativelyProhibited, 'open failed');
      }
      const desktop = mayOpenDesktop(login);
      if (!desktop.allowed) {
        log.info(`refused ${host}: ${desktop.detail}`);
        throw new CallFailure(administrativelyProhibited, 'open failed');
      }
      connection.mayReachDesktopDirectly = true;
      return { values: { internalName: 'rfb' } };
    },
  });
}
