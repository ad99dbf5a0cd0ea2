/**
 * A listening descriptor of the leader's, each connection to it a channel to the client: agent, X11
 * and forwarded ports (RFC 4254 §6.3.2, §7.2). Runs in: worker. The leader has bound it as the user;
 * here it is only accepted from.
 */
import type { Socket } from 'node:net';
import { DescriptorSocket } from '../base/descriptor-socket.native.ts';
import type { Accepted } from '../base/native.ts';
import { Acceptor, closeDescriptor, setNoDelay } from '../base/socket.native.ts';
import type { Channel } from '../ssh/connection/channel.ts';
import type { ChannelOpener } from '../ssh/connection/mux.ts';
import { splice } from '../ssh/connection/pump.ts';
import type { SocketRoom } from './room.ts';

export interface ListenerOptions {
  /** Owned from here on. Several: one service on several addresses. */
  readonly descriptors: readonly number[];
  readonly channelType: string;
  /** The type-specific part of CHANNEL_OPEN. */
  readonly openData: (accepted: Accepted) => Buffer;
  readonly opener: ChannelOpener;
  /** Connections at a time, those being opened included; more wait in the kernel's backlog. */
  readonly maxConnections: number;
  /** The listener ends with its first connection. */
  readonly takesOne?: boolean;
  readonly isTcp?: boolean;
  /** Shared with others of this process; a connection without room is closed again. */
  readonly room?: SocketRoom;
  /** Descriptors have run out, or the listener is broken. */
  readonly onTrouble?: (error: Error) => void;
}

export class ForwardListener {
  readonly #options: ListenerOptions;
  readonly #acceptors: readonly Acceptor[];
  #connections = 0;
  #isOpen = true;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#acceptors = options.descriptors.map((descriptor) => {
      const acceptor = new Acceptor(descriptor, (accepted) => this.#take(accepted));
      acceptor.onTrouble = (error) => options.onTrouble?.(error);
      return acceptor;
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** No connection more; those that there are go on. */
  close(): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      for (const acceptor of this.#acceptors) {
        acceptor.close();
      }
    }
  }

  #take(accepted: Accepted): void {
    const { maxConnections, takesOne = false, room } = this.#options;
    if (room !== undefined && !room.take()) {
      closeDescriptor(accepted.descriptor);
      return;
    }
    this.#connections++;
    if (takesOne) {
      this.close();
    } else if (this.#connections >= maxConnections) {
      this.#acceptors.forEach((acceptor) => acceptor.pause());
    }
    // It never throws or rejects: a refusal and the end of the connection are answers.
    void this.#connect(accepted);
  }

  async #connect(accepted: Accepted): Promise<void> {
    const { opener, channelType, openData, isTcp = false } = this.#options;
    const { descriptor } = accepted;
    const outcome = await opener.openChannel(channelType, openData(accepted));
    if ('refused' in outcome) {
      closeDescriptor(descriptor);
      this.#ended();
      return;
    }
    this.#join(outcome.opened, descriptor, isTcp);
  }

  #join(channel: Channel, descriptor: number, isTcp: boolean): void {
    let socket: Socket;
    try {
      if (isTcp) {
        setNoDelay(descriptor);
      }
      socket = this.#options.room?.open(descriptor) ?? new DescriptorSocket(descriptor, 'both');
    } catch (error) {
      // The peer of the socket has gone already, or there is no memory for it: this one ends.
      closeDescriptor(descriptor);
      channel.abort();
      this.#ended();
      this.#options.onTrouble?.(error as Error);
      return;
    }
    socket.once('close', () => this.#ended());
    splice(channel, socket);
  }

  #ended(): void {
    this.#options.room?.giveBack();
    this.#connections--;
    if (this.#isOpen && this.#connections < this.#options.maxConnections) {
      this.#acceptors.forEach((acceptor) => acceptor.resume());
    }
  }
}
