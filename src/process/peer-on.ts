/** Calls over a SEQPACKET descriptor of this process. Runs in: monitor, user. */
import type { Log } from '../audit/log.ts';
import { SeqpacketLink } from '../base/link.native.ts';
import { closeDescriptor } from '../base/socket.native.ts';
import { Peer } from '../ssh/wire/peer.ts';

/** Owns the descriptor. `rejectDescriptors`: of the other end none is wanted. */
export function peerOn(descriptor: number, log: Log, rejectDescriptors = false): Peer {
  return new Peer(new SeqpacketLink(descriptor), {
    closeDescriptor,
    rejectDescriptors,
    onFault: (error, name) => log.error(`internal error in ${name}: ${String(error)}`),
  });
}
