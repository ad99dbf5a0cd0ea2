/** Ends the viewers of one of the user's own desktops. Runs in: monitor. */
import { type AnyRow, row } from '../../monitor/request-table.ts';
import { DesktopSuspend } from '../link.ts';
import { type DesktopRequestContext, ownerFor, valueOf } from './context.ts';

export function desktopSuspend({ broker }: DesktopRequestContext): AnyRow {
  return row({
    schema: DesktopSuspend,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    handle(connection, { session, id }) {
      const { uid } = ownerFor(connection, session);
      valueOf(broker.suspend(uid, id));
      return { values: {} };
    },
  });
}
