/**
 * One direction of the record layer (RFC 4253 §6, RFC 4344, RFC 5647, OpenSSH PROTOCOL §1.2 and
 * PROTOCOL.chacha20poly1305) written for tests with node:crypto alone: every cipher and MAC, and the
 * length field says whatever the test likes. Runs in: test.
 */
import {
  type Cipheriv,
  createCipheriv,
  createDecipheriv,
  createHmac,
  type Decipheriv,
} from 'node:crypto';

export interface RecordKeys {
  readonly key: Buffer;
  readonly iv: Buffer;
  readonly macKey: Buffer;
}

export interface RecordSizes {
  readonly keyBytes: number;
  readonly ivBytes: number;
  readonly macKeyBytes: number;
}

/** What a packet is made of on the wire. */
export interface RecordLayer {
  /** Length, padding and payload are a multiple of it, without the length where that stands apart. */
  readonly blockBytes: number;
  readonly isLengthApart: boolean;
  /** Bytes from which the length of a packet can be told. */
  readonly headBytes: number;
  readonly tagBytes: number;
  /** `plain`: length, padding length, payload, padding. */
  seal(sequence: number, plain: Buffer): Buffer;
  lengthOf(sequence: number, head: Buffer): number;
  /** The plain packet; throws when the tag is wrong. */
  open(sequence: number, sealed: Buffer): Buffer;
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

const macs: Readonly<Record<string, { readonly hash: string; readonly bytes: number }>> = {
  'hmac-sha2-256': { hash: 'sha256', bytes: 32 },
  'hmac-sha2-512': { hash: 'sha512', bytes: 64 },
};

export function recordSizes(cipher: string, mac: string): RecordSizes {
  if (cipher.startsWith('chacha20')) {
    return { keyBytes: 64, ivBytes: 0, macKeyBytes: 0 };
  }
  const keyBytes = Number(/\d+/.exec(cipher)?.[0]) / 8;
  return cipher.includes('gcm')
    ? { keyBytes, ivBytes: 12, macKeyBytes: 0 }
    : { keyBytes, ivBytes: 16, macKeyBytes: macOf(mac).bytes };
}

function macOf(name: string): { readonly hash: string; readonly bytes: number } {
  const found = macs[name.replace('-etm@openssh.com', '')];
  if (found === undefined) {
    throw new Error(`no MAC ${name}`);
  }
  return found;
}

export function makeRecordLayer(
  cipher: string,
  mac: string,
  keys: RecordKeys,
  isOutbound: boolean,
): RecordLayer {
  if (cipher.startsWith('chacha20')) {
    return new ChachaLayer(keys.key);
  }
  return cipher.includes('gcm')
    ? new GcmLayer(cipher.replace('@openssh.com', ''), keys)
    : new CounterLayer(cipher, mac, keys, isOutbound);
}

/** In front of the first NEWKEYS. */
export const clearLayer: RecordLayer = {
  blockBytes: 8,
  isLengthApart: false,
  headBytes: 4,
  tagBytes: 0,
  seal: (_sequence, plain) => plain,
  lengthOf: (_sequence, head) => head.readUInt32BE(0),
  open: (_sequence, sealed) => sealed,
};

class CounterLayer implements RecordLayer {
  readonly blockBytes = 16;
  readonly isLengthApart: boolean;
  readonly headBytes: number;
  readonly tagBytes: number;
  readonly #cipher: Cipheriv | Decipheriv;
  readonly #hash: string;
  readonly #macKey: Buffer;
  #head: Buffer | undefined;

  constructor(cipher: string, mac: string, keys: RecordKeys, isOutbound: boolean) {
    this.isLengthApart = mac.includes('-etm@');
    this.headBytes = this.isLengthApart ? 4 : 16;
    this.tagBytes = macOf(mac).bytes;
    this.#hash = macOf(mac).hash;
    this.#macKey = keys.macKey;
    const make = isOutbound ? createCipheriv : createDecipheriv;
    this.#cipher = make(
      cipher.replace(/^(aes\d+)/, (name) => `aes-${name.slice(3)}`),
      keys.key,
      keys.iv,
    );
  }

  #tag(sequence: number, bytes: Buffer): Buffer {
    return createHmac(this.#hash, this.#macKey).update(uint32(sequence)).update(bytes).digest();
  }

  seal(sequence: number, plain: Buffer): Buffer {
    if (!this.isLengthApart) {
      return Buffer.concat([this.#cipher.update(plain), this.#tag(sequence, plain)]);
    }
    const body = this.#cipher.update(plain.subarray(4));
    const sealed = Buffer.concat([plain.subarray(0, 4), body]);
    return Buffer.concat([sealed, this.#tag(sequence, sealed)]);
  }

  lengthOf(_sequence: number, head: Buffer): number {
    if (this.isLengthApart) {
      return head.readUInt32BE(0);
    }
    this.#head ??= this.#cipher.update(head);
    return this.#head.readUInt32BE(0);
  }

  open(sequence: number, sealed: Buffer): Buffer {
    const end = sealed.length - this.tagBytes;
    let plain: Buffer;
    if (this.isLengthApart) {
      const body = this.#cipher.update(sealed.subarray(4, end));
      plain = Buffer.concat([sealed.subarray(0, 4), body]);
    } else {
      const head = this.#head as Buffer;
      this.#head = undefined;
      plain = Buffer.concat([head, this.#cipher.update(sealed.subarray(16, end))]);
    }
    const covered = this.isLengthApart ? sealed.subarray(0, end) : plain;
    assertTag(this.#tag(sequence, covered), sealed.subarray(end));
    return plain;
  }
}

class GcmLayer implements RecordLayer {
  readonly blockBytes = 16;
  readonly isLengthApart = true;
  readonly headBytes = 4;
  readonly tagBytes = 16;
  readonly #name: 'aes-128-gcm';
  readonly #key: Buffer;
  readonly #iv: Buffer;

  constructor(cipher: string, { key, iv }: RecordKeys) {
    this.#name = cipher.replace(/^aes(\d+)/, 'aes-$1') as 'aes-128-gcm';
    this.#key = key;
    this.#iv = Buffer.from(iv);
  }

  /** RFC 5647 §7.1: the last eight bytes count up. */
  #next(): Buffer {
    const iv = Buffer.from(this.#iv);
    this.#iv.writeBigUInt64BE(BigInt.asUintN(64, this.#iv.readBigUInt64BE(4) + 1n), 4);
    return iv;
  }

  seal(_sequence: number, plain: Buffer): Buffer {
    const cipher = createCipheriv(this.#name, this.#key, this.#next());
    cipher.setAAD(plain.subarray(0, 4));
    const body = Buffer.concat([cipher.update(plain.subarray(4)), cipher.final()]);
    return Buffer.concat([plain.subarray(0, 4), body, cipher.getAuthTag()]);
  }

  lengthOf(_sequence: number, head: Buffer): number {
    return head.readUInt32BE(0);
  }

  open(_sequence: number, sealed: Buffer): Buffer {
    const end = sealed.length - this.tagBytes;
    const decipher = createDecipheriv(this.#name, this.#key, this.#next());
    decipher.setAAD(sealed.subarray(0, 4));
    decipher.setAuthTag(sealed.subarray(end));
    const body = [decipher.update(sealed.subarray(4, end)), decipher.final()];
    return Buffer.concat([sealed.subarray(0, 4), ...body]);
  }
}

/** Two keys: the first 32 bytes for the packet, the others for its length. */
class ChachaLayer implements RecordLayer {
  readonly blockBytes = 8;
  readonly isLengthApart = true;
  readonly headBytes = 4;
  readonly tagBytes = 16;
  readonly #packetKey: Buffer;
  readonly #lengthKey: Buffer;

  constructor(key: Buffer) {
    this.#packetKey = key.subarray(0, 32);
    this.#lengthKey = key.subarray(32, 64);
  }

  #stream(key: Buffer, sequence: number, counter: number, bytes: Buffer): Buffer {
    const iv = Buffer.alloc(16);
    iv.writeUInt32LE(counter, 0);
    iv.writeUInt32BE(sequence >>> 0, 12);
    return createCipheriv('chacha20', key, iv).update(bytes);
  }

  #tag(sequence: number, bytes: Buffer): Buffer {
    return poly1305(this.#stream(this.#packetKey, sequence, 0, Buffer.alloc(32)), bytes);
  }

  seal(sequence: number, plain: Buffer): Buffer {
    const sealed = Buffer.concat([
      this.#stream(this.#lengthKey, sequence, 0, plain.subarray(0, 4)),
      this.#stream(this.#packetKey, sequence, 1, plain.subarray(4)),
    ]);
    return Buffer.concat([sealed, this.#tag(sequence, sealed)]);
  }

  lengthOf(sequence: number, head: Buffer): number {
    return this.#stream(this.#lengthKey, sequence, 0, head.subarray(0, 4)).readUInt32BE(0);
  }

  open(sequence: number, sealed: Buffer): Buffer {
    const end = sealed.length - this.tagBytes;
    assertTag(this.#tag(sequence, sealed.subarray(0, end)), sealed.subarray(end));
    return Buffer.concat([
      this.#stream(this.#lengthKey, sequence, 0, sealed.subarray(0, 4)),
      this.#stream(this.#packetKey, sequence, 1, sealed.subarray(4, end)),
    ]);
  }
}

function littleEndian(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex') || '0'}`);
}

/** RFC 8439 §2.5; node:crypto has it only inside the cipher of RFC 8439, which SSH does not use. */
export function poly1305(key: Buffer, message: Buffer): Buffer {
  const prime = 2n ** 130n - 5n;
  const r = littleEndian(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + littleEndian(block) + (1n << BigInt(8 * block.length))) * r) % prime;
  }
  const tag = BigInt.asUintN(128, sum + littleEndian(key.subarray(16, 32)));
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse();
}

function assertTag(expected: Buffer, actual: Buffer): void {
  if (!expected.equals(actual)) {
    throw new Error('wrong MAC from the server');
  }
}
