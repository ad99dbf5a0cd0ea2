/**
 * Public keys in their wire form (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4), their fingerprints,
 * and the check of a signature (RFC 8332 §3). Blobs and signatures come from strangers: the type is
 * looked at before anything is parsed, and sizes before any arithmetic.
 * Runs in: monitor, user (client).
 */
import { createHash, createPublicKey, type KeyObject, verify as verifyData } from 'node:crypto';
import { ProtocolError } from '../src/base/errors.ts';
import { Reader } from '../src/ssh/wire/reader.ts';
import {
  type Curve,
  curveOf,
  isKeyType,
  type KeyType,
  type ShortName,
  shortNameOf,
  signatureAlgorithm,
} from './algorithms.ts';

export interface PublicKey {
  readonly type: KeyType;
  readonly shortName: ShortName;
  readonly bits: number;
  readonly blob: Buffer;
  readonly keyObject: KeyObject;
}

export type ParsedPublicKey =
  | { readonly ok: true; readonly key: PublicKey }
  | { readonly ok: false; readonly reason: string };

/** A blob that is longer is refused unread: a modulus of 16384 bits needs 2.1 kB. */
export const maxBlobBytes = 4096;
/** As OpenSSH and OpenSSL: what is shorter is broken, what is longer only costs time. */
const minModulusBits = 1024;
const maxModulusBits = 16384;
/**
 * The exponent sets how often a modulus is squared: with a modulus of 16384 bits one of 64 bits takes
 * several times 5 ms. Those in use are 3, 17, 35, 37, 41 and 65537; some libraries go up to 32 bits.
 */
const maxExponentBits = 32;
const ed25519KeyBytes = 32;
const ed25519SignatureBytes = 64;
const uncompressedPoint = 4;

class Refusal extends Error {}

function bitLength(magnitude: Buffer): number {
  return magnitude.length === 0
    ? 0
    : (magnitude.length - 1) * 8 + (32 - Math.clz32(magnitude[0] as number));
}

/** RFC 4251 §5 mpint that is not negative; returns the magnitude without leading zeros. */
function unsigned(from: Reader, name: string, maxBits: number): Buffer {
  const bytes = from.string();
  if (bytes.length > Math.ceil(maxBits / 8) + 1) {
    throw new Refusal(`${name} is too long`);
  }
  if (bytes.length > 0 && (bytes[0] as number) >= 0x80) {
    throw new Refusal(`${name} is negative`);
  }
  if (bytes.length > 0 && bytes[0] === 0 && (bytes.length === 1 || (bytes[1] as number) < 0x80)) {
    throw new Refusal(`${name} is not in its shortest form`);
  }
  const magnitude = bytes[0] === 0 ? bytes.subarray(1) : bytes;
  if (bitLength(magnitude) > maxBits) {
    throw new Refusal(`${name} is too long`);
  }
  return magnitude;
}

interface Imported {
  readonly keyObject: KeyObject;
  readonly bits: number;
}

function readRsa(from: Reader): Imported {
  const exponent = unsigned(from, 'the RSA exponent', maxExponentBits);
  const modulus = unsigned(from, 'the RSA modulus', maxModulusBits);
  from.end();
  const bits = bitLength(modulus);
  if (bits < minModulusBits) {
    throw new Refusal(`the RSA modulus has ${bits} bits where ${minModulusBits} are the least`);
  }
  if (((modulus.at(-1) as number) & 1) === 0) {
    throw new Refusal('the RSA modulus is even');
  }
  if (bitLength(exponent) < 2 || ((exponent.at(-1) as number) & 1) === 0) {
    throw new Refusal('the RSA exponent is even or below 3');
  }
  const jwk = { kty: 'RSA', n: modulus.toString('base64url'), e: exponent.toString('base64url') };
  return { keyObject: createPublicKey({ key: jwk, format: 'jwk' }), bits };
}

function readEcdsa(from: Reader, curve: Curve): Imported {
  if (from.string().toString('latin1') !== curve.identifier) {
    throw new Refusal('the curve is not the one that the key type names');
  }
  const point = from.string();
  from.end();
  if (point.length !== 1 + 2 * curve.coordinateBytes || point[0] !== uncompressedPoint) {
    throw new Refusal('the point is not an uncompressed one of its curve');
  }
  const x = point.subarray(1, 1 + curve.coordinateBytes).toString('base64url');
  const y = point.subarray(1 + curve.coordinateBytes).toString('base64url');
  const jwk = { kty: 'EC', crv: curve.jwkName, x, y };
  // OpenSSL checks while importing that the point lies on the curve and is not at infinity.
  return { keyObject: createPublicKey({ key: jwk, format: 'jwk' }), bits: curve.bits };
}

function readEd25519(from: Reader): Imported {
  const bytes = from.string();
  from.end();
  if (bytes.length !== ed25519KeyBytes) {
    throw new Refusal(`an Ed25519 key of ${bytes.length} bytes`);
  }
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') };
  return { keyObject: createPublicKey({ key: jwk, format: 'jwk' }), bits: 256 };
}

function readKey(type: KeyType, from: Reader): Imported {
  if (type === 'ssh-rsa') {
    return readRsa(from);
  }
  const curve = curveOf(type);
  return curve === undefined ? readEd25519(from) : readEcdsa(from, curve);
}

/** The type that a blob claims; undefined when it is not one of ours. Cheap. */
export function claimedKeyType(blob: Buffer): KeyType | undefined {
  if (blob.length < 4 || blob.length > maxBlobBytes) {
    return undefined;
  }
  const nameBytes = blob.readUInt32BE(0);
  if (nameBytes > 64 || nameBytes > blob.length - 4) {
    return undefined;
  }
  const name = blob.toString('latin1', 4, 4 + nameBytes);
  return isKeyType(name) ? name : undefined;
}

/** Never throws for what a stranger sent. */
export function parsePublicKey(blob: Buffer): ParsedPublicKey {
  const type = claimedKeyType(blob);
  if (type === undefined) {
    return { ok: false, reason: 'not a key of a known type' };
  }
  try {
    const from = new Reader(blob);
    from.string();
    const { keyObject, bits } = readKey(type, from);
    return { ok: true, key: { type, shortName: shortNameOf(type), bits, blob, keyObject } };
  } catch (error) {
    if (error instanceof Refusal || error instanceof ProtocolError) {
      return { ok: false, reason: error.message };
    }
    if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_') === true) {
      return { ok: false, reason: 'OpenSSL refuses the key' };
    }
    throw error;
  }
}

/** `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it. Of any bytes: nothing is parsed. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** The `algorithm` and the inner signature of a signature blob; undefined when it is malformed. */
function openSignature(
  blob: Buffer,
): { readonly algorithm: string; readonly bytes: Buffer } | undefined {
  try {
    const from = new Reader(blob);
    const algorithm = from.string().toString('latin1');
    const bytes = from.string();
    from.end();
    return { algorithm, bytes };
  } catch (error) {
    if (error instanceof ProtocolError) {
      return undefined;
    }
    throw error;
  }
}

/** RFC 5656 §3.1.2: r and s as mpints; `node:crypto` wants them side by side at full width. */
function ecdsaSignature(bytes: Buffer, curve: Curve): Buffer | undefined {
  try {
    const from = new Reader(bytes);
    const halves = [unsigned(from, 'r', curve.bits), unsigned(from, 's', curve.bits)];
    from.end();
    return Buffer.concat(
      halves.map((half) =>
        Buffer.concat([Buffer.alloc(curve.coordinateBytes - half.length), half]),
      ),
    );
  } catch (error) {
    if (error instanceof ProtocolError || error instanceof Refusal) {
      return undefined;
    }
    throw error;
  }
}

/** OpenSSH too takes a signature whose leading zeros were cut (old PuTTY), never a longer one. */
function rsaSignature(bytes: Buffer, modulusBytes: number): Buffer | undefined {
  if (bytes.length === 0 || bytes.length > modulusBytes) {
    return undefined;
  }
  return Buffer.concat([Buffer.alloc(modulusBytes - bytes.length), bytes]);
}

function rawSignature(key: PublicKey, bytes: Buffer): Buffer | undefined {
  if (key.type === 'ssh-rsa') {
    return rsaSignature(bytes, Math.ceil(key.bits / 8));
  }
  const curve = curveOf(key.type);
  if (curve !== undefined) {
    return ecdsaSignature(bytes, curve);
  }
  return bytes.length === ed25519SignatureBytes ? bytes : undefined;
}

/**
 * True only when `signatureBlob` names exactly `algorithm`, that algorithm belongs to the key's type
 * and the signature over `data` is right. Anything malformed is false.
 */
export function verify(
  algorithm: string,
  blob: Buffer,
  signatureBlob: Buffer,
  data: Buffer,
): boolean {
  const row = signatureAlgorithm(algorithm);
  if (row === undefined || claimedKeyType(blob) !== row.keyType) {
    return false;
  }
  const signature = openSignature(signatureBlob);
  if (signature === undefined || signature.algorithm !== algorithm) {
    return false;
  }
  const parsed = parsePublicKey(blob);
  if (!parsed.ok) {
    return false;
  }
  const raw = rawSignature(parsed.key, signature.bytes);
  if (raw === undefined) {
    return false;
  }
  const key =
    row.keyType === 'ssh-rsa' || row.keyType === 'ssh-ed25519'
      ? parsed.key.keyObject
      : { key: parsed.key.keyObject, dsaEncoding: 'ieee-p1363' as const };
  return verifyData(row.digest ?? null, data, key, raw);
}

/** `TYPE BASE64 COMMENT` as in a .pub file. */
export function publicLine(blob: Buffer, comment = ''): string {
  const type = claimedKeyType(blob) ?? 'unknown';
  return `${type} ${blob.toString('base64')}${comment === '' ? '' : ` ${comment}`}`;
}
