/**
 * Makes keys and writes them as ssh-keygen does: OpenSSH's private format without a passphrase, and
 * the public line. Runs in: user (set-up and client), tests.
 */
import { generateKeyPairSync, type JsonWebKey, type KeyObject, randomBytes } from 'node:crypto';
import { Writer } from '../src/ssh/wire/writer.ts';
import { curveOf, type KeyType } from './algorithms.ts';
import { opensshMagic, type PrivateKey, privateKeyOf } from './private-key.ts';
import { fingerprint, publicLine } from './public-key.ts';

export type KeySpec =
  | { readonly type: 'ed25519' }
  | { readonly type: 'ecdsa'; readonly bits: 256 | 384 | 521 }
  | { readonly type: 'rsa'; readonly bits: number };

export interface GeneratedKey {
  readonly key: PrivateKey;
  /** The content of the private file (mode 0600 is the caller's duty). */
  readonly privateFile: Buffer;
  /** The content of the .pub file, with its line end. */
  readonly publicFile: string;
  readonly fingerprint: string;
}

const blockBytes = 8;
const armourColumns = 70;

function generate(spec: KeySpec): KeyObject {
  if (spec.type === 'ed25519') {
    return generateKeyPairSync('ed25519').privateKey;
  }
  if (spec.type === 'rsa') {
    return generateKeyPairSync('rsa', { modulusLength: spec.bits }).privateKey;
  }
  return generateKeyPairSync('ec', { namedCurve: `P-${spec.bits}` }).privateKey;
}

function field(jwk: JsonWebKey, name: keyof JsonWebKey): Buffer {
  return Buffer.from(String(jwk[name] ?? ''), 'base64url');
}

/** Type and numbers in the order of OpenSSH's private format. */
function privateFields(type: KeyType, jwk: JsonWebKey): Buffer {
  const to = new Writer().text(type);
  if (type === 'ssh-rsa') {
    for (const name of ['n', 'e', 'd', 'qi', 'p', 'q'] as const) {
      to.mpint(field(jwk, name));
    }
    return to.done();
  }
  const curve = curveOf(type);
  if (curve === undefined) {
    const publicBytes = field(jwk, 'x');
    return to
      .string(publicBytes)
      .string(Buffer.concat([field(jwk, 'd'), publicBytes]))
      .done();
  }
  const point = Buffer.concat([Buffer.from([4]), field(jwk, 'x'), field(jwk, 'y')]);
  return to.text(curve.identifier).string(point).mpint(field(jwk, 'd')).done();
}

function armour(body: Buffer): Buffer {
  const lines = body.toString('base64').match(new RegExp(`.{1,${armourColumns}}`, 'g')) ?? [];
  const label = 'OPENSSH PRIVATE KEY';
  return Buffer.from(
    [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n'),
  );
}

function opensshFile(key: PrivateKey, keyObject: KeyObject, comment: string): Buffer {
  const jwk = keyObject.export({ format: 'jwk' });
  const check = randomBytes(4);
  const secret = new Writer()
    .raw(check)
    .raw(check)
    .raw(privateFields(key.type, jwk))
    .text(comment)
    .done();
  const paddingBytes = (blockBytes - (secret.length % blockBytes)) % blockBytes;
  const padding = Buffer.from(Array.from({ length: paddingBytes }, (_, index) => index + 1));
  const body = new Writer()
    .raw(Buffer.from(opensshMagic, 'latin1'))
    .text('none')
    .text('none')
    .text('')
    .uint32(1)
    .string(key.publicBlob)
    .string(Buffer.concat([secret, padding]))
    .done();
  return armour(body);
}

export function generateKey(spec: KeySpec, comment = ''): GeneratedKey {
  const keyObject = generate(spec);
  const key = privateKeyOf(keyObject, comment);
  return {
    key,
    privateFile: opensshFile(key, keyObject, comment),
    publicFile: `${publicLine(key.publicBlob, comment)}\n`,
    fingerprint: fingerprint(key.publicBlob),
  };
}
