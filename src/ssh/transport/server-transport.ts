/**
 * The server's side of RFC 4253 over any Duplex: phases, queueing while keys are exchanged, rekeying,
 * bounds, orderly end. The bytes themselves are engine.ts's. Runs in: worker.
 */
import type { Duplex } from 'node:stream';
import {
  type DisconnectError,
  KexError,
  Lost,
  ProtocolError,
  VersionError,
} from '../../base/errors.ts';
import { defaultNames, userKeyAlgorithms } from '../wire/algorithms.ts';
import { Reader } from '../wire/reader.ts';
import { farewell } from './disconnect.ts';
import { Engine, substituteFor } from './engine.ts';
import { writeChannelDataHead } from './packet-layout.ts';
import { ExchangeQueue, startCompression } from './exchange-queue.ts';
import { IdentificationReader } from './identification.ts';
import { limits } from './limits.ts';
import { Disconnect, ExtInfo, Ping, Pong, serverExtensions, Unimplemented } from './messages.ts';
import { chooseKex, KexInit, type KexOffer, serverExtInfo, shownKexInit } from './negotiation.ts';
import { Output } from './output.ts';
import type { PacketMemory } from './packet-memory.ts';
import { actionFor, type Phase } from './phase.ts';
import { RekeyClock } from './rekey-clock.ts';
import { checkedOffer, type ServerTransportSettings } from './settings.ts';
import type { Exchange, ExchangeSigner, Transport } from './transport.ts';

export interface ServerTransportOptions {
  readonly stream: Duplex;
  readonly settings: ServerTransportSettings;
  readonly signer: ExchangeSigner;
  /** After each read until `authenticated()`: the kernel forgets TCP_QUICKACK each time. */
  readonly afterRead?: () => void;
  /**
   * Reads in place of the stream's 'data': it gives each chunk for the time of the call only, obeys
   * the stream's `pause` and `resume`. Called once.
   */
  readonly read?: (take: (chunk: Buffer) => void) => void;
  /** For a socket; a stream that keeps what it is given needs a buffer for each packet. */
  readonly memory?: PacketMemory;
  /** A fault of ours that ended the connection, for the log. */
  readonly onBug?: (error: unknown) => void;
}

/** Starts at once: the identification is sent in this turn; set the handlers before the next one. */
export function createServerTransport(options: ServerTransportOptions): Transport {
  return new ServerTransport(options);
}

/** SSH_MSG_CHANNEL_DATA (RFC 4254 §5.2): all that is ever long. */
const channelData = 94;

class ServerTransport implements Transport {
  readonly #stream: Duplex;
  readonly #settings: ServerTransportSettings;
  readonly #signer: ExchangeSigner;
  readonly #afterRead: (() => void) | undefined;
  readonly #onBug: (error: unknown) => void;
  readonly #engine: Engine;
  readonly #output: Output;
  readonly #offer: KexOffer;
  readonly #identification = new IdentificationReader();
  readonly #queue = new ExchangeQueue();
  readonly #rekeyClock: RekeyClock;

  #phase: Phase = 'negotiating';
  #isFirstExchange = true;
  #skipGuess = false;
  #clientWantsExtInfo = false;
  #isAuthenticated = false;
  #peerVersion = '';

  #owesDrain = false;
  #turnIsScheduled = false;
  #turnBytes = 0;
  #isPausedAbove = false;
  #isReading = true;
  #isHandling = false;

  #unauthenticatedBytes = 0;
  #unauthenticatedExchanges = 0;
  #unansweredBytes = 0;

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
    const { hostKeys, ...offer } = checkedOffer(settings);
    this.#offer = offer;
    this.#rekeyClock = new RekeyClock(settings, () => this.rekey());
    this.#output = new Output(stream, () => this.#onFlushed(), options.memory);
    this.#engine = new Engine(
      {
        version: settings.version,
        hostKeys,
        offer: { ...offer, kex: [...offer.kex, serverExtInfo] },
      },
      {
        takeCookie: () => this.#takeCookie(),
        write: (packet) => this.#write(packet),
        space: (byteCount) => this.#output.space(byteCount),
        pad: (into, at, byteCount) => options.memory?.pad(into, at, byteCount),
        packet: (payload) => this.#onPacket(payload),
        exchange: (exchange) => this.#sign(exchange),
        firstKeysOut: () => this.#sendExtInfo(),
        keysTaken: () => this.#onKeysTaken(),
      },
    );
    if (options.read === undefined) {
      stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    } else {
      options.read((chunk) => this.#onData(chunk));
    }
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
    const hasRoom = this.#queue.bytes + this.#output.pendingBytes < limits.outputHighBytes;
    this.#owesDrain ||= !hasRoom;
    return hasRoom;
  }

  #enqueue(payload: Buffer): void {
    if (!this.#queue.push(payload)) {
      // Not thrown: the sender may be anybody, and it is the peer who does not finish.
      this.disconnect(new ProtocolError('too much waits for the end of a key exchange'));
    }
  }

  #drainQueue(): void {
    for (const entry of this.#queue.take()) {
      if (entry === startCompression) {
        this.#engine.startCompression();
      } else {
        this.#engine.sendNow(entry);
      }
    }
  }

  /** The engine's packets, encrypted. */
  #write(packet: Buffer): void {
    this.#rekeyClock.sentPacket(packet.length);
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
    const pending = this.#queue.bytes + this.#output.pendingBytes;
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
    this.#rekeyClock.received(bytes);
    if (!this.#isAuthenticated) {
      this.#unauthenticatedBytes += bytes;
      if (this.#unauthenticatedBytes > limits.unauthenticatedBytes) {
        throw new ProtocolError(`${this.#unauthenticatedBytes} bytes before authentication`);
      }
    }
    if (this.#engine.isExchanging) {
      this.#unansweredBytes += bytes;
      if (this.#unansweredBytes > limits.unansweredKexInitBytes) {
        throw new ProtocolError('a key exchange does not end');
      }
    }
  }

  #take(chunk: Buffer): void {
    let from = 0;
    if (!this.#identification.isDone) {
      const { end, found } = this.#identification.take(chunk);
      from = end;
      if (found !== undefined) {
        this.#peerVersion = found.text;
        this.#engine.acceptIdentification(found.bytes);
      }
    }
    if (from < chunk.length) {
      this.#engine.feed(chunk, from);
    }
  }

  /** Infinity ends the engine's loop over what it was given. */
  #onPacket(payload: Buffer): undefined | false | number {
    if (this.#isClosed) {
      return Number.POSITIVE_INFINITY;
    }
    this.#rekeyClock.receivedPacket();
    const number = payload[0] as number;
    if (this.#skipGuess && number >= 30 && number < 50) {
      this.#skipGuess = false;
      return undefined;
    }
    // What may be held must not lie in what the socket read: it is large, and read into again.
    const isView = number === channelData && payload.length >= limits.viewBytes;
    const answer = this.#act(number, isView ? payload : this.#ownCopy(payload));
    return this.#isClosed ? Number.POSITIVE_INFINITY : answer;
  }

  /** Payloads hold secrets, before authentication and behind it: where they were decrypted, nothing stays. */
  #ownCopy(payload: Buffer): Buffer {
    const copy = Buffer.from(payload);
    payload.fill(0);
    return copy;
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
      case 'deliver-if-authenticated':
        if (!this.#isAuthenticated || this.#isFirstExchange) {
          throw new ProtocolError(`message ${number} while ${this.#phase}`);
        }
        this.onPayload(payload);
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
    const peer = KexInit.decode(payload);
    const choice = chooseKex(this.#offer, peer);
    const shown = shownKexInit(peer, substituteFor(choice.kex));
    if (this.#isFirstExchange) {
      this.#clientWantsExtInfo = choice.clientWantsExtInfo;
    }
    const answer = this.#engine.acceptKexInit({ kex: choice.kex, original: payload, shown });
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
    const negotiated = this.#engine.negotiated;
    this.#rekeyClock.restart(negotiated?.cs.cipher, negotiated?.sc.cipher);
    this.#startRekeyTimer();
    this.#drainQueue();
    if (isFirst) {
      this.onReady();
    } else {
      // Whoever waited for room may find it in the queue that has just gone.
      this.#scheduleTurn();
      process.nextTick(() => this.#onFlushed());
    }
  }

  /** RFC 8308 §2.4 */
  #sendExtInfo(): void {
    if (!this.#clientWantsExtInfo) {
      return;
    }
    const algorithms = this.#settings.userKeyAlgorithms ?? defaultNames(userKeyAlgorithms);
    this.#engine.sendNow(serverExtensions(algorithms));
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

  limitKeys(bounds: { readonly rekeyBytes: number; readonly rekeyMs: number }): void {
    this.#rekeyClock.bounds = bounds;
    this.#startRekeyTimer();
  }

  #rekeyWhenDue(): void {
    if (this.#isAuthenticated && this.#rekeyClock.isDue) {
      this.rekey();
    }
  }

  #startRekeyTimer(): void {
    if (this.#isAuthenticated) {
      this.#rekeyClock.startTimer();
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
    this.#rekeyClock.stop();
    this.#queue.clear();
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
