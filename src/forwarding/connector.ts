/**
 * What turns a channel that the client opens into a socket: one after another within bounds, the
 * socket made by the privileged side, the channel joined with it. Runs in: worker.
 */
import type { Socket } from 'node:net';
import { forwardsInProgress } from '../base/limits.ts';
import { closeDescriptor } from '../base/socket.native.ts';
import { openFailure } from '../ssh/connection/messages.ts';
import type { OpenOutcome } from '../ssh/connection/mux.ts';
import { splice } from '../ssh/connection/pump.ts';
import type { RefusedOpen } from './host.ts';
import type { SocketRoom } from './room.ts';
import { Turns } from './turns.ts';

/** A target that this process serves itself, or a socket whose descriptor is given away. */
export type Connected = { readonly outcome: OpenOutcome } | { readonly descriptor: number };

export const openFailed: RefusedOpen = { refused: openFailure.connectFailed, text: 'open failed' };
const noRoom: RefusedOpen = { refused: openFailure.resourceShortage, text: 'open failed' };

/** That of one connection. */
export class Connector {
  readonly #turns = new Turns(forwardsInProgress);
  readonly #room: SocketRoom;

  constructor(room: SocketRoom) {
    this.#room = room;
  }

  /** `connect` is called in its turn, and not at all once the connection is over. */
  open(connect: () => Promise<Connected | RefusedOpen>): Promise<OpenOutcome> {
    return this.#turns.run(async () => {
      if (!this.#room.take()) {
        return noRoom;
      }
      let isUsed = false;
      try {
        const answer = await connect();
        if ('refused' in answer) {
          return answer;
        }
        if ('outcome' in answer) {
          return answer.outcome;
        }
        const outcome = this.#join(answer.descriptor);
        isUsed = !('refused' in outcome);
        return outcome;
      } finally {
        if (!isUsed) {
          this.#room.giveBack();
        }
      }
    }, openFailed);
  }

  #join(descriptor: number): OpenOutcome {
    let socket: Socket;
    try {
      socket = this.#room.open(descriptor);
    } catch {
      // Not a socket that can be served, whatever the reason: the client is told, others go on.
      closeDescriptor(descriptor);
      return openFailed;
    }
    // A reset ends the channel too; before the channel is there, there is nobody to tell.
    socket.on('error', () => {});
    socket.once('close', () => this.#room.giveBack());
    return {
      opened: (channel) => splice(channel, socket),
      abandoned: () => socket.destroy(),
    };
  }

  /** The connection is over. */
  end(): void {
    this.#turns.end();
  }
}
