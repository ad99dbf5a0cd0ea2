/** Desktops that a running daemon owns, the machine's or one of this user's own. Runs in: user. */
import type { Log } from '../../audit/log.ts';
import { NativeError } from '../../base/errors.ts';
import { closeDescriptor, duplicate, shutdownDescriptor } from '../../base/socket.native.ts';
import { AgentHolds } from '../../broker/agent-holds.ts';
import { DesktopDetach, desktopCalls } from '../../broker/link.ts';
import type { Owner } from '../../broker/outcome.ts';
import { ViewerHolds } from '../../broker/viewer-holds.ts';
import { DesktopsElsewhere, type ElsewhereDoor } from '../../process/desktops-elsewhere.ts';
import type { Desktops } from '../../../subsystems/display/desktops.ts';
import { askedDesktops } from './asked-desktops.ts';

const ENOENT = 2;
const ECONNREFUSED = 111;

/** Undefined: nobody listens there. Throws where somebody does who should not. */
export function servedDesktops(
  door: ElsewhereDoor,
  owner: Owner,
  from: string,
  log: Log,
): Desktops | undefined {
  const port = { duplicate, shutdown: shutdownDescriptor, close: closeDescriptor };
  const ended = (error: unknown): void => log.debug(`end of a viewer: ${String(error)}`);
  const viewers = new ViewerHolds(port, ended);
  const agents = new AgentHolds(port, ended);
  const elsewhere = new DesktopsElsewhere(door, { viewers, agents }, log);
  try {
    elsewhere.probe();
  } catch (error) {
    if (error instanceof NativeError && [ENOENT, ECONNREFUSED].includes(error.returnCode)) {
      return undefined;
    }
    throw error;
  }
  const { desktops, onlooker, answering } = askedDesktops(owner.user, from, log);
  for (const schema of desktopCalls) {
    answering.onCall(schema, async (values) => {
      const { values: reply, descriptors = [] } = await elsewhere.ask(
        schema,
        onlooker,
        values,
        owner,
      );
      return { values: reply, descriptors };
    });
  }
  answering.onNotice(DesktopDetach, ({ viewer }) => {
    viewers.end(onlooker.number, viewer);
    elsewhere.detach(onlooker, viewer);
  });
  return desktops;
}
