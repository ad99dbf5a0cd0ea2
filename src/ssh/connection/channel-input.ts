/**
 * What the client sends on a channel: handed to a sink as fast as that takes it, held within the
 * window otherwise (RFC 4254 §5.2). Runs in: worker, user.
 */
import {
  channelMaxPacketBytes,
  channelWindowBytes,
  channelWindowStepBytes,
} from '../../base/limits.ts';
import { HeldBytes, InboundWindow } from './window.ts';

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

export class ChannelInput {
  readonly #adjust: (bytes: number) => void;
  readonly #window = new InboundWindow(
    channelWindowBytes,
    channelMaxPacketBytes,
    channelWindowStepBytes,
  );
  #sink: Sink | undefined;
  #isSinkReady = false;
  #isSinkEnded = false;
  #isOver = false;
  #isHanding = false;
  #unread: Buffer | undefined;
  readonly #held = new HeldBytes();
  /** Taken by the sink when it said "no more": given back to the window once it is ready. */
  #owedBytes = 0;

  /** `adjust` says how many bytes more the client may send. */
  constructor(adjust: (bytes: number) => void) {
    this.#adjust = adjust;
  }

  /** The sink has been told of the end. */
  get isSinkEnded(): boolean {
    return this.#isSinkEnded;
  }

  /** As `Channel.receive`. */
  receive(sink: Sink, unread?: Buffer): void {
    this.#sink = sink;
    if (unread !== undefined && unread.length > 0) {
      this.#unread = unread;
    }
    this.sinkReady();
  }

  sinkReady(): void {
    this.#settle();
    this.deliver();
  }

  /** Bytes have come, of whatever type. Throws where the client had no window for them. */
  arrived(bytes: number): void {
    this.#window.take(bytes);
  }

  /** `data` is lent for the time of the call, and has been counted by `arrived`. */
  take(data: Buffer): void {
    if (this.#isSinkReady && !this.#isHanding && this.#held.isEmpty) {
      this.#hand(data, data.length, true);
    } else {
      this.#held.push(data);
    }
    this.deliver();
  }

  consume(bytes: number): void {
    const adjustment = this.#window.consume(bytes);
    if (adjustment > 0) {
      this.#adjust(adjustment);
    }
  }

  /** Nothing comes behind what is held; `deliver` tells the sink. */
  end(): void {
    this.#isOver = true;
  }

  deliver(): void {
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
    const isAllHanded = this.#unread === undefined && this.#held.isEmpty;
    if (this.#isOver && isAllHanded && !this.#isSinkEnded) {
      this.#isSinkEnded = true;
      this.#sink.end();
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
      this.consume(owedBytes);
    }
  }
}

function giveLent(sink: Sink, data: Buffer): boolean {
  return sink.writeLent === undefined ? sink.write(Buffer.from(data)) : sink.writeLent(data);
}
