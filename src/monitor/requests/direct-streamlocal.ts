/**
 * `direct-streamlocal@openssh.com` (OpenSSH PROTOCOL §2.4): to a Unix socket, by the leader as the
 * user. Runs in: monitor.
 */
import { mayOpenSocket, socketRefusalLine } from '../../policy/permit-open.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { forwardingLogin } from '../forwarding-login.ts';
import { DirectStreamLocal } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';
import { placeToAvoid } from '../place-to-avoid.ts';

/** sshd answers a refusal so too. */
const connectFailed = 2;

/**
 * runtimeDirectory: where desktops have their sockets. Opening one counts as running a command, so
 * who may run none does not get to them by this way.
 */
export function directStreamLocal(runtimeDirectory: string): AnyRow {
  return row({
    schema: DirectStreamLocal,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { path, originAddress, originPort }) {
      const login = await forwardingLogin(connection);
      const { grant, leader } = login;
      const open = mayOpenSocket(grant, path);
      if (!open.allowed) {
        connection.log.info(socketRefusalLine(open.reason, { originAddress, originPort, path }), {
          event: 'forwarding.refused',
          target: path,
          reason: open.reason,
        });
        throw new CallFailure(connectFailed, 'open failed');
      }
      try {
        const notBelow = placeToAvoid(login, runtimeDirectory);
        return { values: {}, descriptors: [await leader.connectUnix(path, notBelow)] };
      } catch (error) {
        if (error instanceof CallFailure) {
          connection.log.error(`connect to ${path} failed: ${error.text}`);
          throw new CallFailure(connectFailed, 'open failed');
        }
        throw error;
      }
    },
  });
}
