/**
 * Key revocation lists of ssh-keygen -k (OpenSSH's PROTOCOL.krl). The file is root's, and what is
 * not understood in it may be a revocation: anything unknown or malformed refuses the whole list.
 * Runs in: monitor.
 */
import { createHash } from 'node:crypto';
import { ProtocolError } from '../src/base/errors.ts';
import { Reader } from '../src/ssh/wire/reader.ts';
import type { Certificate } from './certificate.ts';
import { claimedKeyType, parsePublicKey, type PublicKey } from './public-key.ts';
import { claimedAlgorithm, verifySignature } from './signature.ts';

/** Why a list cannot be used. */
export class KrlError extends Error {}

const magic = Buffer.from('SSHKRL\n\0', 'latin1');
const formatVersion = 1;
const section = {
  certificates: 1,
  explicitKey: 2,
  sha1: 3,
  signature: 4,
  sha256: 5,
  extension: 255,
} as const;
const certificateSection = {
  serialList: 0x20,
  serialRange: 0x21,
  serialBitmap: 0x22,
  keyId: 0x23,
  extension: 0x39,
} as const;
const sha1Bytes = 20;
const sha256Bytes = 32;
const maxSerial = (1n << 64n) - 1n;
/** OpenSSH writes bitmaps of 256 kB at most. */
const maxBitmapBytes = 8 * 1024 * 1024;

interface SerialRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** Bit 0 is the lowest bit of the last byte. */
interface SerialBitmap {
  readonly offset: bigint;
  readonly bits: Buffer;
}

/** What one authority has revoked; of every authority when its key is empty. */
interface RevokedCertificates {
  /** Each sorted. */
  readonly lists: BigUint64Array[];
  readonly ranges: SerialRange[];
  readonly bitmaps: SerialBitmap[];
  /** As latin1. */
  readonly keyIds: Set<string>;
}

export function isKrl(content: Buffer): boolean {
  return content.subarray(0, magic.length).equals(magic);
}

function readSerialList(from: Reader): BigUint64Array {
  if (from.left % 8 !== 0) {
    throw new KrlError('a serial number list of an odd length');
  }
  const serials = new BigUint64Array(from.left / 8);
  for (let at = 0; at < serials.length; at++) {
    serials[at] = from.uint64();
  }
  if (serials.includes(0n)) {
    throw new KrlError('serial number 0');
  }
  return serials.sort();
}

function readRange(from: Reader): SerialRange {
  const first = from.uint64();
  const last = from.uint64();
  if (first === 0n || first > last) {
    throw new KrlError('a range of serial numbers that is none');
  }
  return { first, last };
}

function readBitmap(from: Reader): SerialBitmap {
  const offset = from.uint64();
  const bits = from.string();
  if (bits.length > maxBitmapBytes) {
    throw new KrlError('a bitmap that is too large');
  }
  if (bits.length > 0 && (bits[0] as number) >= 0x80) {
    throw new KrlError('a bitmap that is a negative number');
  }
  if (offset + BigInt(bits.length) * 8n > maxSerial) {
    throw new KrlError('a bitmap beyond the last serial number');
  }
  if (offset === 0n && ((bits.at(-1) ?? 0) & 1) === 1) {
    throw new KrlError('serial number 0');
  }
  return { offset, bits };
}

/** An extension that has to be understood, and is not, refuses the list. */
function readExtension(from: Reader): void {
  const name = from.string().toString('latin1', 0, 64);
  const isCritical = from.bool();
  from.string();
  if (isCritical) {
    throw new KrlError(`critical extension "${name}"`);
  }
}

function readCertificates(from: Reader, revoked: RevokedCertificates): void {
  while (from.left > 0) {
    const kind = from.byte();
    const data = new Reader(from.string());
    switch (kind) {
      case certificateSection.serialList:
        revoked.lists.push(readSerialList(data));
        break;
      case certificateSection.serialRange:
        revoked.ranges.push(readRange(data));
        break;
      case certificateSection.serialBitmap:
        revoked.bitmaps.push(readBitmap(data));
        break;
      case certificateSection.keyId:
        while (data.left > 0) {
          revoked.keyIds.add(data.string().toString('latin1'));
        }
        break;
      case certificateSection.extension:
        readExtension(data);
        break;
      default:
        throw new KrlError(`certificate section ${kind} is not known`);
    }
    data.end();
  }
}

function readHashes(from: Reader, bytes: number, into: Set<string>): void {
  while (from.left > 0) {
    const hash = from.string();
    if (hash.length !== bytes) {
      throw new KrlError(`a fingerprint of ${hash.length} bytes`);
    }
    into.add(hash.toString('latin1'));
  }
}

function hasBit({ offset, bits }: SerialBitmap, serial: bigint): boolean {
  if (serial < offset || serial >= offset + BigInt(bits.length) * 8n) {
    return false;
  }
  const bit = Number(serial - offset);
  return ((bits[bits.length - 1 - Math.floor(bit / 8)] as number) & (1 << (bit % 8))) !== 0;
}

function hasSerial(sorted: BigUint64Array, serial: bigint): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as bigint) < serial) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return sorted[low] === serial;
}

function revokesCertificate(revoked: RevokedCertificates, certificate: Certificate): boolean {
  const { serial, keyId } = certificate;
  if (revoked.keyIds.has(Buffer.from(keyId, 'utf8').toString('latin1'))) {
    return true;
  }
  // 0 is the number of authorities that do not count, so it names no certificate.
  return (
    serial !== 0n &&
    (revoked.ranges.some(({ first, last }) => first <= serial && serial <= last) ||
      revoked.bitmaps.some((bitmap) => hasBit(bitmap, serial)) ||
      revoked.lists.some((list) => hasSerial(list, serial)))
  );
}

/** Immutable once it is parsed. */
export class Krl {
  readonly #keys = new Set<string>();
  readonly #sha1 = new Set<string>();
  readonly #sha256 = new Set<string>();
  /** By the authority's blob as latin1; empty: every authority. */
  readonly #certificates = new Map<string, RevokedCertificates>();

  /** Throws KrlError. `content` stays referenced. */
  constructor(content: Buffer) {
    try {
      this.#read(content);
    } catch (error) {
      if (error instanceof ProtocolError) {
        throw new KrlError(error.message, { cause: error });
      }
      throw error;
    }
  }

  #read(content: Buffer): void {
    if (!isKrl(content)) {
      throw new KrlError('not a revocation list');
    }
    const from = new Reader(content, magic.length);
    if (from.uint32() !== formatVersion) {
      throw new KrlError('a format version that is not known');
    }
    from.uint64(); // the list's own version
    from.uint64(); // when it was made
    from.uint64(); // flags: none is defined
    from.string(); // reserved
    from.string(); // comment
    let isSigned = false;
    while (from.left > 0) {
      const kind = from.byte();
      if (isSigned && kind !== section.signature) {
        throw new KrlError('a section behind the signature');
      }
      const data = from.string();
      if (kind === section.signature) {
        isSigned = true;
        checkSignature(content.subarray(0, content.length - from.left), data, from.string());
      } else {
        this.#readSection(kind, new Reader(data));
      }
    }
  }

  #readSection(kind: number, data: Reader): void {
    switch (kind) {
      case section.certificates:
        readCertificates(data, this.#certificatesOf(data));
        break;
      case section.explicitKey:
        while (data.left > 0) {
          this.#keys.add(data.string().toString('latin1'));
        }
        break;
      case section.sha1:
        readHashes(data, sha1Bytes, this.#sha1);
        break;
      case section.sha256:
        readHashes(data, sha256Bytes, this.#sha256);
        break;
      case section.extension:
        readExtension(data);
        break;
      default:
        throw new KrlError(`section ${kind} is not known`);
    }
    data.end();
  }

  #certificatesOf(data: Reader): RevokedCertificates {
    const authority = data.string();
    data.string(); // reserved
    if (claimedKeyType(authority) !== undefined && !parsePublicKey(authority).ok) {
      throw new KrlError('a malformed key of an authority');
    }
    const name = authority.toString('latin1');
    const known = this.#certificates.get(name);
    if (known !== undefined) {
      return known;
    }
    const fresh = { lists: [], ranges: [], bitmaps: [], keyIds: new Set<string>() };
    this.#certificates.set(name, fresh);
    return fresh;
  }

  /** The plain key, by itself or by its fingerprint. */
  revokesKey({ blob }: PublicKey): boolean {
    const hash = (name: string) => createHash(name).update(blob).digest().toString('latin1');
    return (
      this.#keys.has(blob.toString('latin1')) ||
      this.#sha256.has(hash('sha256')) ||
      (this.#sha1.size > 0 && this.#sha1.has(hash('sha1')))
    );
  }

  /** The certificate itself; its key and its authority are asked by `revokesKey`. */
  revokesCertificate(certificate: Certificate): boolean {
    const authorities = [certificate.authority.blob.toString('latin1'), ''];
    return authorities.some((name) => {
      const revoked = this.#certificates.get(name);
      return revoked !== undefined && revokesCertificate(revoked, certificate);
    });
  }
}

/**
 * A list may be signed, up to and with the signing key; whose that is says nothing, but a wrong
 * signature is a damaged list.
 */
function checkSignature(signed: Buffer, keyBlob: Buffer, signature: Buffer): void {
  const parsed = parsePublicKey(keyBlob);
  const algorithm = claimedAlgorithm(signature);
  if (
    !parsed.ok ||
    algorithm === undefined ||
    verifySignature(algorithm, parsed.key, signature, signed) === undefined
  ) {
    throw new KrlError('a signature of the list is wrong');
  }
}
