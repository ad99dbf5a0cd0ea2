/**
 * `close-forward`: a listener of remote forwarding ends before its connection does (RFC 4254 §7.1
 * cancel-tcpip-forward, and the same for Unix sockets). Runs in: monitor.
 */
import { MonitorRefusal } from '../../base/errors.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { CloseForward } from '../link.ts';
import { loginOf } from '../login.ts';
import { type AnyRow, row } from '../request-table.ts';

export function closeForward(): AnyRow {
  return row({
    schema: CloseForward,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { listener }) {
      const { leader } = loginOf(connection);
      if (!connection.listeners.delete(listener)) {
        throw new MonitorRefusal(`no listener ${listener} on this connection`);
      }
      try {
        await leader.closeListener(listener);
      } catch (error) {
        if (!(error instanceof CallFailure)) {
          throw error;
        }
        // It is deaf all the same; a socket's file goes at the end of the login.
        connection.log.error(`closing a listener: ${error.text}`);
      }
      return { values: {} };
    },
  });
}
