/**
 * Packets on their way to the socket: those of one turn of the loop leave together. Large ones are
 * made side by side in a slab of `PacketMemory`, which leaves as one piece. Runs in: worker.
 */
import type { Writable } from 'node:stream';
import { limits } from './limits.ts';
import type { PacketMemory } from './packet-memory.ts';

/** One flush on its way; `slab`: nothing else will be made in it. */
interface Write {
  slab: Buffer | undefined;
}

/** A stream that can also be written to at once, without a queue. */
export interface DirectWritable extends Writable {
  /** Bytes of `chunk` that were taken, 0 while anything waits; a failure is `write`'s to find. */
  writeNow?(chunk: Buffer): number;
}

export class Output {
  readonly #stream: DirectWritable;
  readonly #onFlushed: () => void;
  readonly #memory: PacketMemory | undefined;
  #corked: Buffer[] = [];
  #corkedBytes = 0;
  #slab: Buffer | undefined;
  /** Of the slab: what waits in a row, then what is given out. */
  #runFrom = 0;
  #runTo = 0;
  #usedBytes = 0;
  #lastWrite: Write | undefined;

  /**
   * `onFlushed` is called each time the socket has taken what it was given. `memory`: only for a
   * stream that has copied a chunk by the time it says that it is written, as a socket does.
   */
  constructor(stream: DirectWritable, onFlushed: () => void, memory?: PacketMemory) {
    this.#stream = stream;
    this.#onFlushed = onFlushed;
    this.#memory = memory;
  }

  /** Bytes that the kernel does not have yet. */
  get pendingBytes(): number {
    return this.#corkedBytes + this.#stream.writableLength;
  }

  /**
   * Where a packet of so many bytes is to be made, if it may be in a slab: to be pushed before
   * anything else is.
   */
  space(byteCount: number): Buffer | undefined {
    if (this.#memory === undefined) {
      return undefined;
    }
    if (this.#slab !== undefined && this.#usedBytes + byteCount > this.#slab.length) {
      this.flush();
      this.#leaveSlab();
    }
    if (this.#slab === undefined) {
      this.#slab = this.#memory.takeSlab();
      this.#runFrom = 0;
      this.#runTo = 0;
      this.#usedBytes = 0;
    }
    const at = this.#usedBytes;
    if (at + byteCount > this.#slab.length) {
      return undefined;
    }
    this.#usedBytes = at + byteCount;
    return this.#slab.subarray(at, at + byteCount);
  }

  /** A slab that the socket has not taken yet is given back when it has. */
  #leaveSlab(): void {
    if (this.#slab !== undefined && this.#lastWrite !== undefined) {
      this.#lastWrite.slab = this.#slab;
    }
    this.#slab = undefined;
  }

  /** Idle connections hold no slab. */
  #giveSlabBack(): void {
    const isWritten = this.#corkedBytes === 0 && this.#stream.writableLength === 0;
    if (isWritten && this.#slab !== undefined) {
      this.#memory?.giveSlab(this.#slab);
      this.#slab = undefined;
    }
  }

  /** Held until `flush`. */
  push(packet: Buffer): void {
    if (packet.buffer === this.#slab?.buffer) {
      const at = packet.byteOffset - this.#slab.byteOffset;
      if (at !== this.#runTo) {
        this.#closeRun();
        this.#runFrom = at;
      }
      this.#runTo = at + packet.length;
    } else {
      this.#closeRun();
      this.#corked.push(packet);
    }
    this.#corkedBytes += packet.length;
    if (this.#corkedBytes >= limits.corkedBytes) {
      this.flush();
    }
  }

  #closeRun(): void {
    if (this.#slab !== undefined && this.#runTo > this.#runFrom) {
      this.#corked.push(this.#slab.subarray(this.#runFrom, this.#runTo));
    }
    this.#runFrom = this.#runTo;
  }

  flush(): void {
    this.#closeRun();
    const packets = this.#corked;
    if (packets.length === 0) {
      return;
    }
    this.#corked = [];
    this.#corkedBytes = 0;
    if (!this.#stream.writable) {
      return;
    }
    const last = packets.length - 1;
    // Nearly always there is one piece, and the kernel has room for it: no request, no queue.
    if (last === 0) {
      const packet = packets[0] as Buffer;
      const taken = this.#stream.writeNow?.(packet) ?? 0;
      if (taken === packet.length) {
        this.#giveSlabBack();
        process.nextTick(this.#onFlushed);
        return;
      }
      packets[0] = packet.subarray(taken);
    }
    const write: Write = { slab: undefined };
    this.#lastWrite = write;
    this.#stream.cork();
    for (let i = 0; i < last; i++) {
      this.#stream.write(packets[i]);
    }
    // The error of a failed write arrives as the stream's 'error'.
    this.#stream.write(packets[last], (error) => {
      if (error === null || error === undefined) {
        this.#wasWritten(write);
      }
      this.#onFlushed();
    });
    this.#stream.uncork();
    // Most often the kernel has it already, and the callback is only called later.
    this.#giveSlabBack();
  }

  #wasWritten({ slab }: Write): void {
    if (slab !== undefined) {
      this.#memory?.giveSlab(slab);
    }
    this.#giveSlabBack();
  }
}
