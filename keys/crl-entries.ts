/**
 * The entries of a list of revoked certificates (RFC 5280 §5.1.2.6): there may be hundreds of
 * thousands, so that they are walked once without making anything of them, and a serial number is
 * looked for by its bytes. Runs in: monitor.
 */
import { DerError, DerReader, derTag, timeMs } from './der.ts';

/** Walking takes some 30 ms of the monitor for so many. */
const maxEntries = 500_000;
/** Extensions are the same few in all entries: reasons. */
const maxRemembered = 64;
const what = 'an entry of a list';

export class CrlEntries {
  readonly #bytes: Buffer;
  /** Where the serial numbers begin, ascending. */
  readonly #serials: Uint32Array;

  /** `checkExtensions` throws for what may not be there. */
  constructor(bytes: Buffer, checkExtensions: (raw: Buffer) => void) {
    this.#bytes = bytes;
    const serials: number[] = [];
    const known = new Set<string>();
    const walk = new Walk(bytes);
    while (walk.at < bytes.length) {
      const end = walk.enter(derTag.sequence);
      serials.push(walk.at);
      if (serials.length > maxEntries) {
        throw new DerError(`a list of more than ${maxEntries} certificates`);
      }
      walk.skipSerial();
      const isUtc = bytes[walk.at] === derTag.utcTime;
      walk.at = walk.enter(isUtc ? derTag.utcTime : derTag.generalizedTime);
      if (walk.at < end) {
        const raw = bytes.subarray(walk.at, end);
        const name = raw.toString('latin1');
        if (!known.has(name)) {
          checkExtensions(raw);
          if (known.size < maxRemembered) known.add(name);
        }
        walk.at = end;
      }
      if (walk.at !== end) {
        throw new DerError(`${what}: it breaks off`);
      }
    }
    this.#serials = Uint32Array.from(serials);
  }

  /** `serial`: digits of base 16. undefined: not among them; 0: nobody knows since when. */
  revokedAtMs(serial: string): number | undefined {
    const magnitude = Buffer.from(serial, 'hex');
    const value =
      (magnitude[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), magnitude]) : magnitude;
    const wanted = Buffer.concat([Buffer.from([derTag.integer, value.length]), value]);
    for (let at = this.#bytes.indexOf(wanted); at >= 0; at = this.#bytes.indexOf(wanted, at + 1)) {
      if (this.#isSerial(at)) {
        return sinceMs(this.#bytes.subarray(at + wanted.length));
      }
    }
    return undefined;
  }

  #isSerial(at: number): boolean {
    let [low, high] = [0, this.#serials.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#serials[middle] as number) < at) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return this.#serials[low] === at;
  }
}

function sinceMs(rest: Buffer): number {
  try {
    return timeMs(new DerReader(rest).value(), 'the time of a revocation');
  } catch (error) {
    if (error instanceof DerError) {
      return 0;
    }
    throw error;
  }
}

/** As DerReader, by numbers alone. */
class Walk {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Steps into a value of this tag; where it ends. */
  enter(tag: number): number {
    const bytes = this.#bytes;
    const first = bytes[this.at + 1];
    if (bytes[this.at] !== tag || first === undefined) {
      throw new DerError(`${what}: something else in it`);
    }
    this.at += 2;
    let length = first;
    if (first >= 0x80) {
      const count = first & 0x7f;
      length = 0;
      for (let index = 0; index < count && count <= 3; index++) {
        length = length * 256 + (bytes[this.at + index] ?? 0);
      }
      if (count === 0 || count > 3 || length < 0x80 || length < 256 ** (count - 1)) {
        throw new DerError(`${what}: a length of a form that is not taken`);
      }
      this.at += count;
    }
    if (length > bytes.length - this.at) {
      throw new DerError(`${what}: a length beyond the end`);
    }
    return this.at + length;
  }

  /** One in another form than its shortest would not be found. A negative one is nobody's here. */
  skipSerial(): void {
    const end = this.enter(derTag.integer);
    const [first, second] = [this.#bytes[this.at], this.#bytes[this.at + 1]];
    const length = end - this.at;
    if (length === 0 || length > 0x7f || (length > 1 && first === 0 && (second ?? 0) < 0x80)) {
      throw new DerError(`${what}: a serial number of a form that is not taken`);
    }
    this.at = end;
  }
}
