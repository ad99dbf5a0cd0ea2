/** Host keys made for a test, and a signer that keeps them, as the monitor does, with a delay. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Exchange, ExchangeSigner } from '../../src/ssh/transport/transport.ts';
import { exchangeHash } from '../../src/ssh/wire/exchange-hash.ts';
import { Writer } from '../../src/ssh/wire/writer.ts';

export type HostKeyType =
  | 'ssh-ed25519'
  | 'ecdsa-sha2-nistp256'
  | 'ecdsa-sha2-nistp384'
  | 'ecdsa-sha2-nistp521'
  | 'ssh-rsa';

export interface TestHostKey {
  readonly type: HostKeyType;
  readonly blob: Buffer;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const curves = {
  'ecdsa-sha2-nistp256': { namedCurve: 'P-256', hash: 'sha256' },
  'ecdsa-sha2-nistp384': { namedCurve: 'P-384', hash: 'sha384' },
  'ecdsa-sha2-nistp521': { namedCurve: 'P-521', hash: 'sha512' },
} as const;

function fromBase64(value: string | undefined): Buffer {
  return Buffer.from(value ?? '', 'base64url');
}

export function makeHostKey(type: HostKeyType): TestHostKey {
  if (type === 'ssh-ed25519') {
    const pair = generateKeyPairSync('ed25519');
    const raw = fromBase64(pair.publicKey.export({ format: 'jwk' }).x);
    return { type, ...pair, blob: new Writer().text(type).string(raw).done() };
  }
  if (type === 'ssh-rsa') {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const jwk = pair.publicKey.export({ format: 'jwk' });
    const blob = new Writer().text(type).mpint(fromBase64(jwk.e)).mpint(fromBase64(jwk.n)).done();
    return { type, ...pair, blob };
  }
  const pair = generateKeyPairSync('ec', { namedCurve: curves[type].namedCurve });
  const jwk = pair.publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.from([4]), fromBase64(jwk.x), fromBase64(jwk.y)]);
  const blob = new Writer().text(type).text(type.slice(-8)).string(point).done();
  return { type, ...pair, blob };
}

export const everyHostKeyType: readonly HostKeyType[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
];

export function signatureBlob(key: TestHostKey, algorithm: string, data: Buffer): Buffer {
  const blob = new Writer().text(algorithm);
  if (key.type === 'ssh-ed25519') {
    return blob.string(sign(null, data, key.privateKey)).done();
  }
  if (key.type === 'ssh-rsa') {
    const hash = algorithm === 'rsa-sha2-512' ? 'sha512' : 'sha256';
    return blob.string(sign(hash, data, key.privateKey)).done();
  }
  const raw = sign(curves[key.type].hash, data, {
    key: key.privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  const half = raw.length / 2;
  const value = new Writer().mpint(raw.subarray(0, half)).mpint(raw.subarray(half)).done();
  return blob.string(value).done();
}

/** Signs what carries its own cookie, and nothing else. */
export class LocalSigner implements ExchangeSigner {
  readonly #keys: readonly TestHostKey[];
  readonly #delayMs: number;
  readonly #cookies: Buffer[] = [];
  readonly exchanges: Exchange[] = [];

  constructor(keys: readonly TestHostKey[], delayMs = 20) {
    this.#keys = keys;
    this.#delayMs = delayMs;
  }

  takeCookie(): Buffer {
    const cookie = randomBytes(16);
    this.#cookies.push(cookie);
    return cookie;
  }

  async sign(exchange: Exchange): Promise<{ signature: Buffer; hash: Buffer }> {
    const cookie = this.#cookies.shift();
    if (!cookie?.equals(exchange.serverKexInit.subarray(1, 17))) {
      throw new Error('the KEXINIT has not the cookie that was given');
    }
    this.exchanges.push(exchange);
    const hash = exchangeHash(exchange.kexAlgorithm, exchange);
    if (this.#delayMs > 0) {
      await delay(this.#delayMs);
    }
    const key = this.#keys.find((candidate) => candidate.blob.equals(exchange.hostKey));
    if (key === undefined) {
      throw new Error('no such host key');
    }
    return { signature: signatureBlob(key, exchange.hostKeyAlgorithm, hash), hash };
  }
}

export function fingerprint(blob: Buffer): string {
  return createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
}
