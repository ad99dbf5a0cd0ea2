/** Ends one of the user's own desktops. Runs in: monitor. */
import { DesktopTerminate } from '../link.ts';
import {
  type DesktopRequest,
  type DesktopRequestContext,
  desktopRequest,
  valueOf,
} from './context.ts';

export function desktopTerminate({ broker }: DesktopRequestContext): DesktopRequest {
  return desktopRequest(DesktopTerminate, async (caller, { session, id }) => {
    const { uid } = caller.owner(session);
    valueOf(await broker.terminate(uid, id));
    return { values: {} };
  });
}
