/**
 * The keys of a token as SSH has them: out of its public-key objects, and out of its certificates
 * where a public key has no object of its own. Values are a stranger's: what is no key is left out.
 * Pure. Runs in: user (client), monitor (host keys).
 */
import { X509Certificate } from 'node:crypto';
import { Writer } from '../../src/ssh/wire/writer.ts';
import { ConfigError } from '../../src/base/errors.ts';
import { curveOf, curves, type Curve, type KeyType } from '../algorithms.ts';
import { publicBlobOf } from '../private-key.ts';
import { asRefusal, parsePublicKey } from '../public-key.ts';
import type { CardObject } from './card-module.ts';
import { keyType, objectClass } from './cryptoki.ts';

export interface CardCertificate {
  readonly label: string;
  /** RFC 4514, on one line. */
  readonly subject: string;
  readonly issuer: string;
  readonly notAfter: Date;
  readonly isAuthority: boolean;
}

export interface CardKey {
  /** CKA_ID: what the halves of a key and its certificate have in common. */
  readonly id: Buffer;
  readonly label: string;
  /** CKK_ number. */
  readonly keyType: number;
  readonly type: KeyType;
  readonly bits: number;
  readonly blob: Buffer;
  readonly certificate: CardCertificate | undefined;
}

/** RFC 5480 §2.1.1.1: the parameters of a key on a named curve. */
const curveParameters: ReadonlyMap<string, string> = new Map([
  ['06082a8648ce3d030107', 'prime256v1'],
  ['06052b81040022', 'secp384r1'],
  ['06052b81040023', 'secp521r1'],
]);
const ed25519Bytes = 32;
const derOctetString = 0x04;
const derBitString = 0x03;
const maxSubjectChars = 512;

interface Certified {
  readonly object: CardObject;
  readonly blob: Buffer;
  readonly certificate: CardCertificate;
}

/** In the order of their ids: a card gives them in any. */
export function cardKeys(objects: readonly CardObject[]): CardKey[] {
  const certified = objects
    .filter((object) => object.class === objectClass.certificate)
    .flatMap((object) => readCertificate(object) ?? []);
  const keys: CardKey[] = [];
  const add = (
    object: CardObject,
    blob: Buffer,
    certificate: CardCertificate | undefined,
  ): void => {
    const parsed = parsePublicKey(blob);
    if (!parsed.ok || keys.some((key) => key.blob.equals(blob))) return;
    const { type, bits } = parsed.key;
    const { id, label } = object;
    keys.push({ id, label, keyType: keyTypeOf(type), type, bits, blob, certificate });
  };
  for (const object of objects) {
    const blob = object.class === objectClass.publicKey ? publicBlob(object) : undefined;
    if (blob !== undefined) {
      add(object, blob, certified.find((one) => one.blob.equals(blob))?.certificate);
    }
  }
  for (const { object, blob, certificate } of certified) add(object, blob, certificate);
  return keys.toSorted((one, other) => Buffer.compare(one.id, other.id));
}

/**
 * Undefined: nothing is known of private keys, for the token hides them without its PIN. Otherwise
 * whether there is one to this public half.
 */
export function hasPrivateHalf(objects: readonly CardObject[], key: CardKey): boolean | undefined {
  const halves = objects.filter((object) => object.class === objectClass.privateKey);
  return halves.length === 0 ? undefined : halves.some(({ id }) => id.equals(key.id));
}

function keyTypeOf(type: KeyType): number {
  if (type === 'ssh-rsa') return keyType.rsa;
  return curveOf(type) === undefined ? keyType.edwards : keyType.ec;
}

/** The blob of a public-key object; undefined: of no kind that SSH has here, or broken. */
export function publicBlob(object: CardObject): Buffer | undefined {
  if (object.keyType === keyType.rsa) {
    const { modulus, publicExponent } = object;
    if (modulus.length === 0 || publicExponent.length === 0) return undefined;
    return new Writer().text('ssh-rsa').mpint(publicExponent).mpint(modulus).done();
  }
  if (object.keyType === keyType.ec) return curvePoint(object);
  if (object.keyType === keyType.edwards) return edwardsPoint(object.ecPoint);
  return undefined;
}

function curvePoint({ ecParams, ecPoint }: CardObject): Buffer | undefined {
  const name = curveParameters.get(ecParams.toString('hex'));
  const curve: Curve | undefined = curves.find((row) => row.opensslName === name);
  if (curve === undefined) return undefined;
  const point = pointOf(ecPoint, 1 + 2 * curve.coordinateBytes);
  return point && new Writer().text(curve.keyType).text(curve.identifier).string(point).done();
}

/** Of CKK_EC_EDWARDS other curves have longer points: 57 bytes for Ed448. */
function edwardsPoint(bytes: Buffer): Buffer | undefined {
  const point = pointOf(bytes, ed25519Bytes);
  return point && new Writer().text('ssh-ed25519').string(point).done();
}

/**
 * CKA_EC_POINT is an OCTET STRING in DER; modules give it bare too, and some as a BIT STRING. Which
 * one is told by the length, for a bare point begins with the tag of an OCTET STRING.
 */
function pointOf(bytes: Buffer, wanted: number): Buffer | undefined {
  if (bytes.length === wanted) return bytes;
  const inner = derContent(bytes);
  if (inner === undefined) return undefined;
  const point = bytes[0] === derBitString && inner[0] === 0 ? inner.subarray(1) : inner;
  return point.length === wanted ? point : undefined;
}

/** What is in the one OCTET STRING or BIT STRING that `bytes` is. */
function derContent(bytes: Buffer): Buffer | undefined {
  const [tag, first = 0] = bytes;
  if (tag !== derOctetString && tag !== derBitString) return undefined;
  const header = first === 0x81 ? 3 : 2;
  const length = first === 0x81 ? bytes[2] : first < 0x80 ? first : undefined;
  return length !== undefined && bytes.length === header + length
    ? bytes.subarray(header)
    : undefined;
}

function readCertificate(object: CardObject): Certified | undefined {
  try {
    const x509 = new X509Certificate(object.certificate);
    const certificate = {
      label: object.label,
      subject: oneLine(x509.subject),
      issuer: oneLine(x509.issuer),
      notAfter: x509.validToDate,
      isAuthority: x509.ca,
    };
    return { object, blob: publicBlobOf(x509.publicKey), certificate };
  } catch (error) {
    // Not X.509, or of a key that SSH has no type for: a card may hold such.
    if (!(error instanceof ConfigError)) asRefusal(error);
    return undefined;
  }
}

/** OpenSSL gives the most significant part first, a line each. */
function oneLine(name: string | undefined): string {
  return (name ?? '')
    .split('\n')
    .reverse()
    .map((part) => part.replace(/,/g, '\\,'))
    .join(',')
    .slice(0, maxSubjectChars);
}
