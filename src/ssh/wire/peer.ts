/**
 * Calls, replies and notices over a link of our own (`call.ts` has the frames). What breaks the
 * grammar ends the link; what the other end refuses is a `CallFailure`. Pure: the port and the
 * closing of descriptors are handed in. Runs in: monitor, worker, client of the control socket.
 */
import { ProtocolError, SshdeskError } from '../../base/errors.ts';
import type { Call, FramePort, Notice } from './call.ts';
import { type AnyFields, record, type Values } from './field.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

const replyBit = 0x80;
const maxInFlight = 4096;
/** What a link of ours carries in one frame; a longer one would end it for everybody on it. */
const maxFrameBytes = 128 * 1024;
/** errno of a call whose values do not fit into a frame. */
export const E2BIG = 7;
/** errno of a call that got no answer in time. */
const ETIMEDOUT = 110;
/** errno of a call whose handler broke. */
const EIO = 5;

/** The other end said no, or (code 110) nothing in time. `code` is an errno or the call's own. */
export class CallFailure extends Error {
  readonly code: number;
  readonly text: string;
  constructor(code: number, text: string) {
    super(text);
    this.name = 'CallFailure';
    this.code = code;
    this.text = text;
  }
}

/** The link ended before the answer came. */
export class LinkEnded extends SshdeskError {
  readonly code = 'SSHDESK_LINK_ENDED';
}

/** Descriptors in it belong to whoever holds the answer. */
export interface Answer<F extends AnyFields> {
  readonly values: Values<F>;
  readonly descriptors: readonly number[];
}

export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface PeerOptions {
  /** Closes a descriptor that came and that nobody takes. */
  readonly closeDescriptor: (descriptor: number) => void;
  /** Descriptors of the other end are closed unread. */
  readonly rejectDescriptors?: boolean;
  /** A handler threw something that is no `CallFailure`: a fault of ours, to be logged. */
  readonly onFault?: (error: unknown, name: string) => void;
}

type CallHandler<Q extends AnyFields, R extends AnyFields> = (
  values: Values<Q>,
  descriptors: readonly number[],
) => Promise<{ readonly values: Values<R>; readonly descriptors?: readonly number[] }>;
type NoticeHandler<F extends AnyFields> = (
  values: Values<F>,
  descriptors: readonly number[],
) => void;

interface Waiting {
  readonly number: number;
  /** undefined: given up; the late answer is read over and its descriptors closed. */
  settle: ((reply: Reader, descriptors: readonly number[]) => void) | undefined;
  fail(error: Error): void;
}

/**
 * Registered handlers own the descriptors that come with a frame; a call nobody waits for any more
 * and a frame that breaks the link have theirs closed here. Descriptors that are sent are taken over
 * by the port. `onEnd` is called once, not after `close`.
 */
export class Peer {
  readonly #port: FramePort;
  readonly #options: PeerOptions;
  readonly #callHandlers = new Map<
    number,
    (from: Reader, descriptors: readonly number[]) => Promise<Reply>
  >();
  readonly #noticeHandlers = new Map<
    number,
    (from: Reader, descriptors: readonly number[]) => void
  >();
  readonly #waiting = new Map<number, Waiting>();
  readonly #serving = new Set<number>();
  #nextId = 1;
  #hasEnded = false;

  onEnd: (error?: Error) => void = () => {};

  constructor(port: FramePort, options: PeerOptions) {
    this.#port = port;
    this.#options = options;
    port.onEnd = (error) => this.#end(error);
    port.onFrame = (frame, descriptors) => this.#frame(frame, descriptors);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * Descriptors are taken over. Rejects with `CallFailure`, `LinkEnded`, or the reason of the signal.
   */
  call<Q extends AnyFields, R extends AnyFields>(
    to: Call<Q, R>,
    values: Values<Q>,
    descriptors: readonly number[] = [],
    options: CallOptions = {},
  ): Promise<Answer<R>> {
    const refusal = this.#refusalToCall(to.name, options.signal);
    if (refusal !== undefined) {
      this.#closeAll(descriptors);
      return Promise.reject(refusal);
    }
    const id = this.#takeId();
    const frame = encode(to.number, id, (w) => record(to.request).write(w, values));
    if (frame.length > maxFrameBytes) {
      this.#closeAll(descriptors);
      return Promise.reject(new CallFailure(E2BIG, `${to.name}: ${frame.length} bytes`));
    }
    return new Promise<Answer<R>>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const finish = () => {
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', giveUp);
      };
      const waiting: Waiting = {
        number: to.number,
        settle: (reply, received) => {
          finish();
          this.#settle(to, reply, received, resolve, reject);
        },
        fail: (error) => {
          finish();
          reject(error);
        },
      };
      const giveUp = () => {
        waiting.settle = undefined;
        waiting.fail(options.signal?.reason ?? new Error(`${to.name} was given up`));
      };
      options.signal?.addEventListener('abort', giveUp, { once: true });
      if (options.timeoutMs !== undefined) {
        timer = setTimeout(() => {
          waiting.settle = undefined;
          waiting.fail(new CallFailure(ETIMEDOUT, `${to.name}: no answer in time`));
        }, options.timeoutMs);
      }
      this.#waiting.set(id, waiting);
      this.#port.send(frame, descriptors);
    });
  }

  /** Descriptors are taken over. */
  notify<F extends AnyFields>(
    to: Notice<F>,
    values: Values<F>,
    descriptors: readonly number[] = [],
  ): void {
    this.#send(
      encode(to.number, 0, (w) => record(to.fields).write(w, values)),
      descriptors,
    );
  }

  /**
   * `handle` throws `CallFailure` to refuse. It owns the descriptors from its first line on, also
   * when it throws.
   */
  onCall<Q extends AnyFields, R extends AnyFields>(
    of: Call<Q, R>,
    handle: CallHandler<Q, R>,
  ): void {
    const request = record(of.request);
    const reply = record(of.reply);
    this.#callHandlers.set(of.number, (from, descriptors) => {
      const values = request.read(from);
      from.end();
      return this.#serve(of, async () => {
        const answer = await handle(values, descriptors);
        const back = answer.descriptors ?? [];
        return { write: (w) => reply.write(w.byte(0), answer.values), descriptors: back };
      });
    });
  }

  /** `handle` owns the descriptors. */
  onNotice<F extends AnyFields>(of: Notice<F>, handle: NoticeHandler<F>): void {
    const fields = record(of.fields);
    this.#noticeHandlers.set(of.number, (from, descriptors) => {
      const values = fields.read(from);
      from.end();
      try {
        handle(values, descriptors);
      } catch (error) {
        this.#fault(error, of.name);
      }
    });
  }

  /** Rejects what is waiting; `onEnd` is not called. */
  close(): void {
    if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#port.close();
      this.#failAll();
    }
  }

  #refusalToCall(name: string, signal: AbortSignal | undefined): Error | undefined {
    if (this.#hasEnded) {
      return new LinkEnded(`${name}: the link has ended`);
    }
    if (signal?.aborted) {
      return signal.reason as Error;
    }
    if (this.#waiting.size >= maxInFlight) {
      return new CallFailure(11 /* EAGAIN */, `${name}: ${maxInFlight} calls wait already`);
    }
    return undefined;
  }

  #takeId(): number {
    while (this.#nextId === 0 || this.#waiting.has(this.#nextId)) {
      this.#nextId = (this.#nextId + 1) >>> 0;
    }
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0;
    return id;
  }

  #send(frame: Buffer, descriptors: readonly number[]): void {
    if (this.#hasEnded) {
      this.#closeAll(descriptors);
    } else {
      this.#port.send(frame, descriptors);
    }
  }

  async #serve({ name }: { readonly name: string }, run: () => Promise<Reply>): Promise<Reply> {
    try {
      return await run();
    } catch (error) {
      if (error instanceof CallFailure) {
        const { code, text } = error;
        return { write: (w) => void w.byte(1).uint32(code).text(text), descriptors: [] };
      }
      this.#fault(error, name);
      return { write: (w) => void w.byte(1).uint32(EIO).text('internal error'), descriptors: [] };
    }
  }

  #fault(error: unknown, name: string): void {
    if (this.#options.onFault === undefined) {
      // Nobody is there to log it: it ends the process, in a turn of its own.
      setImmediate(() => {
        throw error;
      });
    } else {
      this.#options.onFault(error, name);
    }
  }

  #settle<Q extends AnyFields, R extends AnyFields>(
    to: Call<Q, R>,
    reply: Reader,
    descriptors: readonly number[],
    resolve: (answer: Answer<R>) => void,
    reject: (error: Error) => void,
  ): void {
    const verdict = reply.byte();
    if (verdict === 1) {
      const failure = new CallFailure(reply.uint32(), reply.text());
      reply.end();
      this.#closeAll(descriptors);
      reject(failure);
      return;
    }
    if (verdict !== 0) {
      throw new ProtocolError(`${to.name}: a reply with verdict ${verdict}`);
    }
    const values = record(to.reply).read(reply);
    reply.end();
    resolve({ values, descriptors });
  }

  #frame(frame: Buffer, sent: readonly number[]): void {
    if (this.#hasEnded) {
      this.#closeAll(sent);
      return;
    }
    let descriptors = sent;
    if (this.#options.rejectDescriptors === true && sent.length > 0) {
      this.#closeAll(sent);
      descriptors = [];
    }
    try {
      const from = new Reader(frame);
      const number = from.byte();
      const id = from.uint32();
      if (number >= replyBit) {
        this.#reply(number - replyBit, id, from, descriptors);
      } else if (id === 0) {
        this.#handlerOf(this.#noticeHandlers, number)(from, descriptors);
      } else {
        this.#request(number, id, from, descriptors);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) {
        throw error;
      }
      this.#closeAll(descriptors);
      this.#port.close();
      this.#end(error);
    }
  }

  #handlerOf<H>(handlers: ReadonlyMap<number, H>, number: number): H {
    const handler = handlers.get(number);
    if (handler === undefined) {
      throw new ProtocolError(`a frame with number ${number}, which is not expected here`);
    }
    return handler;
  }

  #reply(number: number, id: number, from: Reader, descriptors: readonly number[]): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || waiting.number !== number) {
      throw new ProtocolError(`a reply ${number} to call ${id}, which was not made`);
    }
    this.#waiting.delete(id);
    if (waiting.settle === undefined) {
      this.#closeAll(descriptors);
      return;
    }
    try {
      waiting.settle(from, descriptors);
    } catch (error) {
      waiting.fail(error as Error);
      throw error;
    }
  }

  #request(number: number, id: number, from: Reader, descriptors: readonly number[]): void {
    const handler = this.#handlerOf(this.#callHandlers, number);
    if (this.#serving.has(id) || this.#serving.size >= maxInFlight) {
      throw new ProtocolError(`call ${id} is one too many`);
    }
    const answer = handler(from, descriptors);
    this.#serving.add(id);
    // #serve turns every failure into a reply, so nothing is lost here.
    void answer.then(({ write, descriptors: back }) => {
      this.#serving.delete(id);
      this.#send(this.#encodeReply(number, id, write), back);
    });
  }

  /** An answer that its fields or a frame cannot carry is a fault of ours, and of this call only. */
  #encodeReply(number: number, id: number, write: Reply['write']): Buffer {
    try {
      const frame = encode(number + replyBit, id, write);
      if (frame.length > maxFrameBytes) {
        throw new Error(`an answer of ${frame.length} bytes`);
      }
      return frame;
    } catch (error) {
      this.#fault(error, `reply ${number}`);
      return encode(number + replyBit, id, (w) => w.byte(1).uint32(EIO).text('internal error'));
    }
  }

  #closeAll(descriptors: readonly number[]): void {
    for (const descriptor of descriptors) {
      this.#options.closeDescriptor(descriptor);
    }
  }

  #failAll(): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { settle, fail } of waiting) {
      if (settle !== undefined) {
        fail(new LinkEnded('the link ended before the answer'));
      }
    }
  }

  #end(error: Error | undefined): void {
    if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#failAll();
      this.onEnd(error);
    }
  }
}

function encode(number: number, id: number, write: (to: Writer) => void): Buffer {
  const to = new Writer().byte(number).uint32(id);
  write(to);
  return to.done();
}

interface Reply {
  readonly write: (to: Writer) => void;
  readonly descriptors: readonly number[];
}
