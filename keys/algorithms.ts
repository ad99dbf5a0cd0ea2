/**
 * Key types and signature algorithms of users and hosts (RFC 4253 §6.6, RFC 5656, RFC 8332,
 * RFC 8709; OpenSSH's PROTOCOL.u2f and PROTOCOL.certkeys). ssh-dss and SHA-1 signatures have no row,
 * so nothing can ask for them. Runs in: monitor, worker, user (client).
 */
export const keyTypeNames = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
] as const;
export type KeyType = (typeof keyTypeNames)[number];

/** As OpenSSH's log lines name a key. */
export type ShortName = 'ED25519' | 'ECDSA' | 'RSA' | 'ED25519-SK' | 'ECDSA-SK';

/**
 * What the bytes of a signature are: `plain` over the data itself; `fido` over what an authenticator
 * signs in its place, with flags and a counter; `webauthn` the same out of a browser.
 */
export type SignatureForm = 'plain' | 'fido' | 'webauthn';

export interface SignatureAlgorithm {
  readonly name: string;
  readonly keyType: KeyType;
  readonly shortName: ShortName;
  /** For `node:crypto`; Ed25519 hashes by itself. */
  readonly digest: 'sha256' | 'sha384' | 'sha512' | undefined;
  readonly form: SignatureForm;
}

/** In order of preference. */
export const signatureAlgorithms: readonly SignatureAlgorithm[] = [
  {
    name: 'ssh-ed25519',
    keyType: 'ssh-ed25519',
    shortName: 'ED25519',
    digest: undefined,
    form: 'plain',
  },
  {
    name: 'ecdsa-sha2-nistp256',
    keyType: 'ecdsa-sha2-nistp256',
    shortName: 'ECDSA',
    digest: 'sha256',
    form: 'plain',
  },
  {
    name: 'ecdsa-sha2-nistp384',
    keyType: 'ecdsa-sha2-nistp384',
    shortName: 'ECDSA',
    digest: 'sha384',
    form: 'plain',
  },
  {
    name: 'ecdsa-sha2-nistp521',
    keyType: 'ecdsa-sha2-nistp521',
    shortName: 'ECDSA',
    digest: 'sha512',
    form: 'plain',
  },
  { name: 'rsa-sha2-512', keyType: 'ssh-rsa', shortName: 'RSA', digest: 'sha512', form: 'plain' },
  { name: 'rsa-sha2-256', keyType: 'ssh-rsa', shortName: 'RSA', digest: 'sha256', form: 'plain' },
  {
    name: 'sk-ssh-ed25519@openssh.com',
    keyType: 'sk-ssh-ed25519@openssh.com',
    shortName: 'ED25519-SK',
    digest: undefined,
    form: 'fido',
  },
  {
    name: 'sk-ecdsa-sha2-nistp256@openssh.com',
    keyType: 'sk-ecdsa-sha2-nistp256@openssh.com',
    shortName: 'ECDSA-SK',
    digest: 'sha256',
    form: 'fido',
  },
  {
    name: 'webauthn-sk-ecdsa-sha2-nistp256@openssh.com',
    keyType: 'sk-ecdsa-sha2-nistp256@openssh.com',
    shortName: 'ECDSA-SK',
    digest: 'sha256',
    form: 'webauthn',
  },
];

/** What `server-sig-algs` (RFC 8308) names. */
export const userKeyAlgorithms: readonly string[] = signatureAlgorithms.map((row) => row.name);

/** A certificate names its key type; with RSA the algorithm that is asked for says the digest. */
export interface CertificateAlgorithm {
  readonly name: string;
  /** The name in front of the certificate itself. */
  readonly certificateType: string;
  readonly signature: SignatureAlgorithm;
}

const certificateSuffix = '-cert-v01@openssh.com';

function certificateName(plain: string): string {
  return `${plain.replace(/@openssh\.com$/, '')}${certificateSuffix}`;
}

/** A webauthn signature is not one that a certificate's key is asked for by name. */
export const certificateAlgorithms: readonly CertificateAlgorithm[] = signatureAlgorithms
  .filter((row) => row.form !== 'webauthn')
  .map((signature) => ({
    name: certificateName(signature.name),
    certificateType: certificateName(signature.keyType),
    signature,
  }));

/** The type of the key within a certificate of this type; undefined when it is no such type. */
export function certifiedKeyType(certificateType: string): KeyType | undefined {
  return certificateAlgorithms.find((row) => row.certificateType === certificateType)?.signature
    .keyType;
}

/** What a USERAUTH_REQUEST may name (RFC 4252 §7). */
export interface UserKeyAlgorithm {
  readonly name: string;
  readonly signature: SignatureAlgorithm;
  /** undefined: a plain key. */
  readonly certificateType: string | undefined;
}

/** Undefined for names that nothing here can verify, ssh-dss and ssh-rsa among them. */
export function userKeyAlgorithm(name: string): UserKeyAlgorithm | undefined {
  const certified = certificateAlgorithms.find((row) => row.name === name);
  if (certified !== undefined) {
    return { name, signature: certified.signature, certificateType: certified.certificateType };
  }
  const signature = signatureAlgorithm(name);
  return signature === undefined ? undefined : { name, signature, certificateType: undefined };
}

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

/** The algorithms that a key of this type can sign with, the preferred one first. */
export function algorithmsOf(keyType: KeyType): readonly string[] {
  return signatureAlgorithms.filter((row) => row.keyType === keyType).map((row) => row.name);
}

/** The curve behind a key type, a FIDO one too. */
export function curveOf(keyType: KeyType): Curve | undefined {
  const plain = keyType === 'sk-ecdsa-sha2-nistp256@openssh.com' ? 'ecdsa-sha2-nistp256' : keyType;
  return curves.find((row) => row.keyType === plain);
}

/** Held by a FIDO authenticator: its blob ends with an application. */
export function isFido(keyType: KeyType): boolean {
  return keyType.startsWith('sk-');
}

export function shortNameOf(keyType: KeyType): ShortName {
  const row = signatureAlgorithms.find((each) => each.keyType === keyType);
  if (row === undefined) {
    throw new Error(`no signature algorithm for ${keyType}`);
  }
  return row.shortName;
}
