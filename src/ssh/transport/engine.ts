/**
 * The one file, with ssh2-protocol.ts that loads it and ssh2-shape.ts that checks it, that touches names
 * of the npm package ssh2 which are not public: a subclass of its `Protocol` (identification, RFC 4253 key exchange, record layer)
 * with seams for the cookie, the signature that is made elsewhere, ML-KEM and our own dispatch.
 * Runs in: worker.
 *
 * The package's closed algorithm switch decides by the peer's KEXINIT. We choose the key exchange
 * method ourselves, show it a KEXINIT with that method alone (ML-KEM as curve25519, whose methods
 * are then replaced) and put the original back for the exchange hash.
 */
import {
  CompressionError,
  KexError,
  MacError,
  ProtocolError,
  VersionError,
} from '../../base/errors.ts';
import { hostKeyAlgorithms } from '../wire/algorithms.ts';
import { checkClientValue } from '../wire/kex-values.ts';
import { Reader } from '../wire/reader.ts';
import { respond } from './mlkem768x25519-sha256.ts';
import {
  layoutOf,
  leastPadBytes,
  type PacketLayout,
  payloadAt,
  writeChannelDataHead,
} from './packet-layout.ts';
import {
  type Decipher,
  type DecipherAnswer,
  largestPacketBytes,
  makeRoom,
} from './ssh2-protocol.ts';
import {
  type EngineHostKey,
  handlers,
  type KeyExchange,
  type Negotiated,
  Protocol,
  zlib,
} from './ssh2-shape.ts';
import type { Exchange } from './transport.ts';

/** What one packet may inflate to; OpenSSH sends packets of at most this size uncompressed. */
const maxInflatedBytes = largestPacketBytes;

/** Below this a packet of its own is as cheap. */
const largeBytes = 4096;
/** The method under which ML-KEM passes the package's switch. */
const standIn = 'curve25519-sha256';
const mlkem = 'mlkem768x25519-sha256';

export interface EngineOffer {
  /** Wire names, announcements included. */
  readonly kex: readonly string[];
  readonly serverHostKey: readonly string[];
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
  readonly compress: readonly string[];
}

export interface EngineSettings {
  /** Identification without CR LF. */
  readonly version: string;
  readonly offer: EngineOffer;
  /** Public blobs by host key algorithm. */
  readonly hostKeys: ReadonlyMap<string, Buffer>;
}

export interface EngineEvents {
  /** The cookie of the KEXINIT that is about to be sent: 16 bytes. */
  takeCookie(): Buffer;
  write(packet: Buffer): void;
  /** Memory for one large packet, which is written before anything else; undefined: none to spare. */
  space(byteCount: number): Buffer | undefined;
  /** Random padding. */
  pad(into: Buffer, at: number, byteCount: number): void;
  /** One decrypted, decompressed payload; returns what the engine's own call returned, if any. */
  packet(payload: Buffer): DecipherAnswer;
  /** The exchange is computed: `resumeExchange` with its signature, or never. */
  exchange(exchange: Exchange): void;
  /** First exchange only: our NEWKEYS is out and what follows it is under the new keys. */
  firstKeysOut(): void;
  keysTaken(): void;
}

export interface ChosenKex {
  readonly kex: string;
  /** As received; goes into the exchange hash. */
  readonly original: Buffer;
  /** The same with `substituteFor(kex)` as only method and no guess. */
  readonly shown: Buffer;
}

export class Engine extends Protocol {
  readonly #events: EngineEvents;
  #exchange: KeyExchange | undefined;
  #ownKexInit: Buffer | undefined;
  #inbound: Decipher | undefined;
  /** Of the first exchange: waits for the peer's NEWKEYS. */
  #nextInbound: Decipher | undefined;
  #switchesEarly = false;
  #chosen: ChosenKex | undefined;
  #identification: Buffer | undefined;
  #fatalReason: number | undefined;
  /** Thrown by our side of the dispatch, so not a finding about the peer's bytes. */
  #thrownAbove: unknown;
  #released = false;
  /** Of large outgoing packets; undefined: the package makes them. */
  #layout: PacketLayout | undefined;

  constructor(settings: EngineSettings, events: EngineEvents) {
    const { offer } = settings;
    const direction = {
      cipher: [...offer.cipher],
      mac: [...offer.mac],
      compress: [...offer.compress],
      lang: [],
    };
    const hostKeys: Record<string, EngineHostKey> = {};
    for (const [algorithm, blob] of settings.hostKeys) {
      hostKeys[algorithm] = publicHostKey(blob);
    }
    super({
      server: true,
      ident: settings.version.slice('SSH-2.0-'.length),
      hostKeys,
      // The package appends kex-strict-s itself.
      offer: {
        kex: [...offer.kex],
        serverHostKey: [...offer.serverHostKey],
        cs: direction,
        sc: direction,
      },
      messageHandlers: {},
      onWrite: (packet) => events.write(packet),
      onError: (error) => this.#fail(error),
      onHeader: () => {
        // The package decodes and encodes the line again, which changes bytes beyond ASCII.
        this._remoteIdentRaw = this.#identification as Buffer;
      },
      onHandshakeComplete: () => {
        this.#boundInflation();
        this.#chosen = undefined;
        this.#layout = this.#packetLayout();
        if (!this.#switchesEarly) {
          events.keysTaken();
        }
      },
    });
    this.#events = events;
    this._onPayload = this.#dispatch;
    const matched = this._offer.lists.kex;
    if (!matched.array.includes(standIn)) {
      // For matching only; the bytes that are sent are made already.
      matched.array = [...matched.array, standIn];
    }
  }

  // ---- what the transport calls ----

  /** The first call: the peer's identification without CR LF. */
  acceptIdentification(line: Buffer): void {
    this.#identification = Buffer.from(line);
    const whole = Buffer.concat([line, Buffer.from('\r\n')]);
    try {
      super.parse(whole, 0, whole.length);
    } catch (cause) {
      this.#rethrowAbove(cause);
      throw new VersionError('the identification cannot be parsed', false, { cause });
    }
  }

  /** Decrypts and dispatches; what is wrong with the bytes is thrown as a DisconnectError. */
  feed(chunk: Buffer, from: number): void {
    if (this.#inbound !== undefined) {
      makeRoom(this.#inbound, chunk.length - from);
    }
    try {
      super.parse(chunk, from, chunk.length);
    } catch (cause) {
      this.#rethrowAbove(cause);
      throw recordError(cause);
    }
    const { _packet: begun } = this.#inbound ?? {};
    if (begun?.buffer === chunk.buffer) {
      // All but its MAC has come; the chunk may be read into again.
      (this.#inbound as Decipher)._packet = Buffer.from(begun);
    }
  }

  /** The peer's KEXINIT, first or later; sends ours if it is not out yet. */
  acceptKexInit(chosen: ChosenKex): DecipherAnswer {
    this.#chosen = chosen;
    return handlers[20]?.(this, chosen.shown);
  }

  /** Message 30 or 21. */
  acceptKexMessage(payload: Buffer): DecipherAnswer {
    return this.#exchange?.parse(payload);
  }

  /** Continues after `events.exchange`: sends the reply and NEWKEYS. */
  resumeExchange(signature: Buffer, hash: Buffer): void {
    const exchange = this.#exchange as KeyExchange;
    const { negotiated } = exchange;
    const row = hostKeyAlgorithms.find(({ name }) => name === negotiated.serverHostKey);
    const algorithm = row?.signature ?? negotiated.serverHostKey;
    const value = signatureValue(signature, algorithm);
    // The package writes this name into the signature: with a certificate it is the key's.
    negotiated.serverHostKey = algorithm;
    const blob = exchange._hostKey.getPublicSSH();
    exchange._hostKey = {
      ...publicHostKey(blob),
      sign: (own) => (own.equals(hash) ? value : new Error('the signed hash is another one')),
    };
    const isFirst = exchange.sessionID === undefined;
    // Uncovers the package's own method, which runs once.
    delete (exchange as Partial<KeyExchange>).finish;
    exchange.finish();
    if (isFirst) {
      this.#takeFirstOutboundKeys(exchange);
    }
  }

  /**
   * The package switches both directions when the peer's NEWKEYS comes. EXT_INFO stands right behind
   * ours (RFC 8308 §2.4), and libssh looks for it before it sends anything: so for the first exchange
   * the package makes both ciphers now, and the one for input is kept back.
   */
  #takeFirstOutboundKeys(exchange: KeyExchange): void {
    this.#switchesEarly = true;
    exchange.finish(true);
    exchange.finish();
    this.#switchesEarly = false;
    exchange.finish = () => {
      const next = this.#nextInbound as Decipher;
      // NEWKEYS has been counted, or with strict kex has set it to 0.
      next.inSeqno = (this.#inbound as Decipher).inSeqno;
      this.#nextInbound = undefined;
      this.#inbound = next;
      this.#events.keysTaken();
      return false;
    };
    this.#events.firstKeysOut();
  }

  /** Encrypts and writes at once, also while an exchange runs. */
  sendNow(payload: Buffer): void {
    const writer = this._packetRW.write;
    const packet = writer.alloc(payload.length, true);
    packet.set(payload, writer.allocStartKEX);
    this._cipher.encrypt(writer.finalize(packet, true));
  }

  sendChannelDataNow(recipientChannel: number, data: Buffer, stderr: boolean): void {
    const headBytes = stderr ? 13 : 9;
    const large =
      data.length >= largeBytes ? this.#largePacket(headBytes + data.length) : undefined;
    if (large !== undefined) {
      writeChannelDataHead(large, payloadAt, recipientChannel, data.length, stderr);
      large.set(data, payloadAt + headBytes);
      this._cipher.encrypt(large);
      return;
    }
    const writer = this._packetRW.write;
    const packet = writer.alloc(headBytes + data.length, true);
    const at = writer.allocStartKEX;
    writeChannelDataHead(packet, at, recipientChannel, data.length, stderr);
    packet.set(data, at + headBytes);
    this._cipher.encrypt(writer.finalize(packet, true));
  }

  /** As the package's `allocPacket` (RFC 4253 §6), in memory that is used again and again. */
  #largePacket(payloadBytes: number): Buffer | undefined {
    const layout = this.#layout;
    if (layout === undefined) {
      return undefined;
    }
    const { blockBytes, lengthOutsideBytes, macBytes } = layout;
    const bare = payloadAt + payloadBytes;
    let padBytes = blockBytes - ((bare - lengthOutsideBytes) & (blockBytes - 1));
    if (padBytes < leastPadBytes) {
      padBytes += blockBytes;
    }
    const packet = this.#events.space(bare + padBytes + macBytes);
    if (packet !== undefined) {
      packet.writeUInt32BE(bare + padBytes - 4, 0);
      packet[4] = padBytes;
      this.#events.pad(packet, bare, padBytes);
    }
    return packet;
  }

  startCompression(): void {
    this._authenticated = true;
    const negotiated = this.#exchange?.negotiated;
    if (negotiated?.cs.compress === 'zlib@openssh.com') {
      this._packetRW.read = new zlib.ZlibPacketReader();
      this.#boundInflation();
    }
    if (negotiated?.sc.compress === 'zlib@openssh.com') {
      this.#layout = undefined;
      this._packetRW.write = new zlib.ZlibPacketWriter(this);
    }
  }

  /**
   * Between our NEWKEYS and the peer's the package still holds the old cipher, but the peer reads
   * with the new one. For a DISCONNECT in that gap the new cipher is taken now.
   */
  takeOutboundKeys(): void {
    const exchange = this.#exchange;
    const areTaken = this.#nextInbound !== undefined;
    if (exchange?._sentNEWKEYS && !exchange._receivedNEWKEYS && !areTaken) {
      exchange._receivedNEWKEYS = true;
      exchange.finish();
    }
  }

  release(): void {
    this.#released = true;
    this.cleanup();
  }

  get sessionId(): Buffer | undefined {
    return this.#exchange?.sessionID;
  }
  get negotiated(): Negotiated | undefined {
    return this.#exchange?.negotiated;
  }
  /** Our KEXINIT is out and its exchange has not ended. */
  get isExchanging(): boolean {
    return this.#ownKexInit !== undefined;
  }
  get isStrict(): boolean {
    return this._strictMode === true;
  }
  /** Sequence number of the packet that is being handled. */
  get inboundSequence(): number {
    return ((this.#inbound?.inSeqno ?? 1) - 1) >>> 0;
  }

  // ---- seams; the accessors also run inside super(), before the private names exist ----

  override get _kexinit(): Buffer | undefined {
    return #events in this ? this.#ownKexInit : undefined;
  }
  override set _kexinit(payload: Buffer | undefined) {
    if (#events in this) {
      // Set by the package after it wrote random bytes there and before it copies the payload.
      payload?.set(
        this.#above(() => this.#events.takeCookie()),
        1,
      );
      this.#ownKexInit = payload;
    }
  }

  override get _decipher(): Decipher | undefined {
    return #events in this ? this.#inbound : undefined;
  }
  override set _decipher(decipher: Decipher | undefined) {
    if (#events in this && decipher !== undefined) {
      // The first one comes with the package's own dispatch.
      decipher._onPayload = this.#dispatch;
      if (this.#switchesEarly) {
        this.#nextInbound = decipher;
      } else {
        this.#inbound = decipher;
      }
    }
  }

  override get _kex(): KeyExchange | undefined {
    return #events in this ? this.#exchange : undefined;
  }
  override set _kex(exchange: KeyExchange | undefined) {
    if (!(#events in this) || exchange === undefined) {
      return;
    }
    const chosen = this.#chosen as ChosenKex;
    this.#exchange = exchange;
    exchange._remoteKexinit = chosen.original;
    exchange.negotiated.kex = chosen.kex;
    // The package's EXT_INFO is malformed; the transport sends its own.
    Object.defineProperty(exchange, 'remoteExtInfoEnabled', { get: () => false, set() {} });
    if (chosen.kex === mlkem) {
      becomeMlkem(exchange);
    }
    // On a later exchange the package has just put its own dispatch there.
    (this.#inbound as Decipher)._onPayload = this.#dispatch;
    exchange.finish = () => this.#handOver(exchange);
  }

  /** The package asks for a DISCONNECT, then destroys itself, then reports: we only report. */
  override disconnect(reason: number): void {
    this.#fatalReason = reason;
  }
  override _destruct(reason?: string): void {
    if (this.#fatalReason === undefined || this.#released) {
      super._destruct(reason);
    }
  }

  #fail(error: Error): never {
    throw this.#fatalReason === 3
      ? new KexError(error.message, { cause: error })
      : new ProtocolError(error.message, { cause: error });
  }

  #rethrowAbove(error: unknown): void {
    if (error === this.#thrownAbove && error !== undefined) {
      throw error;
    }
  }

  readonly #dispatch = (bytes: Buffer): DecipherAnswer =>
    this.#above(() => {
      if (bytes.length === 0) {
        throw new ProtocolError('a packet without payload');
      }
      return this.#events.packet(this.#inflate(bytes));
    });

  /** What is thrown here is known for it when it comes out of the package. */
  #above<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.#thrownAbove = error;
      throw error;
    }
  }

  #packetLayout(): PacketLayout | undefined {
    const { negotiated } = this.#exchange ?? {};
    const compresses =
      negotiated?.sc.compress === 'zlib' ||
      (negotiated?.sc.compress === 'zlib@openssh.com' && this._authenticated);
    return negotiated === undefined || compresses
      ? undefined
      : layoutOf(negotiated.sc.cipher, negotiated.sc.mac);
  }

  #inflate(bytes: Buffer): Buffer {
    let payload: Buffer;
    try {
      payload = this._packetRW.read.read(bytes);
    } catch (cause) {
      throw new CompressionError('a packet does not inflate', { cause });
    }
    if (payload.length === 0) {
      throw new ProtocolError('a packet that inflates to nothing');
    }
    return payload;
  }

  #boundInflation(): void {
    const inflater = this._packetRW.read._zlib;
    if (inflater !== undefined) {
      inflater._maxOutputLength = maxInflatedBytes;
    }
  }

  /** In place of the package's `finish`, which would sign at once. */
  #handOver(exchange: KeyExchange): undefined {
    const clientValue = exchange._dhData;
    if (exchange.type === 'group' && ((clientValue[0] ?? 0x80) & 0x80) !== 0) {
      throw new KexError('the public value is empty or negative');
    }
    checkClientValue(exchange.negotiated.kex, clientValue);
    const secret = exchange.computeSecret(clientValue);
    if (secret instanceof Error) {
      throw secret instanceof KexError
        ? secret
        : new KexError('the public value is not valid', { cause: secret });
    }
    exchange.computeSecret = () => secret;
    exchange.finish = () => {
      throw new ProtocolError('NEWKEYS before the exchange is signed');
    };
    this.#events.exchange({
      clientVersion: this._remoteIdentRaw,
      serverVersion: this._identRaw,
      clientKexInit: exchange._remoteKexinit,
      serverKexInit: exchange._kexinit,
      hostKey: exchange._hostKey.getPublicSSH(),
      kexAlgorithm: exchange.negotiated.kex,
      hostKeyAlgorithm: exchange.negotiated.serverHostKey,
      clientValue: exchange.convertPublicKey(clientValue),
      serverValue: exchange.getPublicKey(),
      sharedSecret: secret,
    });
    return undefined;
  }
}

/** The name under which a method passes the package's switch. */
export function substituteFor(kex: string): string {
  return kex === mlkem ? standIn : kex;
}

function becomeMlkem(exchange: KeyExchange): void {
  let serverValue: Buffer = Buffer.alloc(0);
  exchange.type = 'mlkem768';
  exchange.convertPublicKey = (value) => value;
  exchange.getPublicKey = () => serverValue;
  exchange.computeSecret = (clientValue) => {
    const share = respond(clientValue);
    serverValue = share.serverValue;
    return share.sharedSecret;
  };
}

function publicHostKey(blob: Buffer): EngineHostKey {
  return {
    // Not a name the package knows: it must not convert the signature.
    type: 'public',
    getPublicSSH: () => blob,
    sign: () => new Error('no private key in this process'),
  };
}

/** RFC 4253 §6.6: string algorithm · string value. */
function signatureValue(signature: Buffer, algorithm: string): Buffer {
  const from = new Reader(signature);
  const name = from.string().toString('latin1');
  const value = from.string();
  from.end();
  if (name !== algorithm) {
    throw new KexError(`signed with ${name} where ${algorithm} was asked for`);
  }
  return value;
}

/** The record layer's own errors have texts only; the binding reports a bad GCM tag as OpenSSL's. */
function recordError(cause: unknown): Error {
  const text = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof RangeError || text.startsWith('Bad packet length')) {
    return new ProtocolError(cause instanceof RangeError ? 'bad padding length' : text, { cause });
  }
  return new MacError(text, { cause });
}
