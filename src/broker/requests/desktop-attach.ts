/** A stream to the display of one of the user's own desktops, as a descriptor. Runs in: monitor. */
import { type AnyRow, row } from '../../monitor/request-table.ts';
import { DesktopAttach } from '../link.ts';
import { type DesktopRequestContext, openerOf, ownerFor, valueOf } from './context.ts';

export function desktopAttach({ broker }: DesktopRequestContext): AnyRow {
  return row({
    schema: DesktopAttach,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { session, id }) {
      const owner = ownerFor(connection, session);
      const attached = valueOf(await broker.attach(owner, id, openerOf(connection)));
      return { values: { viewer: attached.viewer }, descriptors: [attached.descriptor] };
    },
  });
}
