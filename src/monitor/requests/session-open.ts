/** `session-open`: one of MaxSessions (sshd_config(5)). Runs in: monitor. */
import { CallFailure } from '../../ssh/wire/peer.ts';
import { loginOf } from '../login.ts';
import { SessionOpen } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

/** RFC 4254 §5.1 SSH_OPEN_CONNECT_FAILED; sshd answers MaxSessions so. */
const connectFailed = 2;

export function sessionOpen(): AnyRow {
  return row({
    schema: SessionOpen,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    handle(connection) {
      if (connection.sessions.size >= loginOf(connection).grant.maxSessions) {
        throw new CallFailure(connectFailed, 'open failed');
      }
      return { values: { session: connection.openSession().number } };
    },
  });
}
