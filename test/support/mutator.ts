/** Changes bytes at random but repeatably: the seed is in `name` and can be set by FUZZ_SEED. */
export class Mutator {
  readonly name: string;
  #state: number;

  constructor(seed = Number(process.env.FUZZ_SEED ?? Date.now() % 0x7fffffff)) {
    this.name = `FUZZ_SEED=${seed}`;
    this.#state = seed >>> 0 || 1;
  }

  /** 0 … below - 1; xorshift. */
  below(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % below;
  }

  #one(bytes: Buffer): Buffer {
    const at = this.below(bytes.length + 1);
    const length = this.below(8) + 1;
    switch (this.below(6)) {
      case 0:
        return bytes.subarray(0, at);
      case 1:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
      case 2:
        return Buffer.concat([
          bytes.subarray(0, at),
          bytes.subarray(at, at + length),
          bytes.subarray(at),
        ]);
      case 3:
        return Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(Array.from({ length }, () => this.below(256))),
          bytes.subarray(at),
        ]);
      default: {
        const copy = Buffer.from(bytes);
        if (at < copy.length) {
          const interesting = [0, 0xff, 0x7f, 0x80, 0x0a, 0x22, 0x5c, 0x20, 0x2c];
          copy[at] =
            this.below(2) === 0
              ? this.below(256)
              : (interesting[this.below(interesting.length)] as number);
        }
        return copy;
      }
    }
  }

  bytes(original: Buffer): Buffer {
    let changed = original;
    for (let count = this.below(3) + 1; count > 0; count--) {
      changed = this.#one(changed);
    }
    return changed;
  }
}
