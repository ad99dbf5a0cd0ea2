/**
 * `streamlocal-forward@openssh.com` (OpenSSH PROTOCOL §2.4): the leader makes the Unix socket as the
 * user, and removes it when the listener ends. Runs in: monitor.
 */
import type { Log } from '../../audit/log.ts';
import { mayListenOnSocket } from '../../policy/permit-listen.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { forwardingLogin } from '../forwarding-login.ts';
import { StreamLocalForward } from '../link.ts';
import { makeListener } from '../listeners.ts';
import { type AnyRow, row } from '../request-table.ts';

const administrativelyProhibited = 1;

export function streamLocalForward(log: Log): AnyRow {
  return row({
    schema: StreamLocalForward,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { path }) {
      const { grant, leader } = await forwardingLogin(connection);
      if (!mayListenOnSocket(grant).allowed) {
        log.info(
          `Received request from ${connection.from} to remote forward to path "${path}", but the request was denied.`,
        );
        throw new CallFailure(administrativelyProhibited, 'refused');
      }
      const made = await makeListener(connection, log, () =>
        leader.listenUnix(path, grant.streamLocalBindMask, grant.streamLocalBindUnlink),
      );
      if (made.is === 'refused') {
        log.error(`streamlocal-forward: ${made.reason}`);
        throw new CallFailure(administrativelyProhibited, 'refused');
      }
      return { values: { listener: made.listener }, descriptors: made.descriptors };
    },
  });
}
