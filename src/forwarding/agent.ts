/**
 * Agent forwarding (OpenSSH's PROTOCOL.agent; channel auth-agent@openssh.com): a pure byte channel,
 * so that session-bind@openssh.com and every constraint pass untouched. Runs in: worker.
 */
import { agentConnections } from '../base/limits.ts';
import type { ChannelOpener } from '../ssh/connection/mux.ts';
import { ForwardListener } from './listener.ts';
import type { SocketRoom } from './room.ts';

/** Takes the descriptor over. */
export function agentListener(
  descriptor: number,
  opener: ChannelOpener,
  room: SocketRoom,
  onTrouble: (error: Error) => void,
): ForwardListener {
  return new ForwardListener({
    descriptors: [descriptor],
    channelType: 'auth-agent@openssh.com',
    openData: () => Buffer.alloc(0),
    opener,
    room,
    maxConnections: agentConnections,
    onTrouble,
  });
}
