/**
 * The server's side of RFC 4253 over any Duplex: phases, queueing while keys are exchanged, rekeying,
 * bounds, orderly end. The bytes themselves are engine.ts's. Runs in: worker.
 */
import type { Duplex } from 'node:stream';
import {
  ConfigError,
  type DisconnectError,
  KexError,
  Lost,
  ProtocolError,
  VersionError,
} from '../../base/errors.ts';
import {
  type AlgorithmRow,
  cipherAlgorithms,
  compressionAlgorithms,
  defaultNames,
  hostKeyAlgorithms,
  kexAlgorithms,
  macAlgorithms,
  userKeyAlgorithms,
} from '../wire/algorithms.ts';
import { Reader } from '../wire/reader.ts';
import { farewell } from './disconnect.ts';
import { Engine, substituteFor, writeChannelDataHead } from './engine.ts';
import { limits } from './limits.ts';
import { Disconnect, ExtInfo, Ping, Pong, Unimplemented } from './messages.ts';
import {
  chooseKex,
  clientExtInfo,
  clientStrictKex,
  KexInit,
  type KexOffer,
  serverExtInfo,
} from './negotiation.ts';
import { Output } from './output.ts';
import { actionFor, type Phase } from './phase.ts';
import type { Exchange, ExchangeSigner, Transport } from './transport.ts';

export interface ServerTransportSettings {
  /** Identification without CR LF, e.g. `SSH-2.0-sshdesk_0.1.0`. */
  readonly version: string;
  readonly algorithms: {
    readonly kex: readonly string[];
    readonly serverHostKey: readonly string[];
    readonly cipher: readonly string[];
    readonly mac: readonly string[];
    readonly compress: readonly string[];
  };
  /** Public blobs; the first of each type is used. */
  readonly hostKeys: readonly Buffer[];
  /** 0: only as often as the cipher asks (RFC 4344 §3.2). */
  readonly rekeyBytes: number;
  /** 0: never by time. */
  readonly rekeyMs: number;
  /** server-sig-algs of EXT_INFO; default: all that are implemented. */
  readonly userKeyAlgorithms?: readonly string[];
}

export interface ServerTransportOptions {
  readonly stream: Duplex;
  readonly settings: ServerTransportSettings;
  readonly signer: ExchangeSigner;
  /** After each read until `authenticated()`: the kernel forgets TCP_QUICKACK each time. */
  readonly afterRead?: () => void;
  /** A fault of ours that ended the connection, for the log. */
  readonly onBug?: (error: unknown) => void;
}

/** Starts at once: the identification is sent in this turn; set the handlers before the next one. */
export function createServerTransport(options: ServerTransportOptions): Transport {
  return new ServerTransport(options);
}

/** Queued instead of a payload: compression starts behind SUCCESS, not in front of it. */
const startCompression = Symbol('start compression');

class ServerTransport implements Transport {
  readonly #stream: Duplex;
  readonly #settings: ServerTransportSettings;
  readonly #signer: ExchangeSigner;
  readonly #afterRead: (() => void) | undefined;
  readonly #onBug: (error: unknown) => void;
  readonly #engine: Engine;
  readonly #output: Output;
  readonly #offer: KexOffer;

  #phase: Phase = 'negotiating';
  #isFirstExchange = true;
  #skipGuess = false;
  #clientWantsExtInfo = false;
  #isAuthenticated = false;
  #identification: Buffer | undefined = Buffer.alloc(0);
  #peerVersion = '';

  #queue: (Buffer | typeof startCompression)[] = [];
  #queuedBytes = 0;
  #owesDrain = false;
  #turnIsScheduled = false;
  #turnBytes = 0;
  #isPausedAbove = false;
  #isReading = true;
  #isHandling = false;

  #unauthenticatedBytes = 0;
  #unauthenticatedExchanges = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #packetsIn = 0;
  #packetsOut = 0;
  #unansweredBytes = 0;
  #maxBytesIn = Number.POSITIVE_INFINITY;
  #maxBytesOut = Number.POSITIVE_INFINITY;
  #rekeyTimer: NodeJS.Timeout | undefined;

  #isClosed = false;
  #lingerTimer: NodeJS.Timeout | undefined;
  #lingeredBytes = 0;

  onPayload: (payload: Buffer) => void = () => {};
  onDrain: () => void = () => {};
  onReady: () => void = () => {};
  onClose: (error: Error | undefined, peerReason?: { reason: number; text: string }) => void =
    () => {};

  constructor(options: ServerTransportOptions) {
    const { stream, settings } = options;
    this.#stream = stream;
    this.#settings = settings;
    this.#signer = options.signer;
    this.#afterRead = options.afterRead;
    this.#onBug = options.onBug ?? (() => {});
    const hostKeys = usableHostKeys(settings);
    this.#offer = {
      kex: known(settings.algorithms.kex, kexAlgorithms),
      serverHostKey: [...hostKeys.keys()],
    };
    this.#output = new Output(stream, () => this.#onFlushed());
    this.#engine = new Engine(
      {
        version: settings.version,
        hostKeys,
        offer: {
          ...this.#offer,
          kex: [...this.#offer.kex, serverExtInfo],
          cipher: known(settings.algorithms.cipher, cipherAlgorithms),
          mac: known(settings.algorithms.mac, macAlgorithms),
          compress: known(settings.algorithms.compress, compressionAlgorithms),
        },
      },
      {
        takeCookie: () => this.#takeCookie(),
        write: (packet) => this.#write(packet),
        packet: (payload) => this.#onPacket(payload),
        exchange: (exchange) => this.#sign(exchange),
        keysTaken: () => this.#onKeysTaken(),
      },
    );
    stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    stream.on('end', () => this.#finish(undefined));
    stream.on('error', (cause: Error) => {
      this.#finish(new Lost(`the socket failed: ${cause.message}`, { cause }));
    });
    stream.on('close', () => {
      clearTimeout(this.#lingerTimer);
      this.#finish(undefined);
    });
    this.#engine.start();
  }

  get sessionId(): Buffer | undefined {
    return this.#engine.sessionId;
  }

  get peerVersion(): string {
    return this.#peerVersion;
  }

  // ---- output ----

  send(payload: Buffer): boolean {
    if (this.#isClosed) {
      return false;
    }
    if (this.#engine.isExchanging) {
      this.#enqueue(payload);
    } else {
      this.#engine.sendNow(payload);
    }
    return this.#hasRoom();
  }

  sendChannelData(recipientChannel: number, data: Buffer, stderr = false): boolean {
    if (this.#isClosed) {
      return false;
    }
    if (this.#engine.isExchanging) {
      const headBytes = stderr ? 13 : 9;
      const payload = Buffer.allocUnsafe(headBytes + data.length);
      writeChannelDataHead(payload, 0, recipientChannel, data.length, stderr);
      payload.set(data, headBytes);
      this.#enqueue(payload);
    } else {
      this.#engine.sendChannelDataNow(recipientChannel, data, stderr);
    }
    return this.#hasRoom();
  }

  unimplemented(): void {
    this.send(Unimplemented.encode({ sequence: this.#engine.inboundSequence }));
  }

  #hasRoom(): boolean {
    const hasRoom = this.#queuedBytes + this.#output.pendingBytes < limits.outputHighBytes;
    this.#owesDrain ||= !hasRoom;
    return hasRoom;
  }

  #enqueue(payload: Buffer): void {
    this.#queuedBytes += payload.length + limits.queuedEntryBytes;
    if (this.#queuedBytes > limits.queuedBytes) {
      // Not thrown: the sender may be anybody, and it is the peer who does not finish.
      this.disconnect(new ProtocolError('too much waits for the end of a key exchange'));
      return;
    }
    this.#queue.push(payload);
  }

  #drainQueue(): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const entry of queue) {
      if (entry === startCompression) {
        this.#engine.startCompression();
      } else {
        this.#engine.sendNow(entry);
      }
    }
  }

  /** The engine's packets, encrypted. */
  #write(packet: Buffer): void {
    this.#bytesOut += packet.length;
    this.#packetsOut++;
    this.#output.push(packet);
    this.#scheduleTurn();
  }

  #onFlushed(): void {
    if (this.#isClosed) {
      return;
    }
    this.#updateReading();
    this.#drained();
  }

  #drained(): void {
    const pending = this.#queuedBytes + this.#output.pendingBytes;
    if (this.#owesDrain && !this.#engine.isExchanging && pending <= limits.outputLowBytes) {
      this.#owesDrain = false;
      this.#guard(() => this.onDrain());
    }
  }

  // ---- turns of the loop ----

  /** After the I/O of this turn: one writev, a new budget for input, the question of new keys. */
  #scheduleTurn(): void {
    if (!this.#turnIsScheduled) {
      this.#turnIsScheduled = true;
      setImmediate(() => this.#endTurn());
    }
  }

  #endTurn(): void {
    this.#turnIsScheduled = false;
    this.#turnBytes = 0;
    this.#output.flush();
    if (this.#isClosed) {
      return;
    }
    this.#updateReading();
    this.#rekeyWhenDue();
  }

  // ---- input ----

  pause(): void {
    this.#isPausedAbove = true;
    this.#updateReading();
  }

  resume(): void {
    this.#isPausedAbove = false;
    this.#updateReading();
  }

  #updateReading(): void {
    if (this.#isClosed) {
      return;
    }
    // While keys are exchanged somebody above may wait for `onDrain`, which waits for the peer.
    const isPausedAbove = this.#isPausedAbove && !this.#engine.isExchanging;
    const shouldRead =
      !isPausedAbove &&
      this.#turnBytes < limits.inputPerTurnBytes &&
      this.#output.pendingBytes < limits.outputStopsInputBytes;
    if (shouldRead !== this.#isReading) {
      this.#isReading = shouldRead;
      if (shouldRead) {
        this.#stream.resume();
      } else {
        this.#stream.pause();
      }
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#isClosed) {
      this.#lingeredBytes += chunk.length;
      if (this.#lingeredBytes > limits.lingerBytes) {
        this.#stream.destroy();
      }
      return;
    }
    this.#isHandling = true;
    this.#guard(() => {
      if (!this.#isAuthenticated) {
        this.#afterRead?.();
      }
      this.#count(chunk.length);
      this.#take(chunk);
    });
    this.#isHandling = false;
    if (this.#isClosed) {
      this.#engine.release();
      return;
    }
    this.#scheduleTurn();
    this.#updateReading();
  }

  #count(bytes: number): void {
    this.#turnBytes += bytes;
    this.#bytesIn += bytes;
    if (!this.#isAuthenticated) {
      this.#unauthenticatedBytes += bytes;
      if (this.#unauthenticatedBytes > limits.unauthenticatedBytes) {
        throw new ProtocolError(`${this.#unauthenticatedBytes} bytes before authentication`);
      }
    }
    if (this.#phase === 'open' && this.#engine.isExchanging) {
      this.#unansweredBytes += bytes;
      if (this.#unansweredBytes > limits.unansweredKexInitBytes) {
        throw new ProtocolError('a KEXINIT stays without answer');
      }
    }
  }

  #take(chunk: Buffer): void {
    const from = this.#identification === undefined ? 0 : this.#takeIdentification(chunk);
    if (from < chunk.length) {
      this.#engine.feed(chunk, from);
    }
  }

  /** RFC 4253 §4.2, whatever the pieces it comes in. Returns where the packets begin. */
  #takeIdentification(chunk: Buffer): number {
    const before = this.#identification as Buffer;
    const newline = chunk.indexOf(0x0a);
    const end = newline < 0 ? chunk.length : newline + 1;
    if (before.length + end > limits.identificationBytes) {
      throw new VersionError('the identification line is too long');
    }
    const line = Buffer.concat([before, chunk.subarray(0, end)]);
    if (newline < 0) {
      this.#identification = line;
      return end;
    }
    this.#identification = undefined;
    const bare = line.subarray(0, line.at(-2) === 0x0d ? -2 : -1);
    const text = bare.toString('latin1');
    if (!/^SSH-[^- \0\r]+-[^ \0\r][^\0\r]*$/.test(text)) {
      throw new VersionError(`not an identification: ${JSON.stringify(text)}`);
    }
    if (!/^SSH-(2\.0|1\.99)-/.test(text)) {
      throw new VersionError(`the peer speaks another version: ${JSON.stringify(text)}`);
    }
    this.#peerVersion = text;
    this.#engine.acceptIdentification(bare);
    return end;
  }

  /** Infinity ends the engine's loop over what it was given. */
  #onPacket(payload: Buffer): undefined | false | number {
    if (this.#isClosed) {
      return Number.POSITIVE_INFINITY;
    }
    this.#packetsIn++;
    const number = payload[0] as number;
    if (this.#skipGuess && number >= 30 && number < 50) {
      this.#skipGuess = false;
      return undefined;
    }
    const answer = this.#act(number, payload);
    return this.#isClosed ? Number.POSITIVE_INFINITY : answer;
  }

  #act(number: number, payload: Buffer): undefined | false | number {
    const action = actionFor(this.#phase, number);
    switch (action) {
      case 'end':
        return this.#onDisconnect(payload);
      case 'ignore':
        return undefined;
      case 'ignore-unless-strict':
        if (this.#isFirstExchange && this.#engine.isStrict) {
          throw new ProtocolError(`message ${number} in the first exchange of a strict kex`);
        }
        return undefined;
      case 'check-ext-info':
        ExtInfo.decode(payload);
        return undefined;
      case 'negotiate':
        return this.#negotiate(payload);
      case 'exchange':
        return this.#exchange(payload);
      case 'take-keys':
        if (payload.length !== 1) {
          throw new ProtocolError('bytes behind NEWKEYS');
        }
        return this.#engine.acceptKexMessage(payload);
      case 'pong':
        this.send(Pong.encode(Ping.decode(payload)));
        return undefined;
      case 'deliver':
        this.onPayload(payload);
        return undefined;
      case 'unimplemented':
        this.unimplemented();
        return undefined;
      case undefined:
        throw new ProtocolError(`message ${number} while ${this.#phase}`);
    }
  }

  // ---- key exchange ----

  #negotiate(payload: Buffer): undefined | false | number {
    if (!this.#isAuthenticated) {
      this.#unauthenticatedExchanges++;
      if (this.#unauthenticatedExchanges > limits.unauthenticatedExchanges) {
        throw new ProtocolError('too many key exchanges before authentication');
      }
    }
    // The engine keeps the payload for the hash; the socket's chunk may be large.
    const original = Buffer.from(payload);
    const peer = KexInit.decode(original);
    const choice = chooseKex(this.#offer, peer);
    const announced = [clientExtInfo, clientStrictKex].filter((name) => peer.kex.includes(name));
    const shown = KexInit.encode({
      ...peer,
      kex: [substituteFor(choice.kex), ...announced],
      firstKexPacketFollows: false,
    });
    if (this.#isFirstExchange) {
      this.#clientWantsExtInfo = choice.clientWantsExtInfo;
    }
    const answer = this.#engine.acceptKexInit({ kex: choice.kex, original, shown });
    this.#skipGuess = choice.wrongGuess;
    this.#phase = 'exchanging';
    this.#unansweredBytes = 0;
    return answer;
  }

  #exchange(payload: Buffer): undefined | false | number {
    const from = new Reader(payload, 1);
    from.string();
    from.end();
    this.#phase = 'signing';
    // A copy: the value is used again when the signature has come.
    return this.#engine.acceptKexMessage(Buffer.from(payload));
  }

  #takeCookie(): Buffer {
    const cookie = this.#signer.takeCookie();
    if (cookie.length !== 16) {
      throw new TypeError(`a cookie of ${cookie.length} bytes`);
    }
    return cookie;
  }

  #sign(exchange: Exchange): void {
    this.#signer.sign(exchange).then(
      ({ signature, hash }) => {
        if (!this.#isClosed) {
          this.#guard(() => {
            this.#phase = 'confirming';
            this.#engine.resumeExchange(signature, hash);
          });
        }
      },
      (cause: unknown) => {
        if (!this.#isClosed) {
          this.#close(cause instanceof Error ? cause : new KexError(String(cause)));
        }
      },
    );
  }

  #onKeysTaken(): void {
    if (this.#isClosed) {
      return;
    }
    const isFirst = this.#isFirstExchange;
    this.#phase = 'open';
    this.#isFirstExchange = false;
    this.#bytesIn = 0;
    this.#bytesOut = 0;
    this.#packetsIn = 0;
    this.#packetsOut = 0;
    const negotiated = this.#engine.negotiated;
    this.#maxBytesIn = this.#bytesPerKey(negotiated?.cs.cipher);
    this.#maxBytesOut = this.#bytesPerKey(negotiated?.sc.cipher);
    this.#startRekeyTimer();
    if (isFirst && this.#clientWantsExtInfo) {
      this.#sendExtInfo();
    }
    this.#drainQueue();
    if (isFirst) {
      this.onReady();
    } else {
      // Whoever waited for room may find it in the queue that has just gone.
      this.#scheduleTurn();
      process.nextTick(() => this.#onFlushed());
    }
  }

  #sendExtInfo(): void {
    const algorithms = this.#settings.userKeyAlgorithms ?? defaultNames(userKeyAlgorithms);
    const extensions = [
      { name: 'server-sig-algs', value: Buffer.from(algorithms.join(',')) },
      { name: 'ping@openssh.com', value: Buffer.from('0') },
    ];
    this.#engine.sendNow(ExtInfo.encode({ extensions }));
  }

  rekey(): void {
    if (!this.#isClosed && this.#phase === 'open' && !this.#engine.isExchanging) {
      this.#guard(() => {
        this.#unansweredBytes = 0;
        this.#engine.rekey();
        this.#updateReading();
      });
    }
  }

  /** As sshd: 2^(L/4) blocks of L bits, for short blocks 2^30 bytes; less when configured. */
  #bytesPerKey(cipher: string | undefined): number {
    const blockBytes = cipherAlgorithms.find((row) => row.name === cipher)?.blockBytes ?? 8;
    const most = blockBytes >= 16 ? 2 ** (blockBytes * 2) * blockBytes : 2 ** 30;
    return this.#settings.rekeyBytes > 0 ? Math.min(most, this.#settings.rekeyBytes) : most;
  }

  #rekeyWhenDue(): void {
    const isDue =
      this.#bytesIn > this.#maxBytesIn ||
      this.#bytesOut > this.#maxBytesOut ||
      this.#packetsIn > limits.packetsPerKey ||
      this.#packetsOut > limits.packetsPerKey;
    if (isDue && this.#isAuthenticated) {
      this.rekey();
    }
  }

  #startRekeyTimer(): void {
    clearTimeout(this.#rekeyTimer);
    if (this.#settings.rekeyMs > 0 && this.#isAuthenticated) {
      // A longer delay would fire at once.
      const delayMs = Math.min(this.#settings.rekeyMs, limits.timerMs);
      this.#rekeyTimer = setTimeout(() => this.rekey(), delayMs).unref();
    }
  }

  authenticated(): void {
    if (this.#isClosed || this.#isAuthenticated) {
      return;
    }
    this.#isAuthenticated = true;
    if (this.#engine.isExchanging) {
      this.#queue.push(startCompression);
    } else {
      this.#engine.startCompression();
    }
    this.#startRekeyTimer();
  }

  // ---- the end ----

  disconnect(error: Error): void {
    this.#close(error);
  }

  destroy(): void {
    this.#finish(undefined);
  }

  /** Everything from outside and from above passes here: a throw ends this connection only. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#close(error);
    }
  }

  #onDisconnect(payload: Buffer): undefined {
    const { reason, description } = Disconnect.decode(payload);
    this.#finish(undefined, { reason, text: description.toString('utf8') });
    return undefined;
  }

  /** Says why, waits a little for the peer to read it, then closes the socket. */
  #close(error: unknown): void {
    if (this.#isClosed) {
      return;
    }
    const last = farewell(error);
    // From here on nothing that the engine does reaches the layers above.
    this.#isClosed = true;
    if (this.#stream.writable) {
      this.#sayFarewell(error, last.payload);
    }
    if (last.isBug) {
      this.#onBug(error);
    }
    this.#ended(error instanceof Error ? error : new ProtocolError(String(error)));
    this.#stream.end();
    this.#stream.resume();
    this.#lingerTimer = setTimeout(() => this.#stream.destroy(), limits.lingerMs);
  }

  #sayFarewell(error: unknown, payload: Buffer): void {
    if (error instanceof VersionError && this.#peerVersion === '') {
      // As sshd: the peer does not speak packets.
      this.#output.push(Buffer.from('Invalid SSH identification string.\r\n'));
    } else if (this.#peerVersion !== '') {
      try {
        this.#engine.takeOutboundKeys();
        this.#engine.sendNow(payload);
      } catch (cause) {
        // The connection ends anyway; its cause is reported, this is only why nobody was told.
        this.#onBug(cause);
      }
    }
    this.#output.flush();
  }

  /** The socket is gone or to be gone, without a word. */
  #finish(error: DisconnectError | undefined, peer?: { reason: number; text: string }): void {
    if (this.#isClosed) {
      return;
    }
    this.#isClosed = true;
    this.#ended(error, peer);
    this.#stream.destroy();
  }

  #ended(error: Error | undefined, peer?: { reason: number; text: string }): void {
    clearTimeout(this.#rekeyTimer);
    this.#queue = [];
    this.#queuedBytes = 0;
    if (!this.#isHandling) {
      this.#engine.release();
    }
    // Not from inside a call of whoever listens.
    process.nextTick(() => {
      try {
        if (peer === undefined) {
          this.onClose(error);
        } else {
          this.onClose(error, peer);
        }
      } catch (bug) {
        this.#onBug(bug);
      }
    });
  }
}

function known(names: readonly string[], rows: readonly AlgorithmRow[]): readonly string[] {
  for (const name of names) {
    if (!rows.some((row) => row.name === name)) {
      throw new ConfigError(`algorithm ${JSON.stringify(name)} is not implemented`);
    }
  }
  return names;
}

/** In the order of the configured algorithms, those that there is a key for. */
function usableHostKeys(settings: ServerTransportSettings): ReadonlyMap<string, Buffer> {
  const byType = new Map<string, Buffer>();
  for (const blob of settings.hostKeys) {
    const type = new Reader(blob).string().toString('latin1');
    if (!byType.has(type)) {
      byType.set(type, blob);
    }
  }
  const usable = new Map<string, Buffer>();
  for (const name of known(settings.algorithms.serverHostKey, hostKeyAlgorithms)) {
    const row = hostKeyAlgorithms.find((candidate) => candidate.name === name);
    const blob = byType.get(row?.keyType ?? '');
    if (blob !== undefined) {
      usable.set(name, blob);
    }
  }
  if (usable.size === 0) {
    throw new ConfigError('no host key for any configured host key algorithm');
  }
  return usable;
}
