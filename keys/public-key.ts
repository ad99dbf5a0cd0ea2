/**
 * Public keys in their wire form (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, OpenSSH's
 * PROTOCOL.u2f) and their fingerprints. Blobs come from strangers: the type is looked at before
 * anything is parsed, and sizes before any arithmetic. Runs in: monitor, user (client).
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { ProtocolError } from '../src/base/errors.ts';
import { Reader } from '../src/ssh/wire/reader.ts';
import {
  type Curve,
  curveOf,
  isFido,
  isKeyType,
  type KeyType,
  type ShortName,
  shortNameOf,
} from './algorithms.ts';

export interface PublicKey {
  readonly type: KeyType;
  readonly shortName: ShortName;
  readonly bits: number;
  readonly blob: Buffer;
  readonly keyObject: KeyObject;
  /** Of a FIDO key: what the authenticator signs for, such as `ssh:`. */
  readonly application: Buffer | undefined;
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
/** RFC 1035 §2.3.4 bounds a name; the application of a FIDO key is `ssh:` or an origin. */
const maxApplicationBytes = 1024;
const ed25519KeyBytes = 32;
const uncompressedPoint = 4;

export class Refusal extends Error {}

export function bitLength(magnitude: Buffer): number {
  return magnitude.length === 0
    ? 0
    : (magnitude.length - 1) * 8 + (32 - Math.clz32(magnitude[0] as number));
}

/** RFC 4251 §5 mpint that is not negative; returns the magnitude without leading zeros. */
export function unsigned(from: Reader, name: string, maxBits: number): Buffer {
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
  if (bytes.length !== ed25519KeyBytes) {
    throw new Refusal(`an Ed25519 key of ${bytes.length} bytes`);
  }
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') };
  return { keyObject: createPublicKey({ key: jwk, format: 'jwk' }), bits: 256 };
}

function readImported(type: KeyType, from: Reader): Imported {
  if (type === 'ssh-rsa') {
    return readRsa(from);
  }
  const curve = curveOf(type);
  return curve === undefined ? readEd25519(from) : readEcdsa(from, curve);
}

function readApplication(from: Reader): Buffer {
  const application = from.string();
  if (application.length > maxApplicationBytes || application.includes(0)) {
    throw new Refusal('the application of the FIDO key is not a short text');
  }
  return application;
}

/**
 * The fields of a key behind its type; what follows them stays unread (a certificate goes on).
 * Throws Refusal, ProtocolError, and what OpenSSL throws: `asRefusal` sorts them.
 */
export function readKeyFields(type: KeyType, from: Reader): Omit<PublicKey, 'blob'> {
  const { keyObject, bits } = readImported(type, from);
  const application = isFido(type) ? readApplication(from) : undefined;
  return { type, shortName: shortNameOf(type), bits, keyObject, application };
}

/** The reason when a stranger's bytes are to blame; anything else is thrown on. */
export function asRefusal(error: unknown): string {
  if (error instanceof Refusal || error instanceof ProtocolError) {
    return error.message;
  }
  if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_') === true) {
    return 'OpenSSL refuses the key';
  }
  throw error;
}

/** The name in front of a blob, of whatever it is; undefined when there is none. Cheap. */
export function claimedName(blob: Buffer): string | undefined {
  if (blob.length < 4) {
    return undefined;
  }
  const nameBytes = blob.readUInt32BE(0);
  return nameBytes > 64 || nameBytes > blob.length - 4
    ? undefined
    : blob.toString('latin1', 4, 4 + nameBytes);
}

/** The type that a blob claims; undefined when it is not one of ours. Cheap. */
export function claimedKeyType(blob: Buffer): KeyType | undefined {
  const name = blob.length > maxBlobBytes ? undefined : claimedName(blob);
  return name !== undefined && isKeyType(name) ? name : undefined;
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
    const fields = readKeyFields(type, from);
    from.end();
    return { ok: true, key: { ...fields, blob } };
  } catch (error) {
    return { ok: false, reason: asRefusal(error) };
  }
}

/** As sshd_config(5) FingerprintHash prints them. */
export type FingerprintHash = 'MD5' | 'SHA1' | 'SHA256' | 'SHA384' | 'SHA512';

/**
 * `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it; of MD5 pairs of digits with colons
 * (RFC 4716 §4). Of any bytes: nothing is parsed.
 */
export function fingerprint(blob: Buffer, hash: FingerprintHash = 'SHA256'): string {
  const digest = createHash(hash.toLowerCase()).update(blob).digest();
  const text =
    hash === 'MD5'
      ? digest.toString('hex').replace(/..(?=.)/g, '$&:')
      : digest.toString('base64').replace(/=+$/, '');
  return `${hash}:${text}`;
}

/** `TYPE BASE64 COMMENT` as in a .pub file. */
export function publicLine(blob: Buffer, comment = ''): string {
  const type = claimedKeyType(blob) ?? 'unknown';
  return `${type} ${blob.toString('base64')}${comment === '' ? '' : ` ${comment}`}`;
}
