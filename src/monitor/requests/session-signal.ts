/** `session-signal` (RFC 4254 §6.9): sshd's rule, never to a forced command. Runs in: monitor. */
import { SessionSignal } from '../link.ts';
import { loginOf, sessionOf } from '../login.ts';
import { type AnyRow, row } from '../request-table.ts';
import { signalNumber } from '../../base/signals.ts';

export function sessionSignal(): AnyRow {
  return row({
    schema: SessionSignal,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, values) {
      const session = sessionOf(connection, values.session);
      const number = signalNumber(values.signalName);
      if (number === undefined || session.handle === undefined || session.wasForced) {
        return { values: { allowed: false } };
      }
      await loginOf(connection).leader.signal(session.handle, number);
      return { values: { allowed: true } };
    },
  });
}
