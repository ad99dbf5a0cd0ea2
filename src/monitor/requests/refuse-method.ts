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
    async handle(connection, { method }) {
      const authentication = authenticationOf(connection);
      await authentication.abandonConversation();
      return { values: authentication.refuse(method, '') };
    },
  });
}
