/**
 * OpenSSH certificates (PROTOCOL.certkeys), of users and of hosts. What comes out of here has a
 * right signature by the authority that it names: whether that authority is trusted is the caller's
 * to ask. Certificates come from strangers: sizes before arithmetic, structure before signatures.
 * Runs in: monitor.
 */
import { Reader } from '../src/ssh/wire/reader.ts';
import { certifiedKeyType, type KeyType } from './algorithms.ts';
import {
  asRefusal,
  claimedName,
  parsePublicKey,
  type PublicKey,
  readKeyFields,
  Refusal,
} from './public-key.ts';
import { claimedAlgorithm, verifySignature } from './signature.ts';

/** Critical options and extensions alike. */
export interface CertificateOption {
  readonly name: string;
  readonly data: Buffer;
}

export interface Certificate {
  /** As in front of the blob, such as `ssh-ed25519-cert-v01@openssh.com`. */
  readonly certificateType: string;
  readonly blob: Buffer;
  /** The key that is certified, in its plain form. */
  readonly key: PublicKey;
  readonly serial: bigint;
  readonly subject: 'user' | 'host';
  readonly keyId: string;
  readonly principals: readonly string[];
  /** Seconds since 1970; valid from the first on, up to but not in the second. */
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly criticalOptions: readonly CertificateOption[];
  readonly extensions: readonly CertificateOption[];
  readonly authority: PublicKey;
  readonly signatureAlgorithm: string;
}

/** `level`: as sshd logs the reason. */
export type ParsedCertificate =
  | { readonly ok: true; readonly certificate: Certificate }
  | { readonly ok: false; readonly reason: string; readonly level: 'ERROR' | 'INFO' };

/** A packet holds no more. */
export const maxCertificateBytes = 32 * 1024;
/** As OpenSSH. */
export const maxCertificatePrincipals = 256;
const maxCertificateOptions = 256;
const subjects: Readonly<Record<number, 'user' | 'host'>> = { 1: 'user', 2: 'host' };

/** Whether a blob claims to be a certificate of a type that we know. Cheap. */
export function isCertificate(blob: Buffer): boolean {
  const name = claimedName(blob);
  return name !== undefined && certifiedKeyType(name) !== undefined;
}

/** A text of C: a NUL inside would make two readers see two names. */
function cText(from: Reader, what: string): string {
  const bytes = from.string();
  if (bytes.includes(0)) {
    throw new Refusal(`${what} holds a NUL`);
  }
  return bytes.toString('utf8');
}

function readPrincipals(bytes: Buffer): readonly string[] {
  const from = new Reader(bytes);
  const principals: string[] = [];
  while (from.left > 0) {
    if (principals.length >= maxCertificatePrincipals) {
      throw new Refusal('too many principals');
    }
    const raw = from.string();
    const text = raw.toString('utf8');
    if (raw.includes(0) || !Buffer.from(text).equals(raw)) {
      throw new Refusal('a principal that is no name');
    }
    principals.push(text);
  }
  return principals;
}

function readOptions(bytes: Buffer): readonly CertificateOption[] {
  const from = new Reader(bytes);
  const options: CertificateOption[] = [];
  while (from.left > 0) {
    if (options.length >= maxCertificateOptions) {
      throw new Refusal('too many options');
    }
    options.push({ name: cText(from, 'the name of an option'), data: from.string() });
  }
  return options;
}

/** A certificate is no authority, nor is a key that nobody can check. */
function readAuthority(blob: Buffer): PublicKey {
  if (isCertificate(blob)) {
    throw new Refusal('the authority is itself a certificate');
  }
  const parsed = parsePublicKey(blob);
  if (!parsed.ok) {
    throw new Refusal(`the authority: ${parsed.reason}`);
  }
  return parsed.key;
}

function plainBlob(type: KeyType, fields: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(type.length);
  return Buffer.concat([header, Buffer.from(type, 'latin1'), fields]);
}

interface KeyWithin {
  readonly certificateType: string;
  readonly key: PublicKey;
}

/** `from` stands at the start of the certificate, and behind the key afterwards. */
function readKeyWithin(blob: Buffer, from: Reader): KeyWithin {
  const certificateType = claimedName(blob) ?? '';
  const type = certifiedKeyType(certificateType);
  if (type === undefined || blob.length > maxCertificateBytes) {
    throw new Refusal('not a certificate of a known type');
  }
  from.string();
  from.string(); // the nonce, which keeps an authority from signing what a stranger chose
  const begin = blob.length - from.left;
  const fields = readKeyFields(type, from);
  const plain = plainBlob(type, blob.subarray(begin, blob.length - from.left));
  return { certificateType, key: { ...fields, blob: plain } };
}

/** The key within a certificate of anybody's; undefined when there is none. */
export function plainKeyBlob(blob: Buffer): Buffer | undefined {
  try {
    return readKeyWithin(blob, new Reader(blob)).key.blob;
  } catch (error) {
    asRefusal(error);
    return undefined;
  }
}

interface Structure {
  readonly certificate: Certificate;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

function readStructure(blob: Buffer): Structure {
  const from = new Reader(blob);
  const { certificateType, key } = readKeyWithin(blob, from);
  const serial = from.uint64();
  const subject = subjects[from.uint32()];
  if (subject === undefined) {
    throw new Refusal('neither a certificate of a user nor of a host');
  }
  const keyId = cText(from, 'the key id');
  const principals = readPrincipals(from.string());
  const validAfter = from.uint64();
  const validBefore = from.uint64();
  const criticalOptions = readOptions(from.string());
  const extensions = readOptions(from.string());
  from.string(); // reserved
  const authorityBlob = from.string();
  const signed = blob.subarray(0, blob.length - from.left);
  const signature = from.string();
  from.end();
  const signatureAlgorithm = claimedAlgorithm(signature);
  if (signatureAlgorithm === undefined) {
    throw new Refusal('the signature is malformed');
  }
  const certificate: Certificate = {
    certificateType,
    blob,
    key,
    serial,
    subject,
    keyId,
    principals,
    validAfter,
    validBefore,
    criticalOptions,
    extensions,
    authority: readAuthority(authorityBlob),
    signatureAlgorithm,
  };
  return { certificate, signed, signature };
}

/**
 * `authorityAlgorithms`: CASignatureAlgorithms. Never throws for what a stranger sent. A FIDO
 * authority counts without its flags, as in OpenSSH: it signed when the certificate was made.
 */
export function parseCertificate(
  blob: Buffer,
  authorityAlgorithms: readonly string[],
): ParsedCertificate {
  try {
    const { certificate, signed, signature } = readStructure(blob);
    const { signatureAlgorithm, authority } = certificate;
    if (!authorityAlgorithms.includes(signatureAlgorithm)) {
      return {
        ok: false,
        level: 'INFO',
        reason: `certificate signature algorithm ${signatureAlgorithm.slice(0, 64)}: signature algorithm not supported`,
      };
    }
    return verifySignature(signatureAlgorithm, authority, signature, signed) === undefined
      ? { ok: false, level: 'ERROR', reason: 'parse key: incorrect signature' }
      : { ok: true, certificate };
  } catch (error) {
    return { ok: false, level: 'ERROR', reason: `parse key: ${asRefusal(error)}` };
  }
}

/**
 * Why a certificate of the right authority opens nothing now; in sshd's words. `principal`: a name
 * that must be listed; undefined where the caller has compared the principals with a list. A
 * certificate without principals is for nobody.
 */
export function certificateObjection(
  certificate: Certificate,
  subject: 'user' | 'host',
  nowMs: number,
  principal: string | undefined,
): string | undefined {
  const now = BigInt(Math.floor(nowMs / 1000));
  if (certificate.subject !== subject) {
    return `Certificate invalid: not a ${subject} certificate`;
  }
  if (now < certificate.validAfter) {
    return 'Certificate invalid: not yet valid';
  }
  if (now >= certificate.validBefore) {
    return 'Certificate invalid: expired';
  }
  if (certificate.principals.length === 0) {
    return 'Certificate lacks principal list';
  }
  return principal === undefined || (principal !== '' && certificate.principals.includes(principal))
    ? undefined
    : 'Certificate invalid: name is not a listed principal';
}
