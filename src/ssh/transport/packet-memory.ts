/**
 * Memory for large outgoing packets, used again and again: at 800 MB/s a new buffer for each makes
 * allocation and its collection a fifth of the work. One per worker. Runs in: worker.
 */
import { randomFillSync } from 'node:crypto';

/** A turn's packets (`limits.corkedBytes`) and one more. */
const slabBytes = 320 * 1024;
/** Kept while nobody needs them; the rest is left to the collector. */
const spareSlabs = 8;
const randomBytes = 4096;

export class PacketMemory {
  readonly #spare: Buffer[] = [];
  readonly #random = Buffer.allocUnsafeSlow(randomBytes);
  #randomAt = randomBytes;

  takeSlab(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(slabBytes);
  }

  /** Nobody may look at it any more. */
  giveSlab(slab: Buffer): void {
    if (this.#spare.length < spareSlabs) {
      this.#spare.push(slab);
    }
  }

  /** Random padding (RFC 4253 §6); no byte is given out twice. */
  pad(into: Buffer, at: number, byteCount: number): void {
    if (this.#randomAt + byteCount > randomBytes) {
      randomFillSync(this.#random);
      this.#randomAt = 0;
    }
    this.#random.copy(into, at, this.#randomAt, this.#randomAt + byteCount);
    this.#randomAt += byteCount;
  }
}
