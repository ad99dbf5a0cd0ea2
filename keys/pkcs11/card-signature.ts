/**
 * What a token is given to sign and what becomes of its answer: mechanisms of PKCS#11 for the
 * algorithms of SSH (RFC 8332, RFC 5656 §3.1.2, RFC 8709), and the wire form of the signature. Pure.
 * Runs in: user (client), monitor (host keys).
 */
import { createHash } from 'node:crypto';
import { Writer } from '../../src/ssh/wire/writer.ts';
import { curveOf, signatureAlgorithm } from '../algorithms.ts';
import { mechanism } from './cryptoki.ts';

export interface Signing {
  readonly mechanism: number;
  readonly data: Buffer;
}

/** RFC 8017 §9.2, note 1: DigestInfo up to the digest. */
const digestInfo = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
} as const;

const hashing: Readonly<Record<string, number>> = {
  'rsa-sha2-256': mechanism.sha256RsaPkcs,
  'rsa-sha2-512': mechanism.sha512RsaPkcs,
  'ecdsa-sha2-nistp256': mechanism.ecdsaSha256,
  'ecdsa-sha2-nistp384': mechanism.ecdsaSha384,
  'ecdsa-sha2-nistp521': mechanism.ecdsaSha512,
};

/**
 * Hashed here where the token has the mechanism for that: every card has it, and less goes over its
 * slow line. Undefined: the token cannot sign with this algorithm.
 */
export function signingOf(
  algorithm: string,
  data: Buffer,
  mechanisms: readonly number[],
): Signing | undefined {
  const row = signatureAlgorithm(algorithm);
  if (row === undefined || row.form !== 'plain') return undefined;
  const bare = bareSigning(row.keyType, row.digest, data);
  // A token that does not tell its mechanisms is asked for the usual one.
  if (bare && (mechanisms.length === 0 || mechanisms.includes(bare.mechanism))) return bare;
  const whole = hashing[algorithm];
  return whole !== undefined && mechanisms.includes(whole) ? { mechanism: whole, data } : undefined;
}

function bareSigning(
  keyType: string,
  digest: 'sha256' | 'sha384' | 'sha512' | undefined,
  data: Buffer,
): Signing | undefined {
  if (digest === undefined) return { mechanism: mechanism.eddsa, data };
  const hash = createHash(digest).update(data).digest();
  if (keyType !== 'ssh-rsa') return { mechanism: mechanism.ecdsa, data: hash };
  if (digest === 'sha384') return undefined;
  return { mechanism: mechanism.rsaPkcs, data: Buffer.concat([digestInfo[digest], hash]) };
}

/** `string algorithm · string signature`; whether it is right is the caller's to check. */
export function signatureBlob(algorithm: string, raw: Buffer): Buffer {
  const keyType = signatureAlgorithm(algorithm)?.keyType;
  const curve = keyType && curveOf(keyType);
  const half = raw.length / 2;
  // PKCS#11 §2.3.1: r and s side by side, of equal length.
  const inner = curve
    ? new Writer().mpint(raw.subarray(0, half)).mpint(raw.subarray(half)).done()
    : raw;
  return new Writer().text(algorithm).string(inner).done();
}
