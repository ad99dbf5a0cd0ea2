/** What a token is asked to sign, and its answer as SSH has it: with keys of node:crypto as tokens. */
import assert from 'node:assert/strict';
import {
  constants,
  generateKeyPairSync,
  type KeyObject,
  privateEncrypt,
  sign as signData,
} from 'node:crypto';
import { test } from 'node:test';
import { mechanism } from '../../../../keys/pkcs11/cryptoki.ts';
import { type Signing, signatureBlob, signingOf } from '../../../../keys/pkcs11/card-signature.ts';
import { publicBlobOf } from '../../../../keys/private-key.ts';
import { verify } from '../../../../keys/signature.ts';

const data = Buffer.from('what is to be signed');
const { rsaPkcs, sha256RsaPkcs, sha512RsaPkcs, ecdsa, eddsa } = mechanism;

/** As a token does it: hashing only where the mechanism says so. */
function answer(privateKey: KeyObject, { mechanism: kind, data: given }: Signing): Buffer {
  if (kind === rsaPkcs) {
    return privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, given);
  }
  if (kind === sha256RsaPkcs) return signData('sha256', given, privateKey);
  if (kind === sha512RsaPkcs) return signData('sha512', given, privateKey);
  return signData(null, given, privateKey);
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
for (const algorithm of ['rsa-sha2-256', 'rsa-sha2-512']) {
  for (const mechanisms of [[], [rsaPkcs, sha256RsaPkcs], [sha256RsaPkcs, sha512RsaPkcs]]) {
    test(`${algorithm} of a token with ${JSON.stringify(mechanisms)}`, () => {
      const signing = signingOf(algorithm, data, mechanisms);
      assert.ok(signing);
      const blob = signatureBlob(algorithm, answer(rsa.privateKey, signing));
      assert.ok(verify(algorithm, publicBlobOf(rsa.publicKey), blob, data));
    });
  }
}

test('Ed25519 signs the data itself', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const signing = signingOf('ssh-ed25519', data, [eddsa]);
  assert.deepEqual(signing, { mechanism: eddsa, data });
  const blob = signatureBlob('ssh-ed25519', answer(privateKey, signing as Signing));
  assert.ok(verify('ssh-ed25519', publicBlobOf(publicKey), blob, data));
});

test('ECDSA is given the hash, and the halves become numbers', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const algorithm = 'ecdsa-sha2-nistp384';
  assert.equal(signingOf(algorithm, data, [ecdsa])?.data.length, 48);
  const raw = signData('sha384', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  assert.ok(verify(algorithm, publicBlobOf(publicKey), signatureBlob(algorithm, raw), data));
});

test('what a token cannot do, or nobody should, is not asked of it', () => {
  assert.equal(signingOf('ssh-ed25519', data, [rsaPkcs]), undefined);
  assert.equal(signingOf('ecdsa-sha2-nistp256', data, [eddsa]), undefined);
  assert.equal(signingOf('ssh-rsa', data, [rsaPkcs]), undefined);
  assert.equal(signingOf('sk-ssh-ed25519@openssh.com', data, []), undefined);
});
