/** `refuse-method`: a method that is not known or not offered, or `none` after the first request. */
import { RefuseMethod } from '../link.ts';
import { authenticationOf } from '../authentication.ts';
import { type AnyRow, row } from '../request-table.ts';

export function refuseMethod(): AnyRow {
  return row({
    schema: RefuseMethod,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection) {
      const authentication = authenticationOf(connection);
      const over = await authentication.beginAttempt();
      if (over !== undefined) {
        return { values: over };
      }
      // As in sshd it counts, and the log has no line for it.
      return { values: authentication.refuse('', undefined, false) };
    },
  });
}
