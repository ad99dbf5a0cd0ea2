/** The user's own live desktops. Runs in: monitor. */
import { type AnyRow, row } from '../../monitor/request-table.ts';
import { DesktopList } from '../link.ts';
import { type DesktopRequestContext, ownerFor, wireDesktop } from './context.ts';

export function desktopList({ broker }: DesktopRequestContext): AnyRow {
  return row({
    schema: DesktopList,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    handle(connection, { session }) {
      const { uid } = ownerFor(connection, session);
      return { values: { desktops: broker.list(uid).map(wireDesktop) } };
    },
  });
}
