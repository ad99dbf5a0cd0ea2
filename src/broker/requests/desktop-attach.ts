/** A stream to the display of one of the user's own desktops, as a descriptor. Runs in: monitor. */
import { DesktopAttach } from '../link.ts';
import {
  type DesktopRequest,
  type DesktopRequestContext,
  desktopRequest,
  valueOf,
} from './context.ts';

export function desktopAttach({ broker }: DesktopRequestContext): DesktopRequest {
  return desktopRequest(DesktopAttach, async (caller, { session, id }) => {
    const owner = caller.owner(session);
    const attached = valueOf(await broker.attach(owner, id, caller.opener));
    return { values: { viewer: attached.viewer }, descriptors: [attached.descriptor] };
  });
}
