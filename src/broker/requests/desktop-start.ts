/** A new desktop of the user. Runs in: monitor. */
import { DesktopStart } from '../link.ts';
import {
  type DesktopRequest,
  type DesktopRequestContext,
  desktopRequest,
  valueOf,
  wireDesktop,
} from './context.ts';

export function desktopStart({ broker }: DesktopRequestContext): DesktopRequest {
  return desktopRequest(
    DesktopStart,
    async (caller, { session, name, engine, type, width, height, depth, parameters: said }) => {
      const owner = caller.owner(session);
      const parameters = new Map(said.map((one) => [one.name, one.value]));
      const order = { name, protocol: engine, type, width, height, depth, parameters };
      const desktop = valueOf(await broker.start(owner, order, caller.opener.connection));
      return { values: { desktop: wireDesktop(desktop) } };
    },
  );
}
