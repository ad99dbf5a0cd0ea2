/**
 * The user's desktops as a subsystem asks for them, answered within this process or by whoever owns
 * them: the same calls as a worker's, over a pair of descriptors of our own. Runs in: user.
 */
import type { Log } from '../../audit/log.ts';
import { DescriptorSocket } from '../../base/descriptor-socket.native.ts';
import { socketPair } from '../../base/link.native.ts';
import type { Onlooker } from '../../broker/requests/context.ts';
import { ViewerEnd, ViewerWarning } from '../../monitor/link.ts';
import { peerOn } from '../../process/peer-on.ts';
import type { Peer } from '../../ssh/wire/peer.ts';
import type { Desktops } from '../../../subsystems/display/desktops.ts';
import { MonitorDesktops, ViewerTable } from '../../../subsystems/display/monitor-desktops.ts';

const connection = 1;
const session = 1;
const lentBytes = 64 * 1024;

export interface AskedDesktops {
  readonly desktops: Desktops;
  readonly onlooker: Onlooker;
  /** The end that answers. */
  readonly answering: Peer;
}

/** `from`: where the login is from, for people. */
export function askedDesktops(user: string, from: string, log: Log): AskedDesktops {
  const [ours, theirs] = socketPair();
  const asking = peerOn(ours, log);
  const answering = peerOn(theirs, log);
  const viewers = new ViewerTable();
  asking.onNotice(ViewerEnd, ({ viewer, why, status }) => viewers.end(viewer, { why, status }));
  asking.onNotice(ViewerWarning, ({ viewer, line }) => viewers.warn(viewer, line));
  const lentBuffer = Buffer.allocUnsafe(lentBytes);
  return {
    desktops: new MonitorDesktops({
      peer: asking,
      user,
      connection,
      session,
      viewers,
      openStream: (descriptor) => new DescriptorSocket(descriptor, 'both', lentBuffer),
    }),
    answering,
    onlooker: {
      number: connection,
      closed: false,
      endpoints: { remoteAddress: from },
      worker: {
        viewerEnd: (_, viewer, why, status) =>
          answering.notify(ViewerEnd, { connection, viewer, why, status }),
        viewerWarning: (_, viewer, line) =>
          answering.notify(ViewerWarning, { connection, viewer, line }),
      },
    },
  };
}
