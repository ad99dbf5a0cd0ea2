/**
 * Flow control of one channel (RFC 4254 §5.2): what the peer may still send, what we may still
 * send, and the bytes that wait for a slow consumer. Runs in: worker.
 */
import { ProtocolError } from '../../base/errors.ts';

const largestWindowBytes = 0xffff_ffff;

/** What the peer may still send. The window is given back as its bytes are consumed. */
export class InboundWindow {
  readonly #maxPacketBytes: number;
  /** Given back in steps of this size, so that bulk costs one adjustment per several packets. */
  readonly #stepBytes: number;
  #left: number;
  #consumed = 0;

  constructor(windowBytes: number, maxPacketBytes: number, stepBytes: number) {
    this.#left = windowBytes;
    this.#maxPacketBytes = maxPacketBytes;
    this.#stepBytes = stepBytes;
  }

  get leftBytes(): number {
    return this.#left;
  }

  /** Called for each data message before anything else is done with it. */
  take(bytes: number): void {
    if (bytes > this.#maxPacketBytes) {
      throw new ProtocolError(`channel data of ${bytes} bytes, ${this.#maxPacketBytes} announced`);
    }
    if (bytes > this.#left) {
      throw new ProtocolError(`channel data of ${bytes} bytes in a window of ${this.#left}`);
    }
    this.#left -= bytes;
  }

  /** Returns the adjustment to send now, 0 for none yet. */
  consume(bytes: number): number {
    this.#consumed += bytes;
    if (this.#consumed < this.#stepBytes) {
      return 0;
    }
    const adjustment = this.#consumed;
    this.#consumed = 0;
    this.#left += adjustment;
    return adjustment;
  }
}

/** What we may still send. */
export class OutboundWindow {
  #left: number;

  constructor(windowBytes: number) {
    this.#left = windowBytes;
  }

  get leftBytes(): number {
    return this.#left;
  }

  adjust(bytes: number): void {
    if (this.#left + bytes > largestWindowBytes) {
      throw new ProtocolError(`window adjustment of ${bytes} on ${this.#left}: more than 2^32 - 1`);
    }
    this.#left += bytes;
  }

  use(bytes: number): void {
    this.#left -= bytes;
  }
}

/** A chunk at least this large is a piece of its own; smaller ones are gathered. */
const smallBytes = 16 * 1024;
const firstGatherBytes = 512;
const mostGatherBytes = 32 * 1024;

/**
 * Bytes in order, waiting for a consumer. A peer can cut its window into one-byte messages; gathered
 * into larger pieces they cost what they hold, not an object each.
 */
export class HeldBytes {
  #pieces: Buffer[] = [];
  #tail: Buffer | undefined;
  #tailBytes = 0;

  get isEmpty(): boolean {
    return this.#pieces.length === 0 && this.#tail === undefined;
  }

  /** Copies `view`, which is only lent. */
  push(view: Buffer): void {
    if (view.length >= smallBytes) {
      this.#sealTail();
      this.#pieces.push(Buffer.from(view));
      return;
    }
    if (this.#tailBytes + view.length > mostGatherBytes) {
      this.#sealTail();
    }
    const tail = this.#roomFor(view.length);
    view.copy(tail, this.#tailBytes);
    this.#tailBytes += view.length;
  }

  #roomFor(bytes: number): Buffer {
    const wanted = this.#tailBytes + bytes;
    if (this.#tail !== undefined && this.#tail.length >= wanted) {
      return this.#tail;
    }
    let size = this.#tail?.length ?? firstGatherBytes;
    while (size < wanted) {
      size *= 2;
    }
    const grown = Buffer.allocUnsafeSlow(size);
    this.#tail?.copy(grown, 0, 0, this.#tailBytes);
    this.#tail = grown;
    return grown;
  }

  #sealTail(): void {
    if (this.#tail !== undefined) {
      this.#pieces.push(this.#tail.subarray(0, this.#tailBytes));
      this.#tail = undefined;
      this.#tailBytes = 0;
    }
  }

  /** The oldest piece; not to be called when empty. */
  shift(): Buffer {
    if (this.#pieces.length === 0) {
      this.#sealTail();
    }
    return this.#pieces.shift() ?? Buffer.alloc(0);
  }
}
