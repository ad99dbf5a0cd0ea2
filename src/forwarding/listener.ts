/**
 * A listening descriptor of the leader's, each connection to it a channel to the client: agent, X11
 * and forwarded ports (RFC 4254 §6.3.2, §7.2). Runs in: worker. The leader has bound it as the user;
 * here it is only accepted from.
 */
import { DescriptorSocket } from '../base/descriptor-socket.native.ts';
import { admissionMs } from '../base/limits.ts';
import type { Accepted } from '../base/native.ts';
import { Acceptor, closeDescriptor, setNoDelay } from '../base/socket.native.ts';
import type { Channel } from '../ssh/connection/channel.ts';
import type { ChannelOpener } from '../ssh/connection/mux.ts';
import { splice } from '../ssh/connection/pump.ts';
import { HeldSource } from './held-source.ts';
import type { SocketRoom } from './room.ts';

/** Who may have a channel, by what it says first. */
export interface Admission {
  /** Of all that came so far. */
  judge(bytes: Buffer): 'more' | 'right' | 'wrong';
  /** What one who is turned away is told. */
  refusal(bytes: Buffer): Buffer;
}

export interface ListenerOptions {
  /** Owned from here on. Several: one service on several addresses. */
  readonly descriptors: readonly number[];
  readonly channelType: string;
  /** The type-specific part of CHANNEL_OPEN. */
  readonly openData: (accepted: Accepted) => Buffer;
  readonly opener: ChannelOpener;
  /** Connections at a time, those being opened included; more wait in the kernel's backlog. */
  readonly maxConnections: number;
  /** The listener ends with the first connection that is admitted. */
  readonly takesOne?: boolean;
  /** Absent: everybody who can connect. */
  readonly admission?: Admission | undefined;
  readonly isTcp?: boolean;
  /** Shared with others of this process; a connection without room is closed again. */
  readonly room?: SocketRoom;
  /** Descriptors have run out, or the listener is broken. */
  readonly onTrouble?: (error: Error) => void;
}

export class ForwardListener {
  readonly #options: ListenerOptions;
  readonly #acceptors: readonly Acceptor[];
  /** They have not said enough yet. */
  readonly #strangers = new Set<DescriptorSocket>();
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
      for (const stranger of this.#strangers) {
        stranger.destroy();
      }
    }
  }

  #take(accepted: Accepted): void {
    const { maxConnections, takesOne = false, room, admission } = this.#options;
    if (room !== undefined && !room.take()) {
      closeDescriptor(accepted.descriptor);
      return;
    }
    this.#connections++;
    if (takesOne && admission === undefined) {
      this.close();
    } else if (this.#connections >= maxConnections) {
      // Whoever has said nothing for longest makes room: silence must not lock others out.
      const [silent] = this.#strangers;
      silent?.destroy();
      this.#acceptors.forEach((acceptor) => acceptor.pause());
    }
    if (admission === undefined) {
      // It never throws or rejects: a refusal and the end of the connection are answers.
      void this.#connect(accepted);
    } else {
      this.#examine(accepted, admission);
    }
  }

  async #connect(accepted: Accepted): Promise<void> {
    const channel = await this.#askFor(accepted);
    const socket = channel === undefined ? undefined : this.#open(accepted.descriptor);
    if (channel === undefined) {
      closeDescriptor(accepted.descriptor);
      this.#ended();
    } else if (socket === undefined) {
      channel.abort();
    } else {
      splice(channel, socket);
    }
  }

  /** Nothing is asked of the client before it is known that this one may. */
  #examine(accepted: Accepted, admission: Admission): void {
    const socket = this.#open(accepted.descriptor);
    if (socket === undefined) {
      return;
    }
    const timer = setTimeout(() => socket.destroy(), admissionMs);
    this.#strangers.add(socket);
    const leave = (): void => {
      clearTimeout(timer);
      this.#strangers.delete(socket);
    };
    socket.once('close', leave);
    const source = new HeldSource(
      socket,
      (soFar) => {
        const judgement = this.#strangers.has(socket) ? admission.judge(soFar) : 'more';
        if (judgement === 'right') {
          leave();
          socket.pause();
          void this.#admit(accepted, socket, source);
        } else if (judgement === 'wrong') {
          leave();
          socket.pause();
          socket.end(admission.refusal(soFar), () => socket.destroy());
        }
      },
      () => socket.destroy(),
    );
  }

  async #admit(accepted: Accepted, socket: DescriptorSocket, source: HeldSource): Promise<void> {
    if (this.#options.takesOne === true) {
      if (!this.#isOpen) {
        socket.destroy();
        return;
      }
      this.close();
    }
    const channel = await this.#askFor(accepted);
    if (channel === undefined) {
      socket.destroy();
    } else if (socket.destroyed) {
      channel.abort();
    } else {
      splice(channel, socket, undefined, source);
    }
  }

  async #askFor(accepted: Accepted): Promise<Channel | undefined> {
    const { opener, channelType, openData } = this.#options;
    const outcome = await opener.openChannel(channelType, openData(accepted));
    return 'opened' in outcome ? outcome.opened : undefined;
  }

  /** undefined: it cannot be served; it is closed, and no longer counted. */
  #open(descriptor: number): DescriptorSocket | undefined {
    const { isTcp = false, room } = this.#options;
    try {
      if (isTcp) {
        setNoDelay(descriptor);
      }
      const socket = room?.open(descriptor) ?? new DescriptorSocket(descriptor, 'both');
      socket.once('close', () => this.#ended());
      return socket;
    } catch (error) {
      // The peer of the socket has gone already, or there is no memory for it: this one ends.
      closeDescriptor(descriptor);
      this.#ended();
      this.#options.onTrouble?.(error as Error);
      return undefined;
    }
  }

  #ended(): void {
    this.#options.room?.giveBack();
    this.#connections--;
    if (this.#isOpen && this.#connections < this.#options.maxConnections) {
      this.#acceptors.forEach((acceptor) => acceptor.resume());
    }
  }
}
