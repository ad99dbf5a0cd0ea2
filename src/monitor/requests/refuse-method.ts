/** `refuse-method`: a method that is not known or not offered, or `none` after the first request. */
import { RefuseMethod } from '../link.ts';
import { authenticationOf } from '../authentication.ts';
import { type AnyRow, row } from '../request-table.ts';

/** A name of RFC 4250 §4.6.1; anything else could pass for the rest of a log line. */
const methodName = /^[\x21-\x2b\x2d-\x7e]{1,64}$/;

export function refuseMethod(): AnyRow {
  return row({
    schema: RefuseMethod,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { method }) {
      const authentication = authenticationOf(connection);
      const over = await authentication.beginAttempt();
      if (over !== undefined) {
        return { values: over };
      }
      return {
        values: authentication.refuse(
          methodName.test(method) ? method : 'unknown',
          undefined,
          false,
        ),
      };
    },
  });
}
