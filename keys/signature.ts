/**
 * The check of a signature (RFC 4253 §6.6, RFC 5656 §3.1.2, RFC 8332 §3, RFC 8709 §6; FIDO:
 * OpenSSH's PROTOCOL.u2f). Signatures come from strangers: anything malformed is no signature.
 * Runs in: monitor, user (client).
 */
import { createHash, verify as verifyData } from 'node:crypto';
import { ProtocolError } from '../src/base/errors.ts';
import { Reader } from '../src/ssh/wire/reader.ts';
import { Writer } from '../src/ssh/wire/writer.ts';
import { type Curve, curveOf, type SignatureAlgorithm, signatureAlgorithm } from './algorithms.ts';
import { parsePublicKey, type PublicKey, Refusal, unsigned } from './public-key.ts';

/** What the authenticator says of the signature it made. Covered by the signature. */
export interface FidoDetails {
  readonly flags: number;
  readonly counter: number;
}

/** WebAuthn §6.1: flags of the authenticator data. */
export const fidoFlags = { userPresent: 0x01, userVerified: 0x04 } as const;
const attestedData = 0x40;
const extensionData = 0x80;

export type Verified = { readonly fido: FidoDetails | undefined } | undefined;

const ed25519SignatureBytes = 64;
/** A browser's client data and origin; RSA signatures take 2 kB. */
const maxSignatureBytes = 16 * 1024;

/** The first string of a signature blob: its algorithm; undefined when there is none. */
export function claimedAlgorithm(signatureBlob: Buffer): string | undefined {
  try {
    return new Reader(signatureBlob).string().toString('latin1');
  } catch (error) {
    return asMalformed(error);
  }
}

function asMalformed(error: unknown): undefined {
  if (error instanceof ProtocolError || error instanceof Refusal) {
    return undefined;
  }
  throw error;
}

/** RFC 5656 §3.1.2: r and s as mpints; `node:crypto` wants them side by side at full width. */
function ecdsaSignature(bytes: Buffer, curve: Curve): Buffer {
  const from = new Reader(bytes);
  const halves = [unsigned(from, 'r', curve.bits), unsigned(from, 's', curve.bits)];
  from.end();
  return Buffer.concat(
    halves.map((half) => Buffer.concat([Buffer.alloc(curve.coordinateBytes - half.length), half])),
  );
}

/** OpenSSH too takes a signature whose leading zeros were cut (old PuTTY), never a longer one. */
function rsaSignature(bytes: Buffer, modulusBytes: number): Buffer {
  if (bytes.length === 0 || bytes.length > modulusBytes) {
    throw new Refusal('an RSA signature of another length than its modulus');
  }
  return Buffer.concat([Buffer.alloc(modulusBytes - bytes.length), bytes]);
}

function rawSignature(key: PublicKey, bytes: Buffer): Buffer {
  if (key.type === 'ssh-rsa') {
    return rsaSignature(bytes, Math.ceil(key.bits / 8));
  }
  const curve = curveOf(key.type);
  if (curve !== undefined) {
    return ecdsaSignature(bytes, curve);
  }
  if (bytes.length !== ed25519SignatureBytes) {
    throw new Refusal(`an Ed25519 signature of ${bytes.length} bytes`);
  }
  return bytes;
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

interface Opened {
  readonly bytes: Buffer;
  /** What was signed in place of the data. */
  readonly signed: Buffer;
  readonly fido: FidoDetails | undefined;
}

function fidoSigned(
  application: Buffer,
  { flags, counter }: FidoDetails,
  extensions: Buffer,
  messageHash: Buffer,
): Buffer {
  return new Writer()
    .raw(sha256(application))
    .byte(flags)
    .uint32(counter)
    .raw(extensions)
    .raw(messageHash)
    .done();
}

function readDetails(from: Reader): FidoDetails {
  return { flags: from.byte(), counter: from.uint32() };
}

function readFido(from: Reader, application: Buffer, data: Buffer): Opened {
  const bytes = from.string();
  const fido = readDetails(from);
  return { bytes, fido, signed: fidoSigned(application, fido, Buffer.alloc(0), sha256(data)) };
}

/**
 * The client data is a browser's JSON: it has to begin with exactly this type, the data as its
 * challenge and the origin that stands beside it; what comes behind says nothing of what was signed.
 */
function readWebauthn(from: Reader, application: Buffer, data: Buffer): Opened {
  const bytes = from.string();
  const fido = readDetails(from);
  const origin = from.string();
  const clientData = from.string();
  const extensions = from.string();
  const hasExtensions = (fido.flags & extensionData) !== 0;
  if (origin.includes('"') || origin.includes(0) || (fido.flags & attestedData) !== 0) {
    throw new Refusal('a webauthn signature with an origin or flags that it cannot have');
  }
  if (hasExtensions !== extensions.length > 0) {
    throw new Refusal('a webauthn signature whose flags do not tell its extensions');
  }
  const wanted = Buffer.concat([
    Buffer.from(`{"type":"webauthn.get","challenge":"${data.toString('base64url')}","origin":"`),
    origin,
    Buffer.from('"'),
  ]);
  if (!clientData.subarray(0, wanted.length).equals(wanted)) {
    throw new Refusal('a webauthn signature for another challenge or origin');
  }
  return { bytes, fido, signed: fidoSigned(application, fido, extensions, sha256(clientData)) };
}

function open(row: SignatureAlgorithm, key: PublicKey, from: Reader, data: Buffer): Opened {
  if (row.form === 'plain') {
    return { bytes: from.string(), signed: data, fido: undefined };
  }
  if (key.application === undefined) {
    throw new Refusal('a FIDO signature for a key without an application');
  }
  return row.form === 'fido'
    ? readFido(from, key.application, data)
    : readWebauthn(from, key.application, data);
}

/**
 * Undefined unless `signatureBlob` names exactly `algorithm`, that algorithm belongs to the key's
 * type and the signature over `data` is right. What a FIDO key's flags have to say is the caller's
 * to ask: without it nobody may have been at the authenticator.
 */
export function verifySignature(
  algorithm: string,
  key: PublicKey,
  signatureBlob: Buffer,
  data: Buffer,
): Verified {
  const row = signatureAlgorithm(algorithm);
  if (row === undefined || row.keyType !== key.type || signatureBlob.length > maxSignatureBytes) {
    return undefined;
  }
  try {
    const from = new Reader(signatureBlob);
    if (from.string().toString('latin1') !== algorithm) {
      return undefined;
    }
    const { bytes, signed, fido } = open(row, key, from, data);
    from.end();
    const raw = rawSignature(key, bytes);
    const by =
      curveOf(key.type) === undefined
        ? key.keyObject
        : { key: key.keyObject, dsaEncoding: 'ieee-p1363' as const };
    return verifyData(row.digest ?? null, signed, by, raw) ? { fido } : undefined;
  } catch (error) {
    return asMalformed(error);
  }
}

/** Of a key that is no FIDO one: those are never true here, for this asks nothing of their flags. */
export function verify(
  algorithm: string,
  blob: Buffer,
  signatureBlob: Buffer,
  data: Buffer,
): boolean {
  const parsed = parsePublicKey(blob);
  if (!parsed.ok) {
    return false;
  }
  const verified = verifySignature(algorithm, parsed.key, signatureBlob, data);
  return verified !== undefined && verified.fido === undefined;
}
