import assert from 'node:assert/strict';
import {
  createHash,
  createPublicKey,
  decapsulate,
  diffieHellman,
  generateKeyPairSync,
} from 'node:crypto';
import { test } from 'node:test';
import { KexError } from '../../../../../src/base/errors.ts';
import { initiate, respond } from '../../../../../src/ssh/transport/mlkem768x25519-sha256.ts';

const mlkem = generateKeyPairSync('ml-kem-768');
const curve = generateKeyPairSync('x25519');
const clientValue = Buffer.concat([
  mlkem.publicKey.export({ format: 'der', type: 'spki' }).subarray(-1184),
  curve.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32),
]);

test('a client with the private keys finds the same secret', () => {
  for (let round = 0; round < 20; round++) {
    const { serverValue, sharedSecret } = respond(clientValue);
    assert.equal(serverValue.length, 1088 + 32);
    const publicKey = createPublicKey({
      key: { kty: 'OKP', crv: 'X25519', x: serverValue.subarray(1088).toString('base64url') },
      format: 'jwk',
    });
    const expected = createHash('sha256')
      .update(decapsulate(mlkem.privateKey, serverValue.subarray(0, 1088)))
      .update(diffieHellman({ privateKey: curve.privateKey, publicKey }))
      .digest();
    assert.deepEqual(sharedSecret, expected);
  }
});

test('two answers differ', () => {
  assert.notDeepEqual(respond(clientValue).serverValue, respond(clientValue).serverValue);
});

test('a wrong length, coefficients out of range and a point of low order are KexErrors', () => {
  const outOfRange = Buffer.from(clientValue);
  outOfRange.fill(255, 0, 1184);
  const lowOrder = Buffer.from(clientValue);
  lowOrder.fill(0, 1184);
  const bad = [
    Buffer.alloc(0),
    clientValue.subarray(1),
    Buffer.concat([clientValue, Buffer.of(0)]),
  ];
  for (const value of [...bad, outOfRange, lowOrder]) {
    assert.throws(() => respond(value), KexError);
  }
});

test('both halves of ours find the same secret; no two offers are alike', () => {
  const offer = initiate();
  const { serverValue, sharedSecret } = respond(offer.clientValue);
  assert.deepEqual(offer.finish(serverValue), sharedSecret);
  assert.notDeepEqual(initiate().finish(serverValue), sharedSecret);
  assert.notDeepEqual(initiate().clientValue, offer.clientValue);
});

test('of a server too: a wrong length and a point of low order are KexErrors', () => {
  const offer = initiate();
  const { serverValue } = respond(offer.clientValue);
  const lowOrder = Buffer.from(serverValue);
  lowOrder.fill(0, 1088);
  for (const value of [Buffer.alloc(0), serverValue.subarray(1), lowOrder]) {
    assert.throws(() => offer.finish(value), KexError);
  }
});
