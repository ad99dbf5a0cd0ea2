/** The rows that desktops add to the monitor's table; joined in `process/monitor`. Runs in: monitor. */
import { type AnyRow, row } from '../../monitor/request-table.ts';
import {
  callerOf,
  type DesktopHolds,
  type DesktopRequest,
  type DesktopRequestContext,
} from './context.ts';
import { desktopAttach } from './desktop-attach.ts';
import { desktopFind } from './desktop-find.ts';
import { desktopList } from './desktop-list.ts';
import { desktopStart } from './desktop-start.ts';
import { desktopSuspend } from './desktop-suspend.ts';
import { desktopTerminate } from './desktop-terminate.ts';

export function desktopRequests(context: DesktopRequestContext): readonly DesktopRequest[] {
  return [
    desktopList(context),
    desktopStart(context),
    desktopFind(context),
    desktopAttach(context),
    desktopSuspend(context),
    desktopTerminate(context),
  ];
}

/** As rows of the monitor's table: behind authentication, as often as one likes, many at a time. */
export function desktopRows(
  requests: readonly DesktopRequest[],
  holds: DesktopHolds,
): readonly AnyRow[] {
  return requests.map(({ schema, handle }) =>
    row({
      schema,
      phase: ['postauth'],
      once: false,
      decides: false,
      serial: false,
      handle: (connection, values) => handle(callerOf(connection, holds), values),
    }),
  );
}
