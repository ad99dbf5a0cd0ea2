/** X11 forwarding (RFC 4254 §6.3): programs of a session reach the client's X server. Runs in: worker. */
import { x11Connections } from '../base/limits.ts';
import type { ChannelOpener } from '../ssh/connection/mux.ts';
import type { X11Request } from '../session/host.ts';
import { Writer } from '../ssh/wire/writer.ts';
import { ForwardListener } from './listener.ts';
import type { SocketRoom } from './room.ts';
import { admissionByCookie } from './x11-cookie.ts';

/** Takes the descriptors over. */
export function x11Listener(
  descriptors: readonly number[],
  request: X11Request,
  opener: ChannelOpener,
  room: SocketRoom,
  onTrouble: (error: Error) => void,
): ForwardListener {
  return new ForwardListener({
    descriptors,
    channelType: 'x11',
    openData: ({ remoteAddress, remotePort }) =>
      new Writer().text(remoteAddress).uint32(remotePort).done(),
    opener,
    room,
    maxConnections: x11Connections,
    takesOne: request.singleConnection,
    admission: admissionByCookie(request.authProtocol, request.authData),
    isTcp: true,
    onTrouble,
  });
}
