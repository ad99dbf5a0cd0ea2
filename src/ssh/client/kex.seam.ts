/**
 * Takes the key exchange of ssh2's `Client` over (RFC 4253 §7 and §8): the offer, ML-KEM, host
 * certificates, and the order of things: the server has to have signed before a person is asked
 * about its key, and nothing that it says behind its NEWKEYS is heard before the answer. With
 * userauth.seam.ts the only file of this folder that touches names of ssh2 that are not public.
 * Runs in: user.
 */
import type { Client } from 'ssh2';
import { isCertificate, plainKeyBlob } from '../../../keys/certificate.ts';
import { parsePublicKey } from '../../../keys/public-key.ts';
import { verifySignature } from '../../../keys/signature.ts';
import { initiate } from '../transport/mlkem768x25519-sha256.ts';
import { KexInit } from '../transport/negotiation.ts';
import { hostKeyAlgorithms } from '../wire/algorithms.ts';
import { exchangeHash } from '../wire/exchange-hash.ts';
import { string } from '../wire/field.ts';
import { checkExchange } from '../wire/kex-values.ts';
import { message } from '../wire/message.ts';
import { type Agreement, agreeWith, type ClientOffer } from './agreement.ts';
import { ClientFailure } from './failure.ts';

type Payloads = (payload: Buffer) => unknown;

interface Decipher {
  _onPayload: Payloads;
}
interface Exchange {
  type: string;
  negotiated: { kex: string; serverHostKey: string };
  sessionID: Buffer | undefined;
  _step: number;
  _receivedNEWKEYS: boolean;
  _kexinit: Buffer;
  _remoteKexinit: Buffer;
  _hostKey: Buffer | undefined;
  parse(payload: Buffer): unknown;
  finish(scOnly?: boolean): unknown;
  getPublicKey(): Buffer;
  convertPublicKey(value: Buffer): Buffer;
  computeSecret(value: Buffer): Buffer | Error;
}
interface Offer {
  readonly lists: { readonly kex: { array: string[] } };
}
interface Direction {
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
  readonly compress: readonly string[];
  readonly lang: readonly string[];
}
interface Protocol {
  _kex: Exchange | undefined;
  _decipher: Decipher | undefined;
  _offer: Offer;
  readonly _identRaw: Buffer;
  readonly _remoteIdentRaw: Buffer;
}

const KexReply = message(31, 'KEX_REPLY', {
  hostKey: string,
  serverValue: string,
  signature: string,
});

const mlkem = 'mlkem768x25519-sha256';
/** The method under which ML-KEM passes the package's switch. */
const standIn = 'curve25519-sha256';
const ownAnnouncements = ['ext-info-c', 'kex-strict-c-v00@openssh.com'];
const theirAnnouncements = ['ext-info-s', 'kex-strict-s-v00@openssh.com'];
const messages = { disconnect: 1, kexInit: 20, kexReply: 31 } as const;
/** A server has EXT_INFO to say while a person reads a fingerprint, perhaps something to ignore. */
const maxHeldPackets = 16;

/** What the server has shown the session identifier with: its key or certificate, and a signature over it. */
export interface HostProof {
  readonly hostKey: Buffer;
  readonly signature: Buffer;
}

/** Called right after `client.connect`, before its socket has given a byte. */
export class KexWire {
  readonly #protocol: Protocol;
  readonly #offer: ClientOffer;
  #agreement: Agreement | undefined;
  /** KEXINIT of the server as it came, for the exchange hash. */
  #theirKexInit: Buffer = Buffer.alloc(0);
  #exchange: Exchange | undefined;
  #decipher: Decipher | undefined;
  /** What came behind the server's NEWKEYS before its key was accepted; null: it is. */
  #held: Buffer[] | null = [];
  #handle: Payloads = () => undefined;
  /** As the server sent it: a key or a certificate. */
  #presented: Buffer = Buffer.alloc(0);
  #hostProof: HostProof | undefined;

  constructor(client: Client, offer: ClientOffer) {
    this.#protocol = protocolOf(client);
    this.#offer = offer;
    this.#install();
    client.once('handshake', () => this.#release());
  }

  /** What the package calls the host key: the one that came, with its certificate. */
  get presented(): Buffer {
    return this.#presented;
  }

  /** Of the first exchange; undefined before it. */
  get hostProof(): HostProof | undefined {
    return this.#hostProof;
  }

  /** Undefined before the first exchange has ended. */
  get sessionId(): Buffer | undefined {
    return this.#exchange?.sessionID;
  }

  /** The first key is accepted and its exchange has ended on both sides. */
  #release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const payload of held) this.#handle(payload);
  }

  #install(): void {
    const protocol = this.#protocol;
    protocol._offer = offerOf(protocol._offer, this.#offer);
    Object.defineProperty(protocol, '_decipher', {
      get: () => this.#decipher,
      set: (decipher: Decipher) => {
        this.#decipher = decipher;
        this.#guard(decipher);
      },
    });
    Object.defineProperty(protocol, '_kex', {
      get: () => this.#exchange,
      set: (exchange: Exchange) => {
        this.#exchange = exchange;
        this.#adopt(exchange);
      },
    });
  }

  /** Every packet comes by here, whoever the package has handle it at the time. */
  #guard(decipher: Decipher): void {
    let handle = decipher._onPayload;
    this.#handle = (payload) => handle(payload);
    const receive: Payloads = (payload) => {
      if (payload[0] === messages.kexInit) return handle(this.#shown(payload));
      return this.#isHeld(payload) ? undefined : handle(payload);
    };
    Object.defineProperty(decipher, '_onPayload', {
      get: () => receive,
      set: (next: Payloads) => {
        handle = next;
      },
    });
  }

  #isHeld(payload: Buffer): boolean {
    const isBehindKeys = this.#exchange?._receivedNEWKEYS === true;
    if (!this.#held || !isBehindKeys || payload[0] === messages.disconnect) return false;
    if (this.#held.length >= maxHeldPackets) {
      throw new ClientFailure('connection', 'the server goes on before its key is accepted');
    }
    this.#held.push(Buffer.from(payload));
    return true;
  }

  /** The package decides by the lists that it sees: those of what has been agreed on. */
  #shown(payload: Buffer): Buffer {
    const peer = KexInit.decode(payload);
    const agreement = agreeWith(this.#offer, peer);
    this.#agreement = agreement;
    this.#theirKexInit = Buffer.from(payload);
    const name = agreement.kex === mlkem ? standIn : agreement.kex;
    const announced = theirAnnouncements.filter((each) => peer.kex.includes(each));
    // In front of the method an empty name: so the package sees that the guess is wrong.
    const kex = agreement.isWrongGuess ? ['guess', name, ...announced] : [name, ...announced];
    return KexInit.encode({ ...peer, kex, firstKexPacketFollows: agreement.isWrongGuess });
  }

  #adopt(exchange: Exchange): void {
    const agreement = this.#agreement;
    if (!agreement) throw new Error('an exchange without a KEXINIT');
    exchange._remoteKexinit = this.#theirKexInit;
    exchange.negotiated.kex = agreement.kex;
    if (agreement.kex === mlkem) becomeMlkem(exchange);
    const parse = exchange.parse.bind(exchange);
    exchange.parse = (payload) => {
      const isReply = exchange._step === 1 && payload[0] === messages.kexReply;
      return parse(isReply ? this.#proven(exchange, agreement, payload) : payload);
    };
  }

  /** The reply with a signature that is right, as the package understands it. */
  #proven(exchange: Exchange, agreement: Agreement, payload: Buffer): Buffer {
    const { hostKey, serverValue, signature } = KexReply.decode(payload);
    const row = hostKeyAlgorithms.find(({ name }) => name === agreement.hostKey);
    if (row === undefined) throw new Error(`no host key algorithm ${agreement.hostKey}`);
    const plain = plainKeyOf(hostKey, row.keyType);
    const values = {
      clientValue: exchange.getPublicKey(),
      serverValue,
      sharedSecret: secretOf(exchange, serverValue),
    };
    checkExchange(agreement.kex, values);
    const hash = exchangeHash(agreement.kex, {
      ...values,
      clientVersion: this.#protocol._identRaw,
      serverVersion: this.#protocol._remoteIdentRaw,
      clientKexInit: exchange._kexinit,
      serverKexInit: this.#theirKexInit,
      hostKey,
    });
    const key = parsePublicKey(plain);
    if (!key.ok) throw refused(`the host key: ${key.reason}`);
    if (!verifySignature(row.signature, key.key, signature, hash)) {
      throw refused('the server has not the private key of the host key that it shows');
    }
    this.#presented = Buffer.from(hostKey);
    this.#hostProof ??= { hostKey: this.#presented, signature: Buffer.from(signature) };
    exchange.negotiated.serverHostKey = row.signature;
    exchange.computeSecret = () => values.sharedSecret;
    if (!plain.equals(hostKey)) withCertificate(exchange, this.#presented, plain);
    return KexReply.encode({ hostKey: plain, serverValue, signature });
  }
}

function refused(text: string): ClientFailure {
  return new ClientFailure('host-key', text);
}

/** The package appends the announcements only to lists that it makes itself. */
function offerOf(present: Offer, { kex, hostKey, cipher, mac }: ClientOffer): Offer {
  const direction: Direction = { cipher, mac, compress: ['none'], lang: [] };
  const make = present.constructor as new (lists: {
    kex: readonly string[];
    serverHostKey: readonly string[];
    cs: Direction;
    sc: Direction;
  }) => Offer;
  const offer = new make({
    kex: [...kex, ...ownAnnouncements],
    serverHostKey: hostKey,
    cs: direction,
    sc: direction,
  });
  // For matching only: the bytes that are sent are made already.
  offer.lists.kex.array = [...new Set([...kex, standIn])];
  return offer;
}

function becomeMlkem(exchange: Exchange): void {
  const offer = initiate();
  exchange.type = 'mlkem768';
  exchange.convertPublicKey = (value) => value;
  exchange.getPublicKey = () => offer.clientValue;
  exchange.computeSecret = (value) => offer.finish(value);
}

function secretOf(exchange: Exchange, serverValue: Buffer): Buffer {
  const secret = exchange.computeSecret(serverValue);
  if (secret instanceof Error) throw refused(`the key exchange fails: ${secret.message}`);
  return secret;
}

/** The key within, where a certificate was agreed on; anything else is refused. */
function plainKeyOf(blob: Buffer, keyType: string): Buffer {
  const claimed = nameIn(blob);
  if (claimed !== keyType) {
    throw refused('the server shows a host key of another type than was agreed on');
  }
  if (!isCertificate(blob)) return blob;
  const plain = plainKeyBlob(blob);
  if (plain === undefined) throw refused('the host certificate cannot be read');
  return plain;
}

function nameIn(blob: Buffer): string {
  const length = blob.length < 4 ? 0 : blob.readUInt32BE(0);
  return length > 64 ? '' : blob.toString('latin1', 4, 4 + length);
}

/**
 * The package has one name for what goes into the exchange hash and for what verifies: the
 * certificate when it begins, the key within once the hash has taken it.
 */
function withCertificate(exchange: Exchange, certificate: Buffer, plain: Buffer): void {
  const finish = exchange.finish.bind(exchange);
  const publicKey = exchange.getPublicKey.bind(exchange);
  exchange.finish = (scOnly) => {
    exchange._hostKey = certificate;
    exchange.getPublicKey = () => {
      exchange._hostKey = plain;
      return publicKey();
    };
    return finish(scOnly);
  };
}

/** Checks the shape of what is relied on, so that another version fails clearly and at once. */
function protocolOf(client: Client): Protocol {
  const protocol = (client as unknown as { _protocol?: Partial<Protocol> })._protocol;
  const isWhole =
    protocol !== undefined &&
    Array.isArray(protocol._offer?.lists?.kex?.array) &&
    Buffer.isBuffer(protocol._identRaw) &&
    (['_kex', '_decipher', '_remoteIdentRaw'] as const).every(
      (name) => Object.hasOwn(protocol, name) && protocol[name] === undefined,
    );
  if (!isWhole) throw new Error('ssh2 is not the version that this client was written for');
  return protocol as Protocol;
}
