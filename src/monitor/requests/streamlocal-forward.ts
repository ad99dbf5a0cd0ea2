/**
 * `streamlocal-forward@openssh.com` (OpenSSH PROTOCOL §2.4): the leader makes the Unix socket as the
 * user, and removes it when the listener ends. Runs in: monitor.
 */
import { mayListenOnSocket } from '../../policy/permit-listen.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { forwardingLogin } from '../forwarding-login.ts';
import { StreamLocalForward } from '../link.ts';
import { makeListener } from '../listeners.ts';
import { type AnyRow, row } from '../request-table.ts';
import { placeToAvoid } from '../place-to-avoid.ts';

const administrativelyProhibited = 1;

/** runtimeDirectory: as for direct-streamlocal; nor is a desktop's socket replaced by this way. */
export function streamLocalForward(runtimeDirectory: string): AnyRow {
  return row({
    schema: StreamLocalForward,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { path }) {
      const login = await forwardingLogin(connection);
      const { grant, leader } = login;
      const notBelow = placeToAvoid(login, runtimeDirectory);
      if (!mayListenOnSocket(grant).allowed) {
        connection.log.info(
          `Received request from ${connection.from} to remote forward to path "${path}", but the request was denied.`,
          { event: 'forwarding.refused', target: path },
        );
        throw new CallFailure(administrativelyProhibited, 'refused');
      }
      const made = await makeListener(connection, () =>
        leader.listenUnix(path, grant.streamLocalBindMask, grant.streamLocalBindUnlink, notBelow),
      );
      if (made.is === 'refused') {
        connection.log.error(`streamlocal-forward: ${made.reason}`);
        throw new CallFailure(administrativelyProhibited, 'refused');
      }
      return { values: { listener: made.listener }, descriptors: made.descriptors };
    },
  });
}
