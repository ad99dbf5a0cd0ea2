/** The user's own live desktops. Runs in: monitor. */
import { DesktopList } from '../link.ts';
import {
  type DesktopRequest,
  type DesktopRequestContext,
  desktopRequest,
  wireDesktop,
} from './context.ts';

export function desktopList({ broker }: DesktopRequestContext): DesktopRequest {
  return desktopRequest(DesktopList, async (caller, { session }) => {
    const { uid } = caller.owner(session);
    return { values: { desktops: (await broker.listMeasured(uid)).map(wireDesktop) } };
  });
}
