/** What one connection has signed: the monitor holds the host keys. Runs in: worker. */
import { KexError, ProtocolError } from '../base/errors.ts';
import type { Exchange, ExchangeSigner } from '../ssh/transport/transport.ts';
import type { HostKeyProver } from '../ssh/connection/host-keys.ts';
import { CallFailure, type Peer } from '../ssh/wire/peer.ts';
import { ProveHostKeys, SignExchange } from '../monitor/link.ts';

export class MonitorSigner implements ExchangeSigner {
  readonly #peer: Peer;
  readonly #connection: number;
  #cookie: Buffer | undefined;

  constructor(peer: Peer, connection: number, firstCookie: Buffer) {
    this.#peer = peer;
    this.#connection = connection;
    this.#cookie = firstCookie;
  }

  takeCookie(): Buffer {
    const cookie = this.#cookie;
    this.#cookie = undefined;
    if (cookie === undefined) {
      throw new ProtocolError('a key exchange while another is being signed');
    }
    return cookie;
  }

  async sign(exchange: Exchange): Promise<{ readonly signature: Buffer; readonly hash: Buffer }> {
    const { values } = await this.#peer
      .call(SignExchange, { connection: this.#connection, ...exchange })
      .catch((cause: unknown) => {
        // The monitor's log has the reason.
        throw new KexError('the exchange was not signed', { cause });
      });
    this.#cookie = values.nextCookie;
    return values;
  }
}

export class MonitorProver implements HostKeyProver {
  readonly #peer: Peer;
  readonly #connection: number;

  constructor(peer: Peer, connection: number) {
    this.#peer = peer;
    this.#connection = connection;
  }

  async prove(publicBlobs: readonly Buffer[]): Promise<readonly Buffer[] | undefined> {
    try {
      const { values } = await this.#peer.call(ProveHostKeys, {
        connection: this.#connection,
        keys: publicBlobs,
      });
      return values.signatures;
    } catch (error) {
      if (error instanceof CallFailure) {
        return undefined;
      }
      throw error;
    }
  }
}
