/**
 * Frames with descriptors over SOCK_SEQPACKET: the links between our own processes (the port that
 * `ssh/wire/call.ts` declares). Runs in: monitor, worker.
 */
import {
  addon,
  checked,
  errno,
  nativeError,
  openWatch,
  readable,
  writable,
  type Watch,
} from './addon.native.ts';
import { NativeError } from './errors.ts';

export const maxFrameBytes = 128 * 1024;
export const maxFrameDescriptors = 16;
const maxQueuedFrames = 1024;
const maxQueuedBytes = 16 * 1024 * 1024;
const maxFramesPerTurn = 64;

interface Queued {
  readonly frame: Buffer;
  readonly descriptors: Int32Array;
}

const noDescriptors = new Int32Array(0);

/** Two ends of an unnamed SOCK_SEQPACKET pair, close-on-exec. */
export function socketPair(): [number, number] {
  const ends = new Int32Array(2);
  checked('socketpair', addon.socketPair(ends));
  return [ends[0] as number, ends[1] as number];
}

function closeAll(descriptors: Iterable<number>): void {
  for (const descriptor of descriptors) {
    addon.closeDescriptor(descriptor);
  }
}

/** Owns `descriptor`. Reads once `onFrame` is set; frames wait in the kernel until then. */
export class SeqpacketLink {
  readonly #descriptor: number;
  readonly #watch: Watch;
  readonly #received = new Int32Array(1 + maxFrameDescriptors);
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #onFrame: ((frame: Buffer, descriptors: readonly number[]) => void) | undefined;
  #isOpen = true;
  /** The other end no longer takes frames; what it sent before is still to be read. */
  #isDeaf = false;

  /** Called once, after the last frame; `error` is undefined when the other end went away. */
  onEnd: (error?: Error) => void = () => {};

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#watch = openWatch(descriptor, (events) => this.#ready(events));
  }

  get onFrame(): (frame: Buffer, descriptors: readonly number[]) => void {
    return this.#onFrame ?? (() => {});
  }

  /** Descriptors that come belong to the receiver. */
  set onFrame(receive: (frame: Buffer, descriptors: readonly number[]) => void) {
    this.#onFrame = receive;
    this.#want();
  }

  /**
   * Takes the frame and the descriptors over: a frame may carry a password and is erased once it has
   * gone, descriptors are closed then, or when the link ends.
   * Queues when the kernel's buffer is full; a queue that grows beyond its bound ends the link.
   */
  send(frame: Buffer, descriptors: readonly number[] = []): void {
    const held = descriptors.length === 0 ? noDescriptors : Int32Array.from(descriptors);
    if (!this.#isOpen || this.#isDeaf) {
      closeAll(held);
      return;
    }
    if (this.#queue.length === 0) {
      const result = addon.sendFrame(this.#descriptor, frame, held, held.length);
      if (result !== -errno.EAGAIN && result !== -errno.ENOBUFS) {
        closeAll(held);
        frame.fill(0);
        this.#sent(result);
        return;
      }
    }
    if (
      this.#queue.length >= maxQueuedFrames ||
      this.#queuedBytes + frame.length > maxQueuedBytes
    ) {
      closeAll(held);
      this.#endSoon(
        new NativeError('link', errno.ENOBUFS, 'the other end does not read: queue is full'),
      );
      return;
    }
    this.#queue.push({ frame, descriptors: held });
    this.#queuedBytes += frame.length;
    this.#want();
  }

  /** Ends it without a call of `onEnd`; what is queued is dropped. */
  close(): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      this.#dropQueue();
      addon.pollClose(this.#watch);
    }
  }

  /** An unreferenced link does not keep the process alive. */
  unref(): void {
    addon.pollReference(this.#watch, 0);
  }

  #want(): void {
    if (this.#isOpen) {
      const events =
        (this.#onFrame === undefined ? 0 : readable) | (this.#queue.length > 0 ? writable : 0);
      checked('uv_poll_start', addon.pollWant(this.#watch, events));
    }
  }

  #ready(events: number): void {
    if ((events & writable) !== 0) {
      this.#flush();
    }
    if (this.#isOpen && this.#onFrame !== undefined) {
      this.#receive(this.#onFrame);
    }
    this.#want();
  }

  #receive(deliver: (frame: Buffer, descriptors: readonly number[]) => void): void {
    for (let count = 0; count < maxFramesPerTurn && this.#isOpen; count++) {
      const frame = addon.receiveFrame(this.#descriptor, this.#received);
      if (typeof frame === 'number') {
        if (frame === -errno.EAGAIN) {
          return;
        }
        // The other end closed with frames of ours unread. The kernel says so first and once; what
        // it had sent before is still to come.
        if (frame === -errno.ECONNRESET) {
          this.#goDeaf();
          continue;
        }
        this.#end(frame === 0 ? undefined : nativeError('recvmsg', frame));
        return;
      }
      const held = this.#received[0] as number;
      deliver(frame, held === 0 ? [] : Array.from(this.#received.subarray(1, 1 + held)));
    }
  }

  #flush(): void {
    let sent = 0;
    for (const { frame, descriptors } of this.#queue) {
      const result = addon.sendFrame(this.#descriptor, frame, descriptors, descriptors.length);
      if (result === -errno.EAGAIN || result === -errno.ENOBUFS) {
        break;
      }
      closeAll(descriptors);
      this.#queuedBytes -= frame.length;
      frame.fill(0);
      sent++;
      if (result < 0) {
        this.#queue.splice(0, sent);
        this.#sent(result);
        return;
      }
    }
    this.#queue.splice(0, sent);
  }

  #sent(result: number): void {
    if (result === -errno.EPIPE || result === -errno.ECONNRESET || result === -errno.ENOTCONN) {
      this.#goDeaf();
    } else if (result < 0) {
      this.#endSoon(nativeError('sendmsg', result));
    }
  }

  #goDeaf(): void {
    this.#isDeaf = true;
    this.#dropQueue();
  }

  #dropQueue(): void {
    for (const { frame, descriptors } of this.#queue) {
      closeAll(descriptors);
      frame.fill(0);
    }
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  /** From within a call of the owner: told in a later turn, so that `send` never calls back. */
  #endSoon(error: Error): void {
    if (this.#isOpen) {
      this.close();
      setImmediate(() => this.onEnd(error));
    }
  }

  #end(error: Error | undefined): void {
    if (this.#isOpen) {
      this.close();
      this.onEnd(error);
    }
  }
}
