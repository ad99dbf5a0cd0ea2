/** Ends the viewers of one of the user's own desktops. Runs in: monitor. */
import { DesktopSuspend } from '../link.ts';
import {
  type DesktopRequest,
  type DesktopRequestContext,
  desktopRequest,
  valueOf,
} from './context.ts';

export function desktopSuspend({ broker }: DesktopRequestContext): DesktopRequest {
  return desktopRequest(DesktopSuspend, async (caller, { session, id }) => {
    const { uid } = caller.owner(session);
    valueOf(await broker.suspend(uid, id));
    return { values: {} };
  });
}
