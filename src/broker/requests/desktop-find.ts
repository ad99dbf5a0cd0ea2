/** One of the user's own desktops by id or name; the default one is started. Runs in: monitor. */
import { type AnyRow, row } from '../../monitor/request-table.ts';
import { DesktopFind } from '../link.ts';
import { type DesktopRequestContext, ownerFor, valueOf, wireDesktop } from './context.ts';

export function desktopFind({ broker }: DesktopRequestContext): AnyRow {
  return row({
    schema: DesktopFind,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { session, which, create }) {
      const owner = ownerFor(connection, session);
      const found =
        create === 1
          ? await broker.findOrStart(owner, which, connection.number)
          : await broker.find(owner, which);
      return { values: { desktop: wireDesktop(valueOf(found)) } };
    },
  });
}
