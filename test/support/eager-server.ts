/**
 * An SSH server that speaks before it may: behind its NEWKEYS, while the client has not accepted its
 * host key, or in front of its KEXINIT; and one that signs what it likes. Runs in: test.
 */
import type { Duplex } from 'node:stream';
import { Engine, substituteFor } from '../../src/ssh/transport/engine.ts';
import { chooseKex, KexInit, shownKexInit } from '../../src/ssh/transport/negotiation.ts';
import type { Exchange } from '../../src/ssh/transport/transport.ts';
import { exchangeHash } from '../../src/ssh/wire/exchange-hash.ts';
import { signatureBlob, type TestHostKey } from './exchange-signer.ts';
import { everyAlgorithm } from './transport-server.ts';

export interface EagerServerOptions {
  /** The private half of what it shows. */
  readonly key: TestHostKey;
  readonly hostKeyAlgorithm: string;
  /** In place of the key itself: a certificate. */
  readonly shown?: Buffer;
  /** In front of its KEXINIT. */
  readonly first?: readonly Buffer[];
  /** Right behind its NEWKEYS. */
  readonly behindKeys?: readonly Buffer[];
  /** What is signed in place of the exchange hash. */
  readonly signed?: (hash: Buffer) => Buffer;
}

export class EagerServer {
  readonly #engine: Engine;
  readonly #options: EagerServerOptions;
  readonly #offer;
  #hasIdentified = false;
  /** What it could read once the keys were there: message numbers. */
  readonly heard: number[] = [];

  constructor(stream: Duplex, options: EagerServerOptions) {
    this.#options = options;
    const { key, hostKeyAlgorithm, shown = key.blob, first = [], behindKeys = [] } = options;
    this.#offer = { ...everyAlgorithm, serverHostKey: [hostKeyAlgorithm], compress: ['none'] };
    this.#engine = new Engine(
      {
        version: 'SSH-2.0-eager',
        offer: this.#offer,
        hostKeys: new Map([[hostKeyAlgorithm, shown]]),
      },
      {
        takeCookie: () => Buffer.alloc(16),
        write: (packet) => void stream.write(Buffer.from(packet)),
        space: () => undefined,
        pad: () => undefined,
        packet: (payload) => this.#packet(payload),
        exchange: (exchange) => this.#sign(exchange),
        firstKeysOut: () => {
          for (const payload of behindKeys) this.#engine.sendNow(payload);
        },
        keysTaken: () => undefined,
      },
    );
    this.#engine.start();
    stream.on('data', (chunk: Buffer) => {
      try {
        this.#feed(chunk, first);
      } catch {
        stream.destroy();
      }
    });
  }

  #feed(chunk: Buffer, first: readonly Buffer[]): void {
    let from = 0;
    if (!this.#hasIdentified) {
      this.#hasIdentified = true;
      const end = chunk.indexOf('\r\n');
      // Its KEXINIT leaves when the client's line is taken.
      for (const payload of first) this.#engine.sendNow(payload);
      this.#engine.acceptIdentification(chunk.subarray(0, end));
      from = end + 2;
    }
    if (from < chunk.length) this.#engine.feed(chunk, from);
  }

  #packet(payload: Buffer): undefined | false | number {
    const number = payload[0] ?? 0;
    if (number === 20) {
      const peer = KexInit.decode(payload);
      const { kex } = chooseKex(this.#offer, peer);
      const shown = shownKexInit(peer, substituteFor(kex));
      return this.#engine.acceptKexInit({ kex, original: Buffer.from(payload), shown });
    }
    if (number === 30 || number === 21) return this.#engine.acceptKexMessage(Buffer.from(payload));
    this.heard.push(number);
    if (number === 5) this.#engine.sendNow(Buffer.from(`\x06\0\0\0\x0cssh-userauth`, 'latin1'));
    return undefined;
  }

  #sign(exchange: Exchange): void {
    const { key, hostKeyAlgorithm, signed = (hash) => hash } = this.#options;
    const hash = exchangeHash(exchange.kexAlgorithm, exchange);
    const algorithm = hostKeyAlgorithm.replace('-cert-v01@openssh.com', '');
    this.#engine.resumeExchange(signatureBlob(key, algorithm, signed(hash)), hash);
  }
}
