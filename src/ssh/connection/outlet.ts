/**
 * The output of one channel in one direction, stdout or stderr (RFC 4254 §5.2): what may go out now
 * goes, the rest waits. Runs in: worker.
 */

/** What an outlet needs of the channel it belongs to. */
export interface OutletChannel {
  /** EOF or CLOSE has been asked for: nothing more leaves. */
  readonly isOutputEnded: boolean;
  /** Whether bytes may be sent right now, without a queue. */
  readonly mayWriteThrough: boolean;
  /** Sends from `from` on as much as window and socket allow; returns how far it came. */
  sendSlices(chunk: Buffer, from: number, isStderr: boolean, mostPackets?: number): number;
  /** The outlet was refused because of the socket alone. */
  awaitRoom(): void;
}

/** One direction of output. What does not fit the window waits here, as a view. */
export class Outlet {
  readonly #channel: OutletChannel;
  readonly #isStderr: boolean;
  #queue: Buffer[] = [];
  #sentOfFirst = 0;
  #isBlocked = false;
  /** After `write` returned false: the queue is empty again, or the channel is closed. */
  onDrain: () => void = () => {};
  /** The client reads no more of this channel; what is written from here on is dropped. */
  onUnwanted: () => void = () => {};

  constructor(channel: OutletChannel, isStderr: boolean) {
    this.#channel = channel;
    this.#isStderr = isStderr;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /**
   * Takes the chunk; the caller does not touch it any more. Returns false when the caller has to
   * wait for `onDrain` before it writes again. Behind EOF or CLOSE chunks are dropped: the client
   * cannot get them, and a source learns of it from `channel.onClose`.
   */
  write(chunk: Buffer): boolean {
    if (this.#channel.isOutputEnded) {
      return true;
    }
    const from = this.#channel.mayWriteThrough
      ? this.#channel.sendSlices(chunk, 0, this.#isStderr)
      : 0;
    if (from < chunk.length) {
      this.#queue.push(from === 0 ? chunk : chunk.subarray(from));
    }
    return this.#mayGoOn();
  }

  /**
   * As `write`, for a chunk that is only lent: the caller reads into the same memory again. It goes
   * out past a full socket (one chunk more), and what the window holds back is copied.
   */
  writeLent(chunk: Buffer): boolean {
    if (this.#channel.isOutputEnded) {
      return true;
    }
    let from = 0;
    if (this.#channel.mayWriteThrough) {
      let before = -1;
      while (from < chunk.length && from > before) {
        before = from;
        from = this.#channel.sendSlices(chunk, from, this.#isStderr);
      }
    }
    if (from < chunk.length) {
      this.#queue.push(Buffer.from(chunk.subarray(from)));
    }
    return this.#mayGoOn();
  }

  #mayGoOn(): boolean {
    if (this.#channel.mayWriteThrough) {
      return true;
    }
    this.#isBlocked = true;
    this.#channel.awaitRoom();
    return false;
  }

  /** Goes on with the first chunk of the queue. */
  sendQueued(mostPackets: number): void {
    const first = this.#queue[0];
    if (first === undefined) {
      return;
    }
    const from = this.#sentOfFirst;
    this.#sentOfFirst = this.#channel.sendSlices(first, from, this.#isStderr, mostPackets);
    if (this.#sentOfFirst === first.length) {
      this.#queue.shift();
      this.#sentOfFirst = 0;
    }
  }

  drop(): void {
    this.#queue = [];
    this.#sentOfFirst = 0;
  }

  unblock(): void {
    if (this.#isBlocked && this.#queue.length === 0) {
      this.#isBlocked = false;
      this.onDrain();
    }
  }
}
