/**
 * Requests on a channel (RFC 4254 §5.4): the peer's, strictly one after another, and the answers to
 * ours. Runs in: worker, user.
 */
import { ProtocolError } from '../../base/errors.ts';
import { channelQueuedRequestBytes, channelQueuedRequests } from '../../base/limits.ts';
import { Reader } from '../wire/reader.ts';
import { ChannelRequest } from './messages.ts';

/** true is CHANNEL_SUCCESS; a function too, and it runs right behind the reply. */
export type RequestAnswer = boolean | (() => void);

/**
 * One request of the client on this channel. Requests are handled strictly one after another, so
 * that replies keep their order. `fields` is the type-specific part.
 */
export type ChannelRequestHandler = (fields: Reader) => RequestAnswer | Promise<RequestAnswer>;

export interface RequestHost {
  reply(isGranted: boolean): void;
  /** The peer reads no more of what we send (eow@openssh.com). */
  stopOutput(): void;
  /** Ends the connection: an exception of a handler that ran asynchronously. */
  fail(error: unknown): void;
}

const noRequests: ReadonlyMap<string, ChannelRequestHandler> = new Map();

export class ChannelRequests {
  /** What is not in the table is answered with CHANNEL_FAILURE. */
  table: ReadonlyMap<string, ChannelRequestHandler> = noRequests;
  readonly #host: RequestHost;
  #queued: Buffer[] = [];
  #queuedBytes = 0;
  #isHandling = false;
  /** Our own that want a reply, in the order of the replies. */
  readonly #questions: ((isGranted: boolean) => void)[] = [];

  constructor(host: RequestHost) {
    this.#host = host;
  }

  receive(payload: Buffer): void {
    if (!this.#isHandling) {
      this.#handle(payload);
      return;
    }
    if (
      this.#queued.length >= channelQueuedRequests ||
      this.#queuedBytes + payload.length > channelQueuedRequestBytes
    ) {
      throw new ProtocolError('too many channel requests at once');
    }
    this.#queued.push(Buffer.from(payload));
    this.#queuedBytes += payload.length;
  }

  /** The reply to the next of ours; false also when the channel closes before. */
  answer(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#questions.push(resolve);
    return promise;
  }

  /** To one of our own requests; a reply to none means nothing. */
  receiveReply(isGranted: boolean): void {
    this.#questions.shift()?.(isGranted);
  }

  /** The channel is closed: nothing that waits is handled or answered any more. */
  drop(): void {
    for (const answer of this.#questions.splice(0)) {
      answer(false);
    }
    this.#queued = [];
    this.#queuedBytes = 0;
  }

  #handle(payload: Buffer): void {
    const { name, wantReply, data } = ChannelRequest.decode(payload);
    if (name === 'eow@openssh.com') {
      new Reader(data).end();
      this.#host.stopOutput();
      this.#reply(wantReply, true);
      return;
    }
    const handler = this.table.get(name);
    if (handler === undefined) {
      this.#reply(wantReply, false);
      return;
    }
    const answer = handler(new Reader(data));
    if (!(answer instanceof Promise)) {
      this.#reply(wantReply, answer);
      return;
    }
    this.#isHandling = true;
    answer
      .then((result) => {
        this.#isHandling = false;
        this.#reply(wantReply, result);
        this.#handleQueued();
      })
      .catch((error: unknown) => this.#host.fail(error));
  }

  #handleQueued(): void {
    while (!this.#isHandling) {
      const payload = this.#queued.shift();
      if (payload === undefined) {
        return;
      }
      this.#queuedBytes -= payload.length;
      this.#handle(payload);
    }
  }

  #reply(wantReply: boolean, answer: RequestAnswer): void {
    if (wantReply) {
      this.#host.reply(answer !== false);
    }
    if (typeof answer === 'function') {
      answer();
    }
  }
}
