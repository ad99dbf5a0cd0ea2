/**
 * How many sockets forwarding may hold in this process, and what they are read into. A worker serves many connections: one that
 * has run out of descriptors could serve none of them any more. Runs in: worker.
 */
import { DescriptorSocket } from '../base/descriptor-socket.native.ts';

/** Of the process's descriptors; the rest is for connections, sessions and links. */
const forwardingShare = 0.75;

export class SocketRoom {
  #left: number;
  readonly #lentBuffer: Buffer;

  /** descriptors: RLIMIT_NOFILE. All sockets are read into `lentBuffer`. */
  constructor(descriptors: number, lentBuffer: Buffer) {
    this.#lentBuffer = lentBuffer;
    this.#left = Math.floor(descriptors * forwardingShare);
  }

  /** Owns the descriptor, which is connected; throws when it cannot be served. */
  open(descriptor: number): DescriptorSocket {
    return new DescriptorSocket(descriptor, 'both', this.#lentBuffer);
  }

  /** False: there is none. Otherwise `giveBack` once, when the socket has been closed. */
  take(): boolean {
    if (this.#left === 0) {
      return false;
    }
    this.#left--;
    return true;
  }

  giveBack(): void {
    this.#left++;
  }
}
