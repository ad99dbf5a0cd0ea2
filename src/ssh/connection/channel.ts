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
import { channelMaxPacketBytes } from '../../base/limits.ts';
import { Writer } from '../wire/writer.ts';
import { ChannelInput, type Sink } from './channel-input.ts';
import { type ChannelRequestHandler, ChannelRequests } from './channel-requests.ts';
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
import { OutboundWindow } from './window.ts';

/** What a channel needs of the connection it belongs to. */
export interface ChannelCarrier {
  /** True while more than the high-water mark waits for the socket. */
  readonly isCongested: boolean;
  /** Whether the peer knows eow@openssh.com; sshd tells its own clients only. */
  readonly knowsEow: boolean;
  /** Whether received data is only lent, or the channel's to keep. */
  readonly isDataLent: boolean;
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
  readonly #input = new ChannelInput((bytes) => this.#adjust(bytes));
  readonly #requests: ChannelRequests;
  #isInputDiscarded = false;

  #isStderrTurn = false;
  #isEofWanted = false;
  /** The client reads no more (eow@openssh.com). */
  #isOutputUnwanted = false;
  #isCloseWanted = false;
  #isEofSent = false;
  #isCloseSent = false;
  #isEofReceived = false;
  #isCloseReceived = false;

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
    this.#requests = new ChannelRequests({
      reply: (isGranted) => this.#reply(isGranted),
      stopOutput: () => this.#stopOutput(),
      fail: (error) => carrier.fail(error),
    });
    this.out = new Outlet(this, false);
    this.err = new Outlet(this, true);
  }

  // ---- for those who serve the channel ----

  /** What is not in the table is answered with CHANNEL_FAILURE. Set it when the channel opens. */
  get requests(): ReadonlyMap<string, ChannelRequestHandler> {
    return this.#requests.table;
  }

  set requests(table: ReadonlyMap<string, ChannelRequestHandler>) {
    this.#requests.table = table;
  }

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
    this.#input.receive(sink, unread);
  }

  /** A sink that returned false wants more. */
  sinkReady(): void {
    this.#input.sinkReady();
  }

  /** The consumer is gone: what still comes is thrown away, and the client told (eow). */
  discardInput(): void {
    if (this.#input.isSinkEnded || this.#isInputDiscarded) {
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
    const answer = this.#requests.answer();
    const recipient = this.#peerNumber;
    this.#carrier.send(ChannelRequest.encode({ recipient, name, wantReply: true, data }));
    return answer;
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
    this.#requests.drop();
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
    this.#input.arrived(data.length);
    if (this.#isCloseSent) {
      return; // RFC 4254 §5.3: what was on its way when we closed
    }
    if (data.length === 0) {
      return;
    }
    this.#input.take(data);
  }

  /** `data` is lent for the time of the call. */
  receiveExtendedData(data: Buffer, type: number): void {
    this.#expectOpenInput('extended data');
    this.#input.arrived(data.length);
    if (this.onStderr === undefined || type !== extendedDataStderr || this.#isCloseSent) {
      this.#input.consume(data.length);
      return;
    }
    const bytes = data.length;
    this.#activity++;
    this.onStderr(Buffer.from(data), () => this.#input.consume(bytes));
  }

  /** To one of our own requests; a reply to none means nothing. */
  receiveReply(isGranted: boolean): void {
    this.#requests.receiveReply(isGranted);
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
    this.#input.end();
    this.#input.deliver();
  }

  receiveClose(): void {
    if (this.#isCloseReceived) {
      throw new ProtocolError('CLOSE twice on a channel');
    }
    this.#isCloseReceived = true;
    this.#input.end();
    if (this.#isCloseSent) {
      this.#carrier.release(this);
    } else if (this.#isCloseHeld) {
      this.#end();
    } else {
      this.#sendClose();
    }
    this.#input.deliver();
  }

  receiveRequest(payload: Buffer): void {
    if (this.#isCloseReceived) {
      throw new ProtocolError('a request behind CLOSE');
    }
    if (this.#isCloseSent) {
      return;
    }
    this.#requests.receive(payload);
  }

  /** The connection is over. */
  connectionLost(): void {
    this.#isCloseReceived = true;
    this.#isCloseSent = true;
    this.#input.end();
    this.#end();
    this.#goneListeners = runAll(this.#goneListeners);
    this.#input.deliver();
  }

  #expectOpenInput(what: string): void {
    if (this.#isEofReceived || this.#isCloseReceived) {
      throw new ProtocolError(`${what} behind EOF or CLOSE`);
    }
  }

  #adjust(bytes: number): void {
    if (!this.#isEofReceived && !this.#isOver) {
      this.#carrier.send(ChannelWindowAdjust.encode({ recipient: this.#peerNumber, bytes }));
    }
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

  #reply(isGranted: boolean): void {
    if (!this.#isOver) {
      const reply = isGranted ? ChannelSuccess : ChannelFailure;
      this.#carrier.send(reply.encode({ recipient: this.#peerNumber }));
    }
  }
}

/** Returns the empty list that takes its place. */
function runAll(listeners: readonly (() => void)[]): (() => void)[] {
  for (const listener of listeners) {
    listener();
  }
  return [];
}
