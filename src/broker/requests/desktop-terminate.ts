/** Ends one of the user's own desktops. Runs in: monitor. */
import { type AnyRow, row } from '../../monitor/request-table.ts';
import { DesktopTerminate } from '../link.ts';
import { type DesktopRequestContext, ownerFor, valueOf } from './context.ts';

export function desktopTerminate({ broker }: DesktopRequestContext): AnyRow {
  return row({
    schema: DesktopTerminate,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, { session, id }) {
      const { uid } = ownerFor(connection, session);
      valueOf(await broker.terminate(uid, id));
      return { values: {} };
    },
  });
}
