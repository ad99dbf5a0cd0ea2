/**
 * A connection to the agent socket of a desktop, accepted by its leader, on its way to the client
 * (auth-agent@openssh.com). Bytes pass unread, as in `agent.ts`. Runs in: worker.
 */
import { closeDescriptor } from '../base/socket.native.ts';
import type { ChannelOpener } from '../ssh/connection/mux.ts';
import { splice } from '../ssh/connection/pump.ts';
import type { SocketRoom } from './room.ts';

/** Owns the descriptor. `over`: once, when it is closed. Never rejects. */
export async function serveDesktopAgent(
  descriptor: number,
  opener: ChannelOpener,
  room: SocketRoom,
  over: () => void,
): Promise<void> {
  if (!room.take()) {
    closeDescriptor(descriptor);
    over();
    return;
  }
  const end = (): void => {
    room.giveBack();
    over();
  };
  const outcome = await opener.openChannel('auth-agent@openssh.com', Buffer.alloc(0));
  if (!('opened' in outcome)) {
    closeDescriptor(descriptor);
    end();
    return;
  }
  try {
    const socket = room.open(descriptor);
    socket.once('close', end);
    splice(outcome.opened, socket);
  } catch {
    // Its other end has gone already, or there is no memory for it: this one ends.
    closeDescriptor(descriptor);
    outcome.opened.abort();
    end();
  }
}
