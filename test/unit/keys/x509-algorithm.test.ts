/** Keys of authorities that are not trusted, and signatures of another kind than they say. */
import assert from 'node:assert/strict';
import { constants, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { readAlgorithm, isSignedBy, weaknessOf } from '../../../keys/x509-algorithm.ts';

/** SEQUENCE content of an AlgorithmIdentifier. */
function algorithm(hex: string) {
  const read = readAlgorithm(Buffer.from(hex, 'hex'));
  assert.ok(read.ok);
  return read.algorithm;
}

const rsaWithSha256 = '06092a864886f70d01010b0500';
const ecdsaWithSha256 = '06082a8648ce3d040302';
const pssWithSha256 =
  '06092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120';

describe('keys of authorities', () => {
  test('an RSA key with which everybody can sign', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { n = '' } = publicKey.export({ format: 'jwk' });
    for (const [e, why] of [
      ['AQ', /exponent is 1$/],
      ['Ag', /exponent is 2$/],
    ] as const) {
      const key = createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' });
      assert.match(weaknessOf(key) ?? 'none', why);
    }
    const usual = createPublicKey({ key: { kty: 'RSA', n, e: 'Aw' }, format: 'jwk' });
    assert.equal(weaknessOf(usual), undefined);
  });

  test('a key of RSASSA-PSS signs with that alone, whatever the certificate calls it', () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
    const data = Buffer.from('to be signed');
    const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
    const signature = sign('sha256', data, { key: privateKey, ...padding });
    assert.equal(isSignedBy(publicKey, algorithm(pssWithSha256), data, signature), true);
    assert.equal(isSignedBy(publicKey, algorithm(rsaWithSha256), data, signature), false);
    assert.equal(isSignedBy(publicKey, algorithm(ecdsaWithSha256), data, signature), false);
  });
});
