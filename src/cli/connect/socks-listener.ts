/**
 * The SOCKS dialogue of one connection, on a socket of this machine (`-D`) or on a channel (`-R port`).
 * Runs in: user.
 */
import type { Socket } from 'node:net';
import {
  SocksDialogue,
  type SocksOutcome,
  type SocksTarget,
  socksRequestBytes,
} from '../../forwarding/socks.ts';
import type { Channel } from '../../ssh/connection/channel.ts';

export interface SocksRequest {
  readonly target: SocksTarget;
  /** What came behind the request. */
  readonly rest: Buffer;
  /** The bytes that tell the client what became of it. */
  reply(outcome: SocksOutcome): Buffer;
}

/** A request comes at once; who connects and says nothing holds a descriptor. */
const requestTimeoutMs = 30_000;

/** What feeds a dialogue and takes its replies. */
interface Side {
  write(reply: Buffer): void;
  refuse(reply: Buffer): void;
}

/** Gathers bytes until they are a request; null: they never will be. */
class Gatherer {
  readonly #dialogue = new SocksDialogue();
  readonly #side: Side;
  #held: Buffer = Buffer.alloc(0);

  constructor(side: Side) {
    this.#side = side;
  }

  take(chunk: Buffer): SocksRequest | null | 'more' {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const step = this.#dialogue.take(this.#held.subarray(0, socksRequestBytes));
      if (step.is === 'refused') {
        this.#side.refuse(step.reply);
        return null;
      }
      if (step.is === 'connect') {
        const rest = this.#held.subarray(step.used);
        return { target: step.target, rest, reply: (outcome) => this.#dialogue.reply(outcome) };
      }
      if (step.reply === null) return 'more';
      this.#side.write(step.reply);
    }
  }
}

/** The socket is paused when this resolves; null: it is refused and closed. */
export function socksOnSocket(socket: Socket): Promise<SocksRequest | null> {
  return new Promise((resolve) => {
    const gatherer = new Gatherer({
      write: (reply) => socket.write(reply),
      refuse: (reply) => void socket.end(reply, () => socket.destroy()),
    });
    const timer = setTimeout(() => socket.destroy(), requestTimeoutMs);
    const settle = (request: SocksRequest | null): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off('data', onData).off('end', onEnd).off('close', onEnd);
      resolve(request);
    };
    const onData = (chunk: Buffer): void => {
      const request = gatherer.take(chunk);
      if (request !== 'more') settle(request);
    };
    const onEnd = (): void => {
      socket.destroy();
      settle(null);
    };
    socket.on('data', onData).on('end', onEnd).on('close', onEnd);
    socket.resume();
  });
}

/** As above; the channel's bytes wait in its window from then on. */
export function socksOnChannel(channel: Channel): Promise<SocksRequest | null> {
  return new Promise((resolve) => {
    let isSettled = false;
    const gatherer = new Gatherer({
      write: (reply) => void channel.out.write(reply),
      refuse(reply) {
        channel.out.write(reply);
        channel.close();
      },
    });
    const timer = setTimeout(() => channel.abort(), requestTimeoutMs);
    const settle = (request: SocksRequest | null): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      resolve(request);
    };
    channel.onClose(() => settle(null));
    channel.receive({
      write(data) {
        const request = gatherer.take(data);
        if (request === 'more') return true;
        settle(request);
        return false;
      },
      end() {
        channel.close();
        settle(null);
      },
    });
  });
}
