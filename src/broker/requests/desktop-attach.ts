/** A stream to the display of one of the user's own desktops, as a descriptor. Runs in: monitor. */
import { DesktopAttach } from '../link.ts';
import {
  type DesktopRequest,
  type DesktopRequestContext,
  desktopRequest,
  valueOf,
} from './context.ts';

export function desktopAttach({ broker }: DesktopRequestContext): DesktopRequest {
  return desktopRequest(DesktopAttach, async (caller, { session, id, protocol, parameters }) => {
    const owner = caller.owner(session);
    const said = new Map(parameters.map(({ name, value }) => [name, value]));
    const attached = valueOf(
      await broker.attach(owner, id, caller.opener, { protocol, parameters: said }),
    );
    const { viewer, cookie, descriptor } = attached;
    return { values: { viewer, cookie }, descriptors: [descriptor] };
  });
}
