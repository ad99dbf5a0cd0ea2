/**
 * `direct-tcpip` (RFC 4254 §7.2): only the reserved name of the user's desktop for now; it obeys
 * AllowTcpForwarding and permitopen besides what opening a desktop asks for. Runs in: monitor.
 */
import type { Log } from '../../audit/log.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { mayOpen } from '../../policy/permit-open.ts';
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
    handle(connection, { host, port }) {
      const login = loginOf(connection);
      const open = mayOpen(login.grant, host, port);
      if (!open.allowed || login.mustChangePassword || host !== desktopHost || port !== desktopPort) {
        const why = open.allowed ? 'not supported' : open.detail;
        log.info(
          `refused local port forward: originator ${connection.from}, target ${host} port ${port}: ${why}`,
        );
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
