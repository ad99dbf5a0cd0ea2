/**
 * The connection protocol (RFC 4254): channels and global requests of one authenticated connection.
 * Runs in: worker, user (client). Everything that arrives is hostile; whatever breaks the protocol is thrown and
 * ends the connection in the transport.
 */
import { ByApplication, ProtocolError } from '../../base/errors.ts';
import {
  channelMaxPacketBytes,
  channelsPerConnection,
  channelWindowBytes,
  congestedReplyBytes,
  globalQueuedRequests,
} from '../../base/limits.ts';
import type { Transport } from '../transport/transport.ts';
import { Reader } from '../wire/reader.ts';
import { Channel, type ChannelCarrier } from './channel.ts';
import { type GlobalAnswer, type GlobalRequestHandler, globalRequests } from './global-requests.ts';
import {
  ChannelClose,
  ChannelData,
  ChannelEof,
  ChannelExtendedData,
  ChannelFailure,
  ChannelOpen,
  ChannelOpenConfirmation,
  ChannelOpenFailure,
  ChannelRequest,
  ChannelSuccess,
  ChannelWindowAdjust,
  GlobalRequest,
  openFailure,
  RequestFailure,
  RequestSuccess,
} from './messages.ts';

export type OpenOutcome =
  | {
      /** Called when the confirmation is queued. */
      readonly opened: (channel: Channel) => void;
      /** Called instead when the connection has ended in the meantime. */
      readonly abandoned: () => void;
    }
  | { readonly refused: number; readonly text: string };

/** `fields` is the part of CHANNEL_OPEN that the type defines; read it before anything is awaited. */
export type ChannelOpenHandler = (fields: Reader) => OpenOutcome | Promise<OpenOutcome>;

export interface ConnectionOptions {
  /** Keyed by wire name; what is absent is refused with reason 3. */
  readonly channelTypes: ReadonlyMap<string, ChannelOpenHandler>;
  /** Rows besides those of `global-requests.ts`; what is absent is answered with FAILURE. */
  readonly globalRequests?: ReadonlyMap<string, GlobalRequestHandler>;
  /** A client says eow@openssh.com to every server: who does not know it leaves it alone. */
  readonly isClient?: boolean;
}

/** What the client made of a channel that we asked it to open (RFC 4254 §5.1). */
export type Opened =
  | { readonly opened: Channel }
  | { readonly refused: number; readonly text: string };

/** Of a transport, what channels need: a client has another one than a server. */
export type ConnectionTransport = Pick<
  Transport,
  'peerVersion' | 'send' | 'sendChannelData' | 'pause' | 'resume' | 'unimplemented' | 'disconnect'
>;

/** For those who open channels to the client. */
export interface ChannelOpener {
  openChannel(type: string, data: Buffer): Promise<Opened>;
}

/** CHANNEL_DATA: number, recipient, length. */
const dataHeaderBytes = 9;
/** CHANNEL_EXTENDED_DATA: the same and the data type code. */
const extendedDataHeaderBytes = 13;

const connectionOver = {
  refused: openFailure.connectFailed,
  text: 'the connection is over',
} as const;

export class Connection implements ChannelCarrier, ChannelOpener {
  readonly #transport: ConnectionTransport;
  readonly #channelTypes: ReadonlyMap<string, ChannelOpenHandler>;
  readonly #globalRequests: ReadonlyMap<string, GlobalRequestHandler>;
  readonly #isClient: boolean;
  readonly #channels = new Map<number, Channel>();
  #openingChannels = 0;
  /** Those that we asked for, by our number; the client has not answered yet. */
  readonly #asked = new Map<
    number,
    { readonly type: string; readonly tell: (opened: Opened) => void }
  >();
  #freeNumbers: number[] = [];
  #nextNumber = 0;
  #waiting = new Set<Channel>();
  #isCongested = false;
  #congestedBytes = 0;
  #isReadingPaused = false;
  #isOver = false;
  #areSessionsOver = false;
  readonly #queuedGlobalRequests: Buffer[] = [];
  #isHandlingGlobalRequest = false;
  /** Our own global requests, in the order of the replies (RFC 4254 §4). */
  readonly #questions: ((answer: Buffer | undefined) => void)[] = [];
  readonly #handlers: ReadonlyMap<number, (payload: Buffer) => void>;

  constructor(transport: ConnectionTransport, options: ConnectionOptions) {
    this.#transport = transport;
    this.#channelTypes = options.channelTypes;
    this.#isClient = options.isClient === true;
    this.#globalRequests = new Map([...globalRequests, ...(options.globalRequests ?? [])]);
    this.#handlers = new Map<number, (payload: Buffer) => void>([
      [GlobalRequest.number, (payload) => this.#receiveGlobalRequest(payload)],
      // A reply to no question (a server asks for nothing) is kept nowhere.
      [
        RequestSuccess.number,
        (payload) => this.#questions.shift()?.(RequestSuccess.decode(payload).data),
      ],
      [RequestFailure.number, () => this.#questions.shift()?.(undefined)],
      [ChannelOpen.number, (payload) => this.#receiveOpen(payload)],
      [ChannelOpenConfirmation.number, (payload) => this.#receiveConfirmation(payload)],
      [ChannelOpenFailure.number, (payload) => this.#receiveOpenFailure(payload)],
      [
        ChannelWindowAdjust.number,
        (payload) => {
          const { recipient, bytes } = ChannelWindowAdjust.decode(payload);
          this.#channel(recipient).receiveWindowAdjust(bytes);
        },
      ],
      [ChannelData.number, (payload) => this.#receiveData(payload)],
      [ChannelExtendedData.number, (payload) => this.#receiveExtendedData(payload)],
      [
        ChannelEof.number,
        (payload) => this.#channel(ChannelEof.decode(payload).recipient).receiveEof(),
      ],
      [
        ChannelClose.number,
        (payload) => this.#channel(ChannelClose.decode(payload).recipient).receiveClose(),
      ],
      [
        ChannelRequest.number,
        (payload) => {
          const { recipient } = ChannelRequest.decode(payload);
          this.#channel(recipient).receiveRequest(payload);
        },
      ],
      [
        ChannelSuccess.number,
        (payload) => this.#channel(ChannelSuccess.decode(payload).recipient).receiveReply(true),
      ],
      [
        ChannelFailure.number,
        (payload) => this.#channel(ChannelFailure.decode(payload).recipient).receiveReply(false),
      ],
    ]);
  }

  get channelCount(): number {
    return this.#channels.size;
  }

  /** Without those that wait for nothing but the client's CLOSE. */
  get openChannels(): readonly Channel[] {
    return [...this.#channels.values()].filter(({ isClosed }) => !isClosed);
  }

  /** There is no channel, and none is being opened. */
  get isUnused(): boolean {
    return this.#openingChannels + this.#asked.size === 0 && this.openChannels.length === 0;
  }

  /** A payload with a number of 80 or above. */
  receive(payload: Buffer): void {
    if (payload[0] === ChannelData.number) {
      this.#receiveData(payload);
      return;
    }
    const handler = this.#handlers.get(payload[0] as number);
    if (handler === undefined) {
      this.#transport.unimplemented();
      return;
    }
    handler(payload);
  }

  /** The transport's `onDrain`. */
  drained(): void {
    this.#isCongested = false;
    this.#congestedBytes = 0;
    if (this.#isReadingPaused) {
      this.#isReadingPaused = false;
      this.#transport.resume();
    }
    // Who cannot finish puts itself at the end again: the others come first next time.
    for (const channel of this.#waiting) {
      if (this.#isCongested) {
        return;
      }
      this.#waiting.delete(channel);
      channel.flush();
    }
  }

  /** The transport's `onClose`: ends every channel, each of them told. */
  closed(): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    this.#waiting.clear();
    const channels = [...this.#channels.values()];
    this.#channels.clear();
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { tell } of asked) {
      tell(connectionOver);
    }
    for (const answer of this.#questions.splice(0)) {
      answer(undefined);
    }
    const errors: unknown[] = [];
    for (const channel of channels) {
      try {
        channel.connectionLost();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) {
      throw new AggregateError(errors, 'ending the channels of a connection');
    }
  }

  /** no-more-sessions@openssh.com: from now on opening one is an attack. */
  refuseFurtherSessions(): void {
    this.#areSessionsOver = true;
  }

  /**
   * Asks the client to open a channel (RFC 4254 §5.1). `data`: what the type defines. A refusal and
   * the end of the connection are answers; what is opened belongs to the caller. What the client
   * sends before the caller has taken it is held within its window.
   */
  openChannel(type: string, data: Buffer): Promise<Opened> {
    if (this.#isOver) {
      return Promise.resolve(connectionOver);
    }
    if (this.#channelsInUse >= channelsPerConnection) {
      return Promise.resolve({ refused: openFailure.resourceShortage, text: 'too many channels' });
    }
    const number = this.#takeNumber();
    const { promise, resolve } = Promise.withResolvers<Opened>();
    this.#asked.set(number, { type, tell: resolve });
    this.send(
      ChannelOpen.encode({
        type,
        sender: number,
        windowBytes: channelWindowBytes,
        maxPacketBytes: channelMaxPacketBytes,
        data,
      }),
    );
    return promise;
  }

  /**
   * Asks the peer with a global request (RFC 4254 §4). Gives the data of its REQUEST_SUCCESS;
   * undefined: it refuses, or the connection has ended. Not to be mixed with `askAlive`, whose
   * answer nobody waits for.
   */
  ask(name: string, data: Buffer): Promise<Buffer | undefined> {
    if (this.#isOver) {
      return Promise.resolve(undefined);
    }
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    this.#questions.push(resolve);
    this.send(GlobalRequest.encode({ name, wantReply: true, data }));
    return promise;
  }

  /**
   * Sends something that the client has to answer (keepalive@openssh.com): on a channel where there
   * is one, as sshd does. Whatever comes of the client next is the answer.
   */
  askAlive(): void {
    for (const channel of this.#channels.values()) {
      if (channel.askAlive()) {
        return;
      }
    }
    const name = 'keepalive@openssh.com';
    this.send(GlobalRequest.encode({ name, wantReply: true, data: Buffer.alloc(0) }));
  }

  // ---- ChannelCarrier ----

  get isCongested(): boolean {
    return this.#isCongested;
  }

  /** A client's transport never reads into the same memory again. */
  get isDataLent(): boolean {
    return !this.#isClient;
  }

  get knowsEow(): boolean {
    return this.#isClient || this.#transport.peerVersion.startsWith('SSH-2.0-OpenSSH');
  }

  send(payload: Buffer): void {
    if (this.#isOver) {
      return;
    }
    if (!this.#transport.send(payload)) {
      this.#isCongested = true;
    }
    if (this.#isCongested) {
      this.#congestedBytes += payload.length;
      if (this.#congestedBytes > congestedReplyBytes && !this.#isReadingPaused) {
        // A peer that asks and does not read: it is not read any further either.
        this.#isReadingPaused = true;
        this.#transport.pause();
      }
    }
  }

  sendData(recipient: number, data: Buffer, isStderr: boolean): boolean {
    if (this.#isOver) {
      return true;
    }
    if (this.#transport.sendChannelData(recipient, data, isStderr)) {
      return true;
    }
    this.#isCongested = true;
    return false;
  }

  awaitRoom(channel: Channel): void {
    this.#waiting.add(channel);
  }

  release(channel: Channel): void {
    this.#waiting.delete(channel);
    if (this.#channels.delete(channel.number)) {
      this.#freeNumbers.push(channel.number);
    }
  }

  fail(error: unknown): void {
    if (!this.#isOver) {
      this.#transport.disconnect(
        error instanceof Error ? error : new Error('a handler threw no error', { cause: error }),
      );
    }
  }

  // ---- channels ----

  #channel(number: number): Channel {
    const channel = this.#channels.get(number);
    if (channel === undefined) {
      throw new ProtocolError(`message for channel ${number}, which is not open`);
    }
    return channel;
  }

  #receiveData(payload: Buffer): void {
    if (
      payload.length < dataHeaderBytes ||
      payload.readUInt32BE(5) !== payload.length - dataHeaderBytes
    ) {
      throw new ProtocolError('CHANNEL_DATA whose length is wrong');
    }
    this.#channel(payload.readUInt32BE(1)).receiveData(payload.subarray(dataHeaderBytes));
  }

  #receiveExtendedData(payload: Buffer): void {
    if (
      payload.length < extendedDataHeaderBytes ||
      payload.readUInt32BE(9) !== payload.length - extendedDataHeaderBytes
    ) {
      throw new ProtocolError('CHANNEL_EXTENDED_DATA whose length is wrong');
    }
    this.#channel(payload.readUInt32BE(1)).receiveExtendedData(
      payload.subarray(extendedDataHeaderBytes),
      payload.readUInt32BE(5),
    );
  }

  #askedFor(number: number, name: string) {
    const asked = this.#asked.get(number);
    if (asked === undefined) {
      throw new ProtocolError(`${name} where nothing was asked for`);
    }
    this.#asked.delete(number);
    return asked;
  }

  #receiveConfirmation(payload: Buffer): void {
    const confirmation = ChannelOpenConfirmation.decode(payload);
    const { recipient, sender, windowBytes, maxPacketBytes } = confirmation;
    const { type, tell } = this.#askedFor(recipient, 'CHANNEL_OPEN_CONFIRMATION');
    if (maxPacketBytes === 0) {
      tell(connectionOver);
      throw new ProtocolError('a channel with a maximum packet size of 0');
    }
    const channel = new Channel(this, type, recipient, {
      number: sender,
      windowBytes,
      maxPacketBytes,
    });
    this.#channels.set(recipient, channel);
    tell({ opened: channel });
  }

  #receiveOpenFailure(payload: Buffer): void {
    const { recipient, reason, description } = ChannelOpenFailure.decode(payload);
    const { tell } = this.#askedFor(recipient, 'CHANNEL_OPEN_FAILURE');
    this.#freeNumbers.push(recipient);
    tell({ refused: reason, text: description });
  }

  get #channelsInUse(): number {
    return this.#channels.size + this.#openingChannels + this.#asked.size;
  }

  #takeNumber(): number {
    return this.#freeNumbers.pop() ?? this.#nextNumber++;
  }

  #receiveOpen(payload: Buffer): void {
    const open = ChannelOpen.decode(payload);
    if (open.type === 'session' && this.#areSessionsOver) {
      throw new ByApplication(
        'Possible attack: attempt to open a session after additional sessions disabled',
        'a session was opened after no-more-sessions@openssh.com',
        2,
      );
    }
    const handler = this.#channelTypes.get(open.type);
    if (handler === undefined) {
      this.#refuse(open, openFailure.unknownChannelType, 'unknown channel type');
      return;
    }
    if (this.#channelsInUse >= channelsPerConnection) {
      this.#refuse(open, openFailure.resourceShortage, 'too many channels');
      return;
    }
    if (open.maxPacketBytes === 0) {
      this.#refuse(open, openFailure.resourceShortage, 'a maximum packet size of 0');
      return;
    }
    const outcome = handler(new Reader(open.data));
    if (!(outcome instanceof Promise)) {
      this.#answerOpen(open, outcome);
      return;
    }
    this.#openingChannels++;
    outcome
      .then((result) => this.#answerOpen(open, result))
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.#openingChannels--;
      });
  }

  #answerOpen(open: ChannelOpen, outcome: OpenOutcome): void {
    if ('refused' in outcome) {
      this.#refuse(open, outcome.refused, outcome.text);
      return;
    }
    if (this.#isOver) {
      outcome.abandoned();
      return;
    }
    const number = this.#takeNumber();
    const channel = new Channel(this, open.type, number, {
      number: open.sender,
      windowBytes: open.windowBytes,
      maxPacketBytes: open.maxPacketBytes,
    });
    this.#channels.set(number, channel);
    this.send(
      ChannelOpenConfirmation.encode({
        recipient: open.sender,
        sender: number,
        windowBytes: channelWindowBytes,
        maxPacketBytes: channelMaxPacketBytes,
        data: Buffer.alloc(0),
      }),
    );
    outcome.opened(channel);
  }

  #refuse(open: ChannelOpen, reason: number, description: string): void {
    this.send(
      ChannelOpenFailure.encode({
        recipient: open.sender,
        reason,
        description,
        language: Buffer.alloc(0),
      }),
    );
  }

  // ---- global requests: one after another, replies in order (RFC 4254 §4) ----

  #receiveGlobalRequest(payload: Buffer): void {
    if (!this.#isHandlingGlobalRequest) {
      this.#handleGlobalRequest(payload);
      return;
    }
    if (this.#queuedGlobalRequests.length >= globalQueuedRequests) {
      throw new ProtocolError('too many global requests at once');
    }
    this.#queuedGlobalRequests.push(Buffer.from(payload));
  }

  #handleGlobalRequest(payload: Buffer): void {
    const { name, wantReply, data } = GlobalRequest.decode(payload);
    const handler = this.#globalRequests.get(name);
    const answer = handler === undefined ? false : handler(new Reader(data), this);
    if (!(answer instanceof Promise)) {
      this.#answerGlobalRequest(wantReply, answer);
      return;
    }
    this.#isHandlingGlobalRequest = true;
    answer
      .then((result) => {
        this.#isHandlingGlobalRequest = false;
        this.#answerGlobalRequest(wantReply, result);
        this.#handleQueuedGlobalRequests();
      })
      .catch((error: unknown) => this.fail(error));
  }

  #handleQueuedGlobalRequests(): void {
    while (!this.#isHandlingGlobalRequest && !this.#isOver) {
      const payload = this.#queuedGlobalRequests.shift();
      if (payload === undefined) {
        return;
      }
      this.#handleGlobalRequest(payload);
    }
  }

  #answerGlobalRequest(wantReply: boolean, answer: GlobalAnswer): void {
    if (!wantReply) {
      return;
    }
    if (answer === false) {
      this.send(RequestFailure.encode({}));
    } else {
      this.send(RequestSuccess.encode({ data: answer === true ? Buffer.alloc(0) : answer }));
    }
  }
}
