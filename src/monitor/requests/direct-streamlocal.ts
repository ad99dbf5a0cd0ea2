/**
 * `direct-streamlocal@openssh.com` (OpenSSH PROTOCOL §2.4): to a Unix socket, by the leader as the
 * user. Runs in: monitor.
 */
import type { Log } from '../../audit/log.ts';
import { mayOpenSocket, socketRefusalLine } from '../../policy/permit-open.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { forwardingLogin } from '../forwarding-login.ts';
import { DirectStreamLocal } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

/** sshd answers a refusal so too. */
const connectFailed = 2;

export function directStreamLocal(log: Log): AnyRow {
  return row({
    schema: DirectStreamLocal,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { path, originAddress, originPort }) {
      const { grant, leader } = await forwardingLogin(connection);
      const open = mayOpenSocket(grant, path);
      if (!open.allowed) {
        log.info(socketRefusalLine(open.reason, { originAddress, originPort, path }));
        throw new CallFailure(connectFailed, 'open failed');
      }
      try {
        return { values: {}, descriptors: [await leader.connectUnix(path)] };
      } catch (error) {
        if (error instanceof CallFailure) {
          log.error(`connect to ${path} failed: ${error.text}`);
          throw new CallFailure(connectFailed, 'open failed');
        }
        throw error;
      }
    },
  });
}
