/** A new desktop of the user. Runs in: monitor. */
import { type AnyRow, row } from '../../monitor/request-table.ts';
import { DesktopStart } from '../link.ts';
import { type DesktopRequestContext, ownerFor, valueOf, wireDesktop } from './context.ts';

export function desktopStart({ broker }: DesktopRequestContext): AnyRow {
  return row({
    schema: DesktopStart,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { session, name, engine, type, width, height, depth }) {
      const owner = ownerFor(connection, session);
      const order = { name, protocol: engine, type, width, height, depth };
      const desktop = valueOf(await broker.start(owner, order, connection.number));
      return { values: { desktop: wireDesktop(desktop) } };
    },
  });
}
