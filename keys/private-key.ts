/**
 * Private keys from files: OpenSSH's own format (PROTOCOL.key of OpenSSH), PKCS#1, PKCS#8 and SEC1.
 * Keys behind a passphrase are refused by name. What is wrong is said without a byte of the key.
 * Runs in: monitor (host keys), user (client).
 */
import {
  createPrivateKey,
  type JsonWebKey,
  type KeyObject,
  randomBytes,
  sign as signData,
} from 'node:crypto';
import { promisify } from 'node:util';
import { ConfigError, ProtocolError } from '../src/base/errors.ts';
import { Reader } from '../src/ssh/wire/reader.ts';
import { Writer } from '../src/ssh/wire/writer.ts';
import {
  algorithmsOf,
  curveOf,
  curves,
  type KeyType,
  type SignatureAlgorithm,
  signatureAlgorithm,
} from './algorithms.ts';
import { claimedKeyType } from './public-key.ts';
import { verify } from './signature.ts';

export interface PrivateKey {
  readonly type: KeyType;
  readonly publicBlob: Buffer;
  readonly comment: string;
  /** The signature blob: `string algorithm, string signature`. Throws for an algorithm not of its type. */
  sign(algorithm: string, data: Buffer): Buffer;
  /** The same; with RSA, where it takes milliseconds, in another thread. Rejects where that throws. */
  signAside(algorithm: string, data: Buffer): Promise<Buffer>;
}

const signInThread = promisify(
  (
    digest: string | undefined,
    data: Buffer,
    key: KeyObject,
    done: (error: Error | null, signature: Buffer) => void,
  ) => signData(digest ?? null, data, key, done),
);

export const opensshMagic = 'openssh-key-v1\0';
const opensshArmour = 'OPENSSH PRIVATE KEY';
const unencrypted = 'none';
const encryptedText = 'the key is encrypted with a passphrase; remove it with ssh-keygen -p';

function bytesOf(jwk: JsonWebKey, name: 'x' | 'y' | 'n' | 'e'): Buffer {
  return Buffer.from(jwk[name] ?? '', 'base64url');
}

/** The wire form of the public half (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4). */
export function publicBlobOf(key: KeyObject): Buffer {
  const jwk = key.export({ format: 'jwk' });
  if (jwk.kty === 'RSA') {
    return new Writer().text('ssh-rsa').mpint(bytesOf(jwk, 'e')).mpint(bytesOf(jwk, 'n')).done();
  }
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') {
    return new Writer().text('ssh-ed25519').string(bytesOf(jwk, 'x')).done();
  }
  const curve = curves.find((row) => jwk.kty === 'EC' && row.jwkName === jwk.crv);
  if (curve === undefined) {
    throw new ConfigError('the key is not an RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key');
  }
  const point = Buffer.concat([Buffer.from([4]), bytesOf(jwk, 'x'), bytesOf(jwk, 'y')]);
  return new Writer().text(curve.keyType).text(curve.identifier).string(point).done();
}

class LoadedKey implements PrivateKey {
  readonly type: KeyType;
  readonly publicBlob: Buffer;
  readonly comment: string;
  readonly #key: KeyObject;

  constructor(type: KeyType, publicBlob: Buffer, comment: string, key: KeyObject) {
    this.type = type;
    this.publicBlob = publicBlob;
    this.comment = comment;
    this.#key = key;
  }

  #row(algorithm: string): SignatureAlgorithm {
    const row = signatureAlgorithm(algorithm);
    if (row === undefined || row.keyType !== this.type) {
      throw new ProtocolError(`a ${this.type} key cannot sign with the algorithm asked for`);
    }
    return row;
  }

  async signAside(algorithm: string, data: Buffer): Promise<Buffer> {
    const { digest } = this.#row(algorithm);
    if (this.type !== 'ssh-rsa') {
      return this.sign(algorithm, data);
    }
    const signature = await signInThread(digest, data, this.#key);
    return new Writer().text(algorithm).string(signature).done();
  }

  sign(algorithm: string, data: Buffer): Buffer {
    const row = this.#row(algorithm);
    const curve = curveOf(this.type);
    const signature = signData(
      row.digest ?? null,
      data,
      curve === undefined ? this.#key : { key: this.#key, dsaEncoding: 'ieee-p1363' },
    );
    const inner =
      curve === undefined
        ? signature
        : new Writer()
            .mpint(signature.subarray(0, curve.coordinateBytes))
            .mpint(signature.subarray(curve.coordinateBytes))
            .done();
    return new Writer().text(algorithm).string(inner).done();
  }
}

/** A key whose halves do not belong together would sign what no client accepts: found here. */
export function privateKeyOf(key: KeyObject, comment = ''): PrivateKey {
  const publicBlob = publicBlobOf(key);
  const type = claimedKeyType(publicBlob);
  if (type === undefined) {
    throw new ConfigError('the key is too large');
  }
  const loaded = new LoadedKey(type, publicBlob, comment, key);
  const algorithm = algorithmsOf(type)[0] as string;
  const probe = randomBytes(32);
  if (!verify(algorithm, publicBlob, loaded.sign(algorithm, probe), probe)) {
    throw new ConfigError('the key is damaged or of a size that is not accepted');
  }
  return loaded;
}

function toBigInt(bytes: Buffer): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString('hex')}`);
}

function toBase64Url(value: bigint): string {
  const hex = value.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
}

function unsigned(from: Reader): bigint {
  const bytes = from.string();
  if (bytes.length > 2049 || (bytes.length > 0 && (bytes[0] as number) >= 0x80)) {
    throw new ConfigError('the key holds a number that is negative or too long');
  }
  return toBigInt(bytes);
}

function readRsa(from: Reader): JsonWebKey {
  const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => unsigned(from)) as [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  if (p < 3n || q < 3n || p * q !== n) {
    throw new ConfigError('the RSA key is damaged');
  }
  const numbers = { n, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi };
  const encoded = Object.entries(numbers).map(([name, value]) => [name, toBase64Url(value)]);
  return { kty: 'RSA', ...Object.fromEntries(encoded) } as JsonWebKey;
}

function readEcdsa(from: Reader, type: KeyType): JsonWebKey {
  const curve = curveOf(type);
  const identifier = from.string().toString('latin1');
  const point = from.string();
  const scalar = unsigned(from);
  if (curve === undefined || identifier !== curve.identifier) {
    throw new ConfigError('the key names a curve that is not its own');
  }
  if (point.length !== 1 + 2 * curve.coordinateBytes || point[0] !== 4) {
    throw new ConfigError('the ECDSA key is damaged');
  }
  const hex = scalar.toString(16).padStart(2 * curve.coordinateBytes, '0');
  return {
    kty: 'EC',
    crv: curve.jwkName,
    x: point.subarray(1, 1 + curve.coordinateBytes).toString('base64url'),
    y: point.subarray(1 + curve.coordinateBytes).toString('base64url'),
    d: Buffer.from(hex, 'hex').toString('base64url'),
  };
}

function readEd25519(from: Reader): JsonWebKey {
  const publicBytes = from.string();
  const pair = from.string();
  if (publicBytes.length !== 32 || pair.length !== 64 || !pair.subarray(32).equals(publicBytes)) {
    throw new ConfigError('the Ed25519 key is damaged');
  }
  return {
    kty: 'OKP',
    crv: 'Ed25519',
    x: publicBytes.toString('base64url'),
    d: pair.subarray(0, 32).toString('base64url'),
  };
}

function readJwk(from: Reader): JsonWebKey {
  const type = from.string().toString('latin1');
  if (type === 'ssh-rsa') {
    return readRsa(from);
  }
  if (type === 'ssh-ed25519') {
    return readEd25519(from);
  }
  if (type.startsWith('ecdsa-sha2-')) {
    return readEcdsa(from, type as KeyType);
  }
  throw new ConfigError('the key is of a type that is not supported');
}

function readPadding(from: Reader): void {
  const padding = from.rest();
  if (padding.length > 255 || !padding.every((value, index) => value === index + 1)) {
    throw new ConfigError('the padding behind the key is wrong');
  }
}

/** The body between the armour lines. One key per file, as ssh-keygen writes them. */
function readOpenssh(body: Buffer): PrivateKey {
  if (body.toString('latin1', 0, opensshMagic.length) !== opensshMagic) {
    throw new ConfigError('the armour says OpenSSH, the content does not');
  }
  const from = new Reader(body, opensshMagic.length);
  const cipher = from.string().toString('latin1');
  const kdf = from.string().toString('latin1');
  from.string();
  if (cipher !== unencrypted || kdf !== unencrypted) {
    throw new ConfigError(encryptedText);
  }
  if (from.uint32() !== 1) {
    throw new ConfigError('the file does not hold exactly one key');
  }
  const publicBlob = from.string();
  const secret = new Reader(from.string());
  from.end();
  if (secret.uint32() !== secret.uint32()) {
    throw new ConfigError('the check numbers of the key differ');
  }
  const jwk = readJwk(secret);
  const comment = secret.string().toString('utf8');
  readPadding(secret);
  const key = privateKeyOf(createPrivateKey({ key: jwk, format: 'jwk' }), comment);
  if (!key.publicBlob.equals(publicBlob)) {
    throw new ConfigError('the public half in the file belongs to another key');
  }
  return key;
}

function openArmour(text: string): Buffer {
  const found =
    /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END OPENSSH PRIVATE KEY-----/.exec(
      text,
    );
  if (found === null) {
    throw new ConfigError('the armour of the key is damaged');
  }
  const body = Buffer.from(found[1] ?? '', 'base64');
  return body;
}

function readPem(text: string): PrivateKey {
  if (/^(?:-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED)/m.test(text)) {
    throw new ConfigError(encryptedText);
  }
  return privateKeyOf(createPrivateKey({ key: text, format: 'pem' }));
}

/** Throws ConfigError; the caller names the file and erases `bytes`. */
export function loadPrivateKey(bytes: Buffer): PrivateKey {
  const text = bytes.toString('latin1');
  if (!text.includes('-----BEGIN ')) {
    throw new ConfigError('not a private key file (no "-----BEGIN" line)');
  }
  try {
    if (!text.includes(`-----BEGIN ${opensshArmour}-----`)) {
      return readPem(text);
    }
    const body = openArmour(text);
    try {
      return readOpenssh(body);
    } finally {
      body.fill(0);
    }
  } catch (error) {
    if (error instanceof ConfigError) {
      throw error;
    }
    if (error instanceof ProtocolError) {
      throw new ConfigError(`the key is damaged (${error.detail})`);
    }
    const code = (error as NodeJS.ErrnoException).code;
    if (code?.startsWith('ERR_') === true) {
      throw new ConfigError(`the key is damaged or not supported (${code})`);
    }
    throw error;
  }
}
