/**
 * DER as it has to be (ITU-T X.690 §10): lengths in their shortest form, no tag of several bytes, and
 * nothing left over. What is otherwise is refused and never guessed, since certificates and lists of
 * revocations come from strangers. Runs in: monitor, user.
 */
export class DerError extends Error {}

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  t61String: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[n]` with something inside it. */
export function constructed(number: number): number {
  return 0xa0 | number;
}

/** `[n]` in the place of a simple type. */
export function implicit(number: number): number {
  return 0x80 | number;
}

export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length: what is signed or compared. */
  readonly raw: Buffer;
}

/** Lengths of up to 4 bytes: nothing that is read here comes near that. */
const maxLengthBytes = 4;

export class DerReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Of what comes; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#at];
  }

  value(): DerValue {
    const from = this.#at;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) {
      throw new DerError('a tag of several bytes');
    }
    const length = this.#length();
    if (length > this.#bytes.length - this.#at) {
      throw new DerError('a length beyond the end');
    }
    const content = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return { tag, content, raw: this.#bytes.subarray(from, this.#at) };
  }

  take(tag: number, what: string): DerValue {
    if (this.nextTag !== tag) {
      const found = this.nextTag?.toString(16).padStart(2, '0') ?? 'the end';
      throw new DerError(`${what}: ${found} where ${tag.toString(16).padStart(2, '0')} has to be`);
    }
    return this.value();
  }

  optional(tag: number): DerValue | undefined {
    return this.nextTag === tag ? this.value() : undefined;
  }

  inside(tag: number, what: string): DerReader {
    return new DerReader(this.take(tag, what).content);
  }

  sequence(what: string): DerReader {
    return this.inside(derTag.sequence, what);
  }

  end(what: string): void {
    if (!this.isAtEnd) {
      throw new DerError(`${what}: bytes behind the end`);
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) {
      throw new DerError('it breaks off');
    }
    this.#at++;
    return byte;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) {
      return first;
    }
    const count = first & 0x7f;
    if (count === 0 || count > maxLengthBytes) {
      throw new DerError('a length of a form that is not taken');
    }
    let length = 0;
    for (let index = 0; index < count; index++) {
      length = length * 256 + this.#byte();
    }
    if (length < 0x80 || length < 256 ** (count - 1)) {
      throw new DerError('a length that is not in its shortest form');
    }
    return length;
  }
}

/** The one value that `bytes` are. */
export function onlyValue(bytes: Buffer, what: string): DerValue {
  const from = new DerReader(bytes);
  const value = from.value();
  from.end(what);
  return value;
}

/** The magnitude of an INTEGER that is not negative, without leading zeros. */
export function unsignedInteger(content: Buffer, what: string, maxBytes: number): Buffer {
  const [first, second] = content;
  if (first === undefined || first >= 0x80) {
    throw new DerError(`${what}: a number that is empty or negative`);
  }
  if (first === 0 && second !== undefined && second < 0x80) {
    throw new DerError(`${what}: a number that is not in its shortest form`);
  }
  const magnitude = first === 0 ? content.subarray(1) : content;
  if (magnitude.length > maxBytes) {
    throw new DerError(`${what}: a number of ${magnitude.length} bytes`);
  }
  return magnitude;
}

/** Up to 32 bits. */
export function smallInteger(content: Buffer, what: string): number {
  return unsignedInteger(content, what, 4).reduce((value, byte) => value * 256 + byte, 0);
}

export function booleanValue(content: Buffer, what: string): boolean {
  const [value] = content;
  if (content.length !== 1 || (value !== 0 && value !== 0xff)) {
    throw new DerError(`${what}: not a BOOLEAN`);
  }
  return value === 0xff;
}

/** Whole bytes, as keys and signatures are. */
export function wholeBytes(content: Buffer, what: string): Buffer {
  if (content[0] !== 0) {
    throw new DerError(`${what}: not a BIT STRING of whole bytes`);
  }
  return content.subarray(1);
}

/** Named bits (X.690 §11.2.2), the first is the lowest; at most 16. */
export function namedBits(content: Buffer, what: string): number {
  const [unused, ...bytes] = content;
  const isRight =
    unused !== undefined &&
    bytes.length <= 2 &&
    unused < 8 &&
    (bytes.length > 0 || unused === 0) &&
    ((bytes.at(-1) ?? 0) & ((1 << unused) - 1)) === 0;
  if (!isRight) {
    throw new DerError(`${what}: not named bits`);
  }
  let value = 0;
  for (const [index, byte] of bytes.entries()) {
    for (let bit = 0; bit < 8; bit++) {
      value |= ((byte >> (7 - bit)) & 1) << (index * 8 + bit);
    }
  }
  return value;
}

const maxIdentifierBytes = 64;

/** `1.2.840.113549`. */
export function objectIdentifier(content: Buffer): string {
  if (content.length === 0 || content.length > maxIdentifierBytes) {
    throw new DerError('an object identifier that is empty or too long');
  }
  const arcs: number[] = [];
  let arc = 0;
  let isBegun = false;
  for (const byte of content) {
    if (!isBegun && byte === 0x80) {
      throw new DerError('an object identifier that is not in its shortest form');
    }
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc)) {
      throw new DerError('an object identifier with a number that is too large');
    }
    isBegun = byte >= 0x80;
    if (!isBegun) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [first, ...rest] = arcs;
  if (isBegun || first === undefined) {
    throw new DerError('an object identifier that breaks off');
  }
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - top * 40, ...rest].join('.');
}

/** RFC 5280 §4.1.2.5: in UTC, with seconds and without fractions. */
export function timeMs({ tag, content }: DerValue, what: string): number {
  const text = content.toString('latin1');
  const [, head = '', rest = ''] =
    (tag === derTag.utcTime ? /^(\d{2})(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/).exec(text) ?? [];
  if ((tag !== derTag.utcTime && tag !== derTag.generalizedTime) || rest === '') {
    throw new DerError(`${what}: not a time of RFC 5280`);
  }
  const year = tag === derTag.utcTime ? Number(head) + (Number(head) < 50 ? 2000 : 1900) : head;
  const digits = rest.match(/../g) ?? [];
  const [month, day, hour, minute, second] = digits;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const ms = Date.parse(iso);
  // Date takes the 31st of a month of 30 days for the 1st of the next.
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso) {
    throw new DerError(`${what}: no such time`);
  }
  return ms;
}
