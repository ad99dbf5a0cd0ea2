/**
 * With what authorities sign certificates and lists of revocations (RFC 5280 §4.1.1.2, RFC 4055,
 * RFC 5758, RFC 8410): SHA-2 and Ed25519, and keys that are long enough. All others are named and
 * refused. Runs in: monitor.
 */
import { constants, type KeyObject, verify } from 'node:crypto';
import { constructed, DerError, DerReader, derTag, objectIdentifier, smallInteger } from './der.ts';

export interface SignatureAlgorithm {
  readonly name: string;
  /** undefined: the algorithm has its own (Ed25519). */
  readonly hash: string | undefined;
  readonly keyType: 'rsa' | 'ec' | 'ed25519';
  /** Of RSASSA-PSS. */
  readonly saltBytes: number | undefined;
}

export type ReadAlgorithm =
  | { readonly ok: true; readonly algorithm: SignatureAlgorithm }
  /** Its name, for the log. */
  | { readonly ok: false; readonly name: string };

const rsa = (hash: string): SignatureAlgorithm => ({
  name: `${hash}WithRSAEncryption`,
  hash,
  keyType: 'rsa',
  saltBytes: undefined,
});
const ecdsa = (hash: string): SignatureAlgorithm => ({
  name: `ecdsa-with-${hash.toUpperCase()}`,
  hash,
  keyType: 'ec',
  saltBytes: undefined,
});

const taken: Readonly<Record<string, SignatureAlgorithm>> = {
  '1.2.840.113549.1.1.11': rsa('sha256'),
  '1.2.840.113549.1.1.12': rsa('sha384'),
  '1.2.840.113549.1.1.13': rsa('sha512'),
  '1.2.840.10045.4.3.2': ecdsa('sha256'),
  '1.2.840.10045.4.3.3': ecdsa('sha384'),
  '1.2.840.10045.4.3.4': ecdsa('sha512'),
  '1.3.101.112': { name: 'Ed25519', hash: undefined, keyType: 'ed25519', saltBytes: undefined },
};
const pss = '1.2.840.113549.1.1.10';
const maskGeneration = '1.2.840.113549.1.1.8';
const hashes: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
/** Names for those that people still have. */
const weak: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.2': 'md2WithRSAEncryption',
  '1.2.840.113549.1.1.4': 'md5WithRSAEncryption',
  '1.2.840.113549.1.1.5': 'sha1WithRSAEncryption',
  '1.3.14.3.2.29': 'sha1WithRSAEncryption',
  '1.2.840.10045.4.1': 'ecdsa-with-SHA1',
  '1.2.840.10040.4.3': 'dsa-with-SHA1',
};

const minRsaBits = 2048;
const curves: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1'];
const maxSaltBytes = 64;

function hashOf(from: DerReader, what: string): string | undefined {
  const inner = from.sequence(what);
  return hashes[objectIdentifier(inner.take(derTag.objectIdentifier, what).content)];
}

/** RFC 4055 §3.1; the defaults mean SHA-1. */
function readPss(from: DerReader): ReadAlgorithm {
  const refused = { ok: false, name: 'RSASSA-PSS with other than SHA-2' } as const;
  if (from.nextTag !== derTag.sequence) {
    return refused;
  }
  const fields = from.sequence('parameters of RSASSA-PSS');
  const digest = fields.optional(constructed(0));
  const mask = fields.optional(constructed(1));
  const salt = fields.optional(constructed(2));
  if (digest === undefined || mask === undefined || salt === undefined || !fields.isAtEnd) {
    return refused;
  }
  const hash = hashOf(new DerReader(digest.content), 'the hash of RSASSA-PSS');
  const generation = new DerReader(mask.content).sequence('the mask of RSASSA-PSS');
  const maskType = objectIdentifier(generation.take(derTag.objectIdentifier, 'the mask').content);
  const maskHash = hashOf(generation, 'the mask of RSASSA-PSS');
  const number = new DerReader(salt.content).take(derTag.integer, 'the salt of RSASSA-PSS');
  const saltBytes = smallInteger(number.content, 'the salt of RSASSA-PSS');
  return hash === undefined ||
    maskType !== maskGeneration ||
    maskHash !== hash ||
    saltBytes > maxSaltBytes
    ? refused
    : { ok: true, algorithm: { name: `RSASSA-PSS with ${hash}`, hash, keyType: 'rsa', saltBytes } };
}

/** `content`: of an AlgorithmIdentifier. */
export function readAlgorithm(content: Buffer): ReadAlgorithm {
  const from = new DerReader(content);
  const type = objectIdentifier(from.take(derTag.objectIdentifier, 'an algorithm').content);
  if (type === pss) {
    return readPss(from);
  }
  const algorithm = taken[type];
  if (algorithm === undefined) {
    return { ok: false, name: weak[type] ?? type };
  }
  // RSA has NULL there, the others nothing.
  const parameters = from.isAtEnd ? undefined : from.value();
  if (!from.isAtEnd || (parameters !== undefined && parameters.raw.toString('hex') !== '0500')) {
    throw new DerError('an algorithm with parameters that it does not have');
  }
  return { ok: true, algorithm };
}

/** Why an authority's key is not one to trust; undefined: it is. */
export function weaknessOf(key: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent = 0n, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      if (modulusLength < minRsaBits) {
        return `an RSA key of ${modulusLength} bits where ${minRsaBits} are the least`;
      }
      // With 1 everybody can sign.
      return publicExponent < 3n || publicExponent % 2n === 0n
        ? `an RSA key whose exponent is ${publicExponent}`
        : undefined;
    case 'ec':
      return curves.includes(namedCurve) ? undefined : `the curve ${namedCurve ?? 'of its own'}`;
    case 'ed25519':
      return undefined;
    default:
      return `a key of type ${key.asymmetricKeyType}`;
  }
}

export function isSignedBy(
  key: KeyObject,
  algorithm: SignatureAlgorithm,
  data: Buffer,
  signature: Buffer,
): boolean {
  const { hash, keyType, saltBytes } = algorithm;
  const { asymmetricKeyType } = key;
  const isFor =
    asymmetricKeyType === 'rsa-pss' ? saltBytes !== undefined : asymmetricKeyType === keyType;
  if (!isFor) {
    return false;
  }
  const padding =
    saltBytes === undefined
      ? {}
      : { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: saltBytes };
  try {
    return verify(hash ?? null, data, { key, ...padding }, signature);
  } catch {
    // OpenSSL's word for a signature that cannot be one of this key.
    return false;
  }
}
