/**
 * How many sockets forwarding may hold in this process. A worker serves many connections: one that
 * has run out of descriptors could serve none of them any more. Runs in: worker.
 */

/** Of the process's descriptors; the rest is for connections, sessions and links. */
const forwardingShare = 0.75;

export class SocketRoom {
  #left: number;

  /** descriptors: RLIMIT_NOFILE. */
  constructor(descriptors: number) {
    this.#left = Math.floor(descriptors * forwardingShare);
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
