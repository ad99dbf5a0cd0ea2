/** The rows that desktops add to the monitor's table; joined in `process/monitor`. Runs in: monitor. */
import type { AnyRow } from '../../monitor/request-table.ts';
import type { DesktopRequestContext } from './context.ts';
import { desktopAttach } from './desktop-attach.ts';
import { desktopFind } from './desktop-find.ts';
import { desktopList } from './desktop-list.ts';
import { desktopStart } from './desktop-start.ts';
import { desktopSuspend } from './desktop-suspend.ts';
import { desktopTerminate } from './desktop-terminate.ts';

export function desktopRequests(context: DesktopRequestContext): readonly AnyRow[] {
  return [
    desktopList(context),
    desktopStart(context),
    desktopFind(context),
    desktopAttach(context),
    desktopSuspend(context),
    desktopTerminate(context),
  ];
}
