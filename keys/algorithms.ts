/**
 * Key types and signature algorithms of users and hosts (RFC 4253 §6.6, RFC 5656, RFC 8332,
 * RFC 8709). ssh-dss and SHA-1 signatures have no row, so nothing can ask for them.
 * Runs in: monitor, worker, user (client).
 */
export const keyTypeNames = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
] as const;
export type KeyType = (typeof keyTypeNames)[number];

/** As OpenSSH's log lines name a key. */
export type ShortName = 'ED25519' | 'ECDSA' | 'RSA';

export interface SignatureAlgorithm {
  readonly name: string;
  readonly keyType: KeyType;
  readonly shortName: ShortName;
  /** For `node:crypto`; Ed25519 hashes by itself. */
  readonly digest: 'sha256' | 'sha384' | 'sha512' | undefined;
}

/** In order of preference. */
export const signatureAlgorithms: readonly SignatureAlgorithm[] = [
  { name: 'ssh-ed25519', keyType: 'ssh-ed25519', shortName: 'ED25519', digest: undefined },
  {
    name: 'ecdsa-sha2-nistp256',
    keyType: 'ecdsa-sha2-nistp256',
    shortName: 'ECDSA',
    digest: 'sha256',
  },
  {
    name: 'ecdsa-sha2-nistp384',
    keyType: 'ecdsa-sha2-nistp384',
    shortName: 'ECDSA',
    digest: 'sha384',
  },
  {
    name: 'ecdsa-sha2-nistp521',
    keyType: 'ecdsa-sha2-nistp521',
    shortName: 'ECDSA',
    digest: 'sha512',
  },
  { name: 'rsa-sha2-512', keyType: 'ssh-rsa', shortName: 'RSA', digest: 'sha512' },
  { name: 'rsa-sha2-256', keyType: 'ssh-rsa', shortName: 'RSA', digest: 'sha256' },
];

/** What `server-sig-algs` (RFC 8308) and USERAUTH_REQUEST may name. */
export const userKeyAlgorithms: readonly string[] = signatureAlgorithms.map((row) => row.name);

export interface Curve {
  readonly keyType: KeyType;
  /** RFC 5656 §6.1 */
  readonly identifier: string;
  readonly jwkName: string;
  readonly opensslName: string;
  readonly coordinateBytes: number;
  readonly bits: number;
}

export const curves: readonly Curve[] = [
  {
    keyType: 'ecdsa-sha2-nistp256',
    identifier: 'nistp256',
    jwkName: 'P-256',
    opensslName: 'prime256v1',
    coordinateBytes: 32,
    bits: 256,
  },
  {
    keyType: 'ecdsa-sha2-nistp384',
    identifier: 'nistp384',
    jwkName: 'P-384',
    opensslName: 'secp384r1',
    coordinateBytes: 48,
    bits: 384,
  },
  {
    keyType: 'ecdsa-sha2-nistp521',
    identifier: 'nistp521',
    jwkName: 'P-521',
    opensslName: 'secp521r1',
    coordinateBytes: 66,
    bits: 521,
  },
];

export function isKeyType(name: string): name is KeyType {
  return (keyTypeNames as readonly string[]).includes(name);
}

export function signatureAlgorithm(name: string): SignatureAlgorithm | undefined {
  return signatureAlgorithms.find((row) => row.name === name);
}

/** What a USERAUTH_REQUEST may name (RFC 4252 §7); certificates and FIDO keys have no row yet. */
export function userKeyAlgorithm(name: string): SignatureAlgorithm | undefined {
  return userKeyAlgorithms.includes(name) ? signatureAlgorithm(name) : undefined;
}

/** The algorithms that a key of this type can sign with, the preferred one first. */
export function algorithmsOf(keyType: KeyType): readonly string[] {
  return signatureAlgorithms.filter((row) => row.keyType === keyType).map((row) => row.name);
}

export function curveOf(keyType: KeyType): Curve | undefined {
  return curves.find((row) => row.keyType === keyType);
}

export function shortNameOf(keyType: KeyType): ShortName {
  if (keyType === 'ssh-ed25519') {
    return 'ED25519';
  }
  return keyType === 'ssh-rsa' ? 'RSA' : 'ECDSA';
}
