/**
 * One channel (RFC 4254 §5): windows, half-close in both directions, requests in order. Whoever
 * serves a channel sees this class and nothing else of SSH. Runs in: worker, user (client).
 *
 * Three ways to move bytes, fastest first:
 * - `splice(channel, socket)` and `pump(source, channel.out)` of `pump.ts`, for sockets and pipes;
 * - `channel.out.write(chunk)` and `channel.receive(sink)`, for code that parses what it reads;
 * - `channel.stream` (a Duplex) and `channel.stderr` (a Writable), for everything else.
 */
import type { Duplex, Writable } from 'node:stream';
import { ProtocolError } from '../../base/errors.ts';
import {
  channelMaxPacketBytes,
  channelQueuedRequestBytes,
  channelQueuedRequests,
  channelWindowBytes,
  channelWindowStepBytes,
} from '../../base/limits.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import { ChannelDuplex, OutletWritable } from './channel-stream.ts';
import {
  ChannelClose,
  ChannelEof,
  ChannelFailure,
  ChannelRequest,
  ChannelSuccess,
  ChannelWindowAdjust,
  extendedDataStderr,
} from './messages.ts';
import { Outlet } from './outlet.ts';
import { HeldBytes, InboundWindow, OutboundWindow } from './window.ts';

/** What a channel needs of the connection it belongs to. */
export interface ChannelCarrier {
  /** True while more than the high-water mark waits for the socket. */
  readonly isCongested: boolean;
  /** Whether the peer knows eow@openssh.com; sshd tells its own clients only. */
  readonly knowsEow: boolean;
  send(payload: Buffer): void;
  /** Returns false when the carrier has become congested. The chunk was taken all the same. */
  sendData(recipient: number, data: Buffer, isStderr: boolean): boolean;
  /** `channel.flush()` is called once the congestion is over. */
  awaitRoom(channel: Channel): void;
  /** CLOSE went both ways: the number is free again. */
  release(channel: Channel): void;
  /** Ends the connection: an exception of a handler that ran asynchronously. */
  fail(error: unknown): void;
}

/** Takes what the client sends. */
export interface Sink {
  /**
   * The view is the sink's from here on; it is never written to again. Returns false when the sink
   * wants no more for now: it calls `channel.sinkReady()` later, and until then bytes are held
   * within the channel's window.
   */
  write(data: Buffer): boolean;
  /**
   * As `write`, for bytes that are only lent for the time of the call. A sink without it gets a
   * copy.
   */
  writeLent?(data: Buffer): boolean;
  /** The client sent EOF or closed the channel; once, after the last byte. */
  end(): void;
}

/** true is CHANNEL_SUCCESS; a function too, and it runs right behind the reply. */
export type RequestAnswer = boolean | (() => void);

/**
 * One request of the client on this channel. Requests are handled strictly one after another, so
 * that replies keep their order. `fields` is the type-specific part.
 */
export type ChannelRequestHandler = (fields: Reader) => RequestAnswer | Promise<RequestAnswer>;

const noRequests: ReadonlyMap<string, ChannelRequestHandler> = new Map();

/** Where sshd_config(5) has another name than the wire. */
const timeoutTypes: Readonly<Record<string, string>> = {
  x11: 'x11-connection',
  'auth-agent@openssh.com': 'agent-connection',
};

export class Channel {
  /** Our number of it. */
  readonly number: number;
  readonly type: string;
  /** Channel data to the client. */
  readonly out: Outlet;
  /** Extended data, type stderr. It shares the window with `out`, packet by packet. */
  readonly err: Outlet;
  /** What is not in the table is answered with CHANNEL_FAILURE. Set it when the channel opens. */
  requests: ReadonlyMap<string, ChannelRequestHandler> = noRequests;
  /**
   * Takes extended data of type stderr, which clients read; `consumed` gives its bytes back to the
   * window. Absent: it is thrown away within the window, as sshd does.
   */
  onStderr: ((data: Buffer, consumed: () => void) => void) | undefined;

  /** By what name ChannelTimeout knows it; a session says what runs in it. */
  timeoutType: string;
  #activity = 0;

  readonly #carrier: ChannelCarrier;
  readonly #peerNumber: number;
  readonly #peerMaxPacketBytes: number;
  readonly #outbound: OutboundWindow;
  readonly #inbound = new InboundWindow(
    channelWindowBytes,
    channelMaxPacketBytes,
    channelWindowStepBytes,
  );

  #sink: Sink | undefined;
  #isSinkReady = false;
  #isSinkEnded = false;
  #isInputDiscarded = false;
  #isHanding = false;
  #unread: Buffer | undefined;
  readonly #held = new HeldBytes();
  /** Taken by the sink when it said "no more": given back to the window once it is ready. */
  #owedBytes = 0;

  #isStderrTurn = false;
  #isEofWanted = false;
  /** The client reads no more (eow@openssh.com). */
  #isOutputUnwanted = false;
  #isCloseWanted = false;
  #isEofSent = false;
  #isCloseSent = false;
  #isEofReceived = false;
  #isCloseReceived = false;

  /** Our own requests that want a reply, in the order of the replies (RFC 4254 §5.4). */
  #questions: ((isGranted: boolean) => void)[] = [];
  #queuedRequests: Buffer[] = [];
  #queuedRequestBytes = 0;
  #isHandlingRequest = false;
  #isOver = false;
  #isCloseHeld = false;
  #closeListeners: (() => void)[] = [];
  #goneListeners: (() => void)[] = [];
  #stream: ChannelDuplex | undefined;
  #stderr: OutletWritable | undefined;

  constructor(
    carrier: ChannelCarrier,
    type: string,
    number: number,
    peer: { number: number; windowBytes: number; maxPacketBytes: number },
  ) {
    this.#carrier = carrier;
    this.type = type;
    this.timeoutType = timeoutTypes[type] ?? type;
    this.number = number;
    this.#peerNumber = peer.number;
    this.#peerMaxPacketBytes = Math.min(peer.maxPacketBytes, channelMaxPacketBytes);
    this.#outbound = new OutboundWindow(peer.windowBytes);
    this.out = new Outlet(this, false);
    this.err = new Outlet(this, true);
  }

  // ---- for those who serve the channel ----

  /** CLOSE went one way, or the connection is over: no data leaves from now on. */
  get isClosed(): boolean {
    return this.#isOver;
  }

  /** Changes with every piece of data that came or went. */
  get activity(): number {
    return this.#activity;
  }

  /** Bytes from and to the client. Half-close: `end()` sends EOF, the client's EOF is `'end'`. */
  get stream(): Duplex {
    if (this.#stream === undefined) {
      this.#stream = new ChannelDuplex(this);
      this.receive(this.#stream.sink);
    }
    return this.#stream;
  }

  /** Write to it before `stream.end()`: nothing goes out behind EOF. */
  get stderr(): Writable {
    this.#stderr ??= new OutletWritable(this.err);
    return this.#stderr;
  }

  /**
   * Says who takes the client's bytes; what came before is held within the window and delivered
   * now. May be called again, from within `write` too: `unread` is what the old sink was given and
   * leaves to the new one.
   */
  receive(sink: Sink, unread?: Buffer): void {
    this.#sink = sink;
    if (unread !== undefined && unread.length > 0) {
      this.#unread = unread;
    }
    this.#settle();
    this.#deliver();
  }

  /** A sink that returned false wants more. */
  sinkReady(): void {
    this.#settle();
    this.#deliver();
  }

  /** The consumer is gone: what still comes is thrown away, and the client told (eow). */
  discardInput(): void {
    if (this.#isSinkEnded || this.#isInputDiscarded) {
      return;
    }
    this.#isInputDiscarded = true;
    // On sessions alone, as sshd.
    if (this.type === 'session' && this.#carrier.knowsEow && !this.#isEofReceived) {
      this.#sendRequest('eow@openssh.com');
    }
    this.receive({ write: () => true, end: () => {} });
  }

  /** RFC 4254 §6.10. Sent at once: a client takes it while data still waits for the window. */
  sendExitStatus(status: number): void {
    this.#sendRequest('exit-status', new Writer().uint32(status).done());
  }

  /** RFC 4254 §6.10; `signalName` without SIG. */
  sendExitSignal(signalName: string, isCoreDumped: boolean, text: string): void {
    this.#sendRequest(
      'exit-signal',
      new Writer().text(signalName).bool(isCoreDumped).text(text).text('').done(),
    );
  }

  /**
   * Asks for a reply that says no more than that the client is there (keepalive@openssh.com), as
   * sshd does. False: this channel can no longer be asked on.
   */
  askAlive(): boolean {
    if (this.#isCloseSent || this.#isCloseReceived) {
      return false;
    }
    const name = 'keepalive@openssh.com';
    const recipient = this.#peerNumber;
    const data = Buffer.alloc(0);
    this.#carrier.send(ChannelRequest.encode({ recipient, name, wantReply: true, data }));
    return true;
  }

  /** A request that wants no reply. */
  tell(name: string, data: Buffer): void {
    this.#sendRequest(name, data);
  }

  /** A request and its reply; false also when the channel closes before. Not beside `askAlive`. */
  ask(name: string, data: Buffer): Promise<boolean> {
    if (this.#isCloseSent || this.#isCloseReceived) {
      return Promise.resolve(false);
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#questions.push(resolve);
    const recipient = this.#peerNumber;
    this.#carrier.send(ChannelRequest.encode({ recipient, name, wantReply: true, data }));
    return promise;
  }

  /** No more output: EOF goes out behind what is queued. */
  sendEof(): void {
    this.#isEofWanted = true;
    this.flush();
  }

  /** EOF, then CLOSE, behind what is queued. */
  close(): void {
    this.#isEofWanted = true;
    this.#isCloseWanted = true;
    this.flush();
  }

  /** CLOSE now; what is queued is lost. */
  abort(): void {
    this.out.drop();
    this.err.drop();
    this.close();
  }

  /** Once, as soon as `isClosed`; at once when it is already. */
  onClose(listener: () => void): void {
    if (this.#isOver) {
      listener();
    } else {
      this.#closeListeners.push(listener);
    }
  }

  /** Once, when our CLOSE has been sent or the connection is over; at once when that has been. */
  onGone(listener: () => void): void {
    if (this.#isCloseSent) {
      listener();
    } else {
      this.#goneListeners.push(listener);
    }
  }

  /**
   * Until `releaseClose` or `close` the client's CLOSE is not answered: OpenSSH closes first when
   * both directions have ended, and takes the exit status until the answer comes.
   */
  holdClose(): void {
    this.#isCloseHeld = true;
  }

  releaseClose(): void {
    this.#isCloseHeld = false;
    if (this.#isCloseReceived) {
      this.#sendClose();
    }
  }

  // ---- output ----

  /** Whether bytes may be sent right now, without a queue. */
  get mayWriteThrough(): boolean {
    return !this.#carrier.isCongested && this.out.isEmpty && this.err.isEmpty;
  }

  get isOutputEnded(): boolean {
    return this.#isEofWanted || this.#isOutputUnwanted || this.#isOver;
  }

  /**
   * Sends as much of `chunk` from `from` on as window and socket allow, in slices without copies.
   * Returns how far it came.
   */
  sendSlices(
    chunk: Buffer,
    from: number,
    isStderr: boolean,
    mostPackets = Number.POSITIVE_INFINITY,
  ): number {
    let at = from;
    let packets = 0;
    while (at < chunk.length && packets < mostPackets) {
      const size = Math.min(chunk.length - at, this.#outbound.leftBytes, this.#peerMaxPacketBytes);
      if (size === 0) {
        break;
      }
      const slice = size === chunk.length ? chunk : chunk.subarray(at, at + size);
      this.#outbound.use(size);
      this.#activity++;
      at += size;
      packets++;
      if (!this.#carrier.sendData(this.#peerNumber, slice, isStderr)) {
        break;
      }
    }
    return at;
  }

  /** Sends what waits, `out` and `err` in turn, as far as window and socket allow. */
  flush(): void {
    if (this.#isCloseSent) {
      return;
    }
    while (!this.out.isEmpty || !this.err.isEmpty) {
      if (this.#carrier.isCongested) {
        this.#carrier.awaitRoom(this);
        return;
      }
      if (this.#outbound.leftBytes === 0) {
        return;
      }
      const isBoth = !this.out.isEmpty && !this.err.isEmpty;
      const outlet = isBoth ? (this.#isStderrTurn ? this.err : this.out) : this.#onlyOutlet();
      this.#isStderrTurn = !this.#isStderrTurn;
      outlet.sendQueued(isBoth ? 1 : Number.POSITIVE_INFINITY);
    }
    if (this.#isEofWanted && !this.#isEofSent && !this.#isCloseReceived) {
      this.#isEofSent = true;
      this.#carrier.send(ChannelEof.encode({ recipient: this.#peerNumber }));
    }
    if (this.#isCloseWanted) {
      this.#sendClose();
      return;
    }
    if (this.#carrier.isCongested) {
      if (this.out.isBlocked || this.err.isBlocked) {
        this.#carrier.awaitRoom(this);
      }
      return;
    }
    this.out.unblock();
    this.err.unblock();
  }

  /** An outlet was refused because of the socket alone. */
  awaitRoom(): void {
    if (this.#carrier.isCongested) {
      this.#carrier.awaitRoom(this);
    }
  }

  #onlyOutlet(): Outlet {
    return this.out.isEmpty ? this.err : this.out;
  }

  #sendRequest(name: string, data: Buffer = Buffer.alloc(0)): void {
    if (!this.#isCloseSent) {
      const recipient = this.#peerNumber;
      this.#carrier.send(ChannelRequest.encode({ recipient, name, wantReply: false, data }));
    }
  }

  #sendClose(): void {
    if (this.#isCloseSent) {
      return;
    }
    this.#carrier.send(ChannelClose.encode({ recipient: this.#peerNumber }));
    this.#isCloseSent = true;
    if (this.#isCloseReceived) {
      this.#carrier.release(this);
    }
    this.#end();
    this.#goneListeners = runAll(this.#goneListeners);
  }

  /** No data leaves from now on. */
  #end(): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    for (const answer of this.#questions.splice(0)) {
      answer(false);
    }
    this.#queuedRequests = [];
    this.#queuedRequestBytes = 0;
    this.out.drop();
    this.err.drop();
    this.out.unblock();
    this.err.unblock();
    this.#closeListeners = runAll(this.#closeListeners);
  }

  // ---- what the connection delivers ----

  /** `data` is lent for the time of the call. */
  receiveData(data: Buffer): void {
    this.#expectOpenInput('data');
    this.#activity++;
    this.#inbound.take(data.length);
    if (this.#isCloseSent) {
      return; // RFC 4254 §5.3: what was on its way when we closed
    }
    if (data.length === 0) {
      return;
    }
    if (this.#isSinkReady && !this.#isHanding && this.#held.isEmpty) {
      this.#hand(data, data.length, true);
    } else {
      this.#held.push(data);
    }
    this.#deliver();
  }

  /** `data` is lent for the time of the call. */
  receiveExtendedData(data: Buffer, type: number): void {
    this.#expectOpenInput('extended data');
    this.#inbound.take(data.length);
    if (this.onStderr === undefined || type !== extendedDataStderr || this.#isCloseSent) {
      this.#consume(data.length);
      return;
    }
    const bytes = data.length;
    this.#activity++;
    this.onStderr(Buffer.from(data), () => this.#consume(bytes));
  }

  /** To one of our own requests; a reply to none means nothing. */
  receiveReply(isGranted: boolean): void {
    this.#questions.shift()?.(isGranted);
  }

  receiveWindowAdjust(bytes: number): void {
    this.#outbound.adjust(bytes);
    if (!this.out.isEmpty || !this.err.isEmpty) {
      this.flush();
    }
  }

  receiveEof(): void {
    this.#expectOpenInput('EOF');
    this.#isEofReceived = true;
    this.#deliver();
  }

  receiveClose(): void {
    if (this.#isCloseReceived) {
      throw new ProtocolError('CLOSE twice on a channel');
    }
    this.#isCloseReceived = true;
    if (this.#isCloseSent) {
      this.#carrier.release(this);
    } else if (this.#isCloseHeld) {
      this.#end();
    } else {
      this.#sendClose();
    }
    this.#deliver();
  }

  receiveRequest(payload: Buffer): void {
    if (this.#isCloseReceived) {
      throw new ProtocolError('a request behind CLOSE');
    }
    if (this.#isCloseSent) {
      return;
    }
    if (this.#isHandlingRequest) {
      if (
        this.#queuedRequests.length >= channelQueuedRequests ||
        this.#queuedRequestBytes + payload.length > channelQueuedRequestBytes
      ) {
        throw new ProtocolError('too many channel requests at once');
      }
      this.#queuedRequests.push(Buffer.from(payload));
      this.#queuedRequestBytes += payload.length;
      return;
    }
    this.#handleRequest(payload);
  }

  /** The connection is over. */
  connectionLost(): void {
    this.#isCloseReceived = true;
    this.#isCloseSent = true;
    this.#end();
    this.#goneListeners = runAll(this.#goneListeners);
    this.#deliver();
  }

  #expectOpenInput(what: string): void {
    if (this.#isEofReceived || this.#isCloseReceived) {
      throw new ProtocolError(`${what} behind EOF or CLOSE`);
    }
  }

  #consume(bytes: number): void {
    const adjustment = this.#inbound.consume(bytes);
    if (adjustment > 0 && !this.#isEofReceived && !this.#isOver) {
      this.#carrier.send(
        ChannelWindowAdjust.encode({ recipient: this.#peerNumber, bytes: adjustment }),
      );
    }
  }

  /** `owedBytes`: what the window gets back for it. */
  #hand(data: Buffer, owedBytes: number, isLent = false): void {
    const sink = this.#sink as Sink;
    // From within write the sink may become ready again, or another take its place.
    this.#isSinkReady = false;
    this.#isHanding = true;
    this.#owedBytes += owedBytes;
    try {
      if (isLent ? giveLent(sink, data) : sink.write(data)) {
        this.#settle();
      }
    } finally {
      this.#isHanding = false;
    }
  }

  #settle(): void {
    if (!this.#isSinkReady) {
      this.#isSinkReady = true;
      const owedBytes = this.#owedBytes;
      this.#owedBytes = 0;
      this.#consume(owedBytes);
    }
  }

  #deliver(): void {
    if (this.#isHanding || this.#sink === undefined) {
      return;
    }
    while (this.#isSinkReady) {
      const unread = this.#unread;
      if (unread !== undefined) {
        this.#unread = undefined;
        this.#hand(unread, 0);
      } else if (!this.#held.isEmpty) {
        const piece = this.#held.shift();
        this.#hand(piece, piece.length);
      } else {
        break;
      }
    }
    const isOver = this.#isEofReceived || this.#isCloseReceived;
    const isAllHanded = this.#unread === undefined && this.#held.isEmpty;
    if (isOver && isAllHanded && !this.#isSinkEnded) {
      this.#isSinkEnded = true;
      this.#sink.end();
    }
  }

  #handleRequest(payload: Buffer): void {
    const { name, wantReply, data } = ChannelRequest.decode(payload);
    if (name === 'eow@openssh.com') {
      new Reader(data).end();
      this.#stopOutput();
      this.#reply(wantReply, true);
      return;
    }
    const handler = this.requests.get(name);
    if (handler === undefined) {
      this.#reply(wantReply, false);
      return;
    }
    const fields = new Reader(data);
    const answer = handler(fields);
    if (!(answer instanceof Promise)) {
      this.#reply(wantReply, answer);
      return;
    }
    this.#isHandlingRequest = true;
    answer
      .then((result) => {
        this.#isHandlingRequest = false;
        this.#reply(wantReply, result);
        this.#handleQueued();
      })
      .catch((error: unknown) => this.#carrier.fail(error));
  }

  /** OpenSSH's PROTOCOL, 2.1: who sends it has lost the reader of what we send. */
  #stopOutput(): void {
    if (this.#isOutputUnwanted || this.#isOver) {
      return;
    }
    this.#isOutputUnwanted = true;
    for (const outlet of [this.out, this.err]) {
      outlet.drop();
      outlet.unblock();
      outlet.onUnwanted();
    }
    this.flush();
  }

  #handleQueued(): void {
    while (!this.#isHandlingRequest) {
      const payload = this.#queuedRequests.shift();
      if (payload === undefined) {
        return;
      }
      this.#queuedRequestBytes -= payload.length;
      this.#handleRequest(payload);
    }
  }

  #reply(wantReply: boolean, answer: RequestAnswer): void {
    if (wantReply && !this.#isOver) {
      const reply = answer === false ? ChannelFailure : ChannelSuccess;
      this.#carrier.send(reply.encode({ recipient: this.#peerNumber }));
    }
    if (typeof answer === 'function') {
      answer();
    }
  }
}

function giveLent(sink: Sink, data: Buffer): boolean {
  return sink.writeLent === undefined ? sink.write(Buffer.from(data)) : sink.writeLent(data);
}

/** Returns the empty list that takes its place. */
function runAll(listeners: readonly (() => void)[]): (() => void)[] {
  for (const listener of listeners) {
    listener();
  }
  return [];
}
