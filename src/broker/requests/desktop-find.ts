/** One of the user's own desktops by id or name; the default one is started. Runs in: monitor. */
import { DesktopFind } from '../link.ts';
import {
  type DesktopRequest,
  type DesktopRequestContext,
  desktopRequest,
  valueOf,
  wireDesktop,
} from './context.ts';

export function desktopFind({ broker }: DesktopRequestContext): DesktopRequest {
  return desktopRequest(DesktopFind, async (caller, { session, which, create }) => {
    const owner = caller.owner(session);
    const found =
      create === 1
        ? await broker.findOrStart(owner, which, caller.opener.connection)
        : await broker.find(owner, which);
    return { values: { desktop: wireDesktop(valueOf(found)) } };
  });
}
