/** Keys out of the objects of a token, in the forms in which modules give them. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { cardKeys, hasPrivateHalf } from '../../../../keys/pkcs11/card-keys.ts';
import type { CardObject } from '../../../../keys/pkcs11/card-module.ts';
import { publicBlobOf } from '../../../../keys/private-key.ts';

const none = Buffer.alloc(0);
const blank: CardObject = {
  class: 2,
  id: Buffer.of(1),
  label: 'one',
  keyType: 0,
  modulus: none,
  publicExponent: none,
  ecParams: none,
  ecPoint: none,
  certificate: none,
};
const bytes = (text: string | undefined) => Buffer.from(text ?? '', 'base64url');
const octets = (content: Buffer) =>
  content.length < 128
    ? Buffer.concat([Buffer.of(4, content.length), content])
    : Buffer.concat([Buffer.of(4, 0x81, content.length), content]);

const curves = [
  ['P-256', '06082a8648ce3d030107'],
  ['P-384', '06052b81040022'],
  ['P-521', '06052b81040023'],
] as const;

for (const [namedCurve, parameters] of curves) {
  test(`${namedCurve}: the point in DER, and bare`, () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve });
    const jwk = publicKey.export({ format: 'jwk' });
    const point = Buffer.concat([Buffer.of(4), bytes(jwk.x), bytes(jwk.y)]);
    for (const ecPoint of [octets(point), point]) {
      const [key] = cardKeys([
        { ...blank, keyType: 3, ecParams: Buffer.from(parameters, 'hex'), ecPoint },
      ]);
      assert.deepEqual(key?.blob, publicBlobOf(publicKey));
    }
  });
}

test('Ed25519: in DER, bare, as a BIT STRING', () => {
  const { publicKey } = generateKeyPairSync('ed25519');
  const point = bytes(publicKey.export({ format: 'jwk' }).x);
  const bits = Buffer.concat([Buffer.of(3, 33, 0), point]);
  for (const ecPoint of [octets(point), point, bits]) {
    const [key] = cardKeys([{ ...blank, keyType: 0x40, ecPoint }]);
    assert.deepEqual(key?.blob, publicBlobOf(publicKey));
  }
});

test('RSA, and a modulus with a zero in front', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = publicKey.export({ format: 'jwk' });
  for (const zeros of [none, Buffer.of(0)]) {
    const modulus = Buffer.concat([zeros, bytes(jwk.n)]);
    const [key] = cardKeys([{ ...blank, modulus, publicExponent: bytes(jwk.e) }]);
    assert.deepEqual(key?.blob, publicBlobOf(publicKey));
    assert.equal(key?.bits, 2048);
  }
});

test('what is no key is left out: odd points, curves, kinds, certificates', () => {
  const p256 = Buffer.from('06082a8648ce3d030107', 'hex');
  const wrong: readonly Partial<CardObject>[] = [
    {},
    { modulus: Buffer.of(3), publicExponent: Buffer.of(3) },
    { keyType: 3 },
    { keyType: 3, ecParams: p256 },
    { keyType: 3, ecParams: p256, ecPoint: Buffer.alloc(65, 4) },
    { keyType: 3, ecParams: p256, ecPoint: Buffer.concat([Buffer.of(4, 0x82), Buffer.alloc(65)]) },
    { keyType: 3, ecParams: Buffer.from('06052b8104000a', 'hex'), ecPoint: Buffer.alloc(65, 4) },
    { keyType: 0x40, ecPoint: Buffer.alloc(57) },
    { keyType: 0x13 },
    { class: 1, certificate: Buffer.from('no certificate') },
    { class: 1 },
    { class: 3 },
    { class: 9 },
  ];
  for (const one of wrong) assert.deepEqual(cardKeys([{ ...blank, ...one }]), []);
});

test('in the order of their ids, each once', () => {
  const object = (id: number): CardObject => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const ecPoint = bytes(publicKey.export({ format: 'jwk' }).x);
    return { ...blank, keyType: 0x40, id: Buffer.of(id), ecPoint };
  };
  const [two, one] = [object(2), object(1)];
  const ids = cardKeys([two, one, two]).map(({ id }) => id.toString('hex'));
  assert.deepEqual(ids, ['01', '02']);
});

test('whether a private half is there is known where the token shows any', () => {
  const { publicKey } = generateKeyPairSync('ed25519');
  const ecPoint = bytes(publicKey.export({ format: 'jwk' }).x);
  const object: CardObject = { ...blank, keyType: 0x40, ecPoint };
  const [key] = cardKeys([object]);
  assert.ok(key);
  assert.equal(hasPrivateHalf([object], key), undefined);
  assert.equal(hasPrivateHalf([object, { ...blank, class: 3 }], key), true);
  assert.equal(hasPrivateHalf([object, { ...blank, class: 3, id: Buffer.of(7) }], key), false);
});
