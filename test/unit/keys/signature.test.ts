/** FIDO signatures: what they cover, and what of them is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePublicKey, type PublicKey } from '../../../keys/public-key.ts';
import { fidoFlags, verify, verifySignature } from '../../../keys/signature.ts';
import { Writer } from '../../../src/ssh/wire/writer.ts';
import { FidoKey, type FidoType } from '../../support/fido.ts';

const types: readonly FidoType[] = [
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
];
const webauthn = 'webauthn-sk-ecdsa-sha2-nistp256@openssh.com';
const data = Buffer.from('what is signed');

function parsed(blob: Buffer): PublicKey {
  const result = parsePublicKey(blob);
  assert.ok(result.ok);
  return result.key;
}

for (const type of types) {
  const signer = new FidoKey(type);
  const key = parsed(signer.publicBlob);

  test(`${type}: flags and counter come out as they were signed`, () => {
    for (const flags of [0, 1, 4, 5, 0xff]) {
      for (const counter of [0, 1, 0xffffffff]) {
        const signature = signer.sign(data, { flags, counter });
        assert.deepEqual(verifySignature(type, key, signature, data), { fido: { flags, counter } });
      }
    }
    assert.equal(key.application?.toString(), 'ssh:');
    assert.equal(key.bits, 256);
    assert.equal(fidoFlags.userPresent | fidoFlags.userVerified, 5);
  });

  test(`${type}: data, application, flags, counter and key are covered`, () => {
    const signature = signer.sign(data, { flags: 0, counter: 9 });
    assert.equal(verifySignature(type, key, signature, Buffer.from('other')), undefined);
    const elsewhere = signer.sign(data, { application: 'https://example.org' });
    assert.equal(verifySignature(type, key, elsewhere, data), undefined);
    for (let back = 1; back <= 5; back++) {
      const changed = Buffer.from(signature);
      changed[changed.length - back] = (changed.at(-back) as number) ^ 1;
      assert.equal(verifySignature(type, key, changed, data), undefined, `${back} from the end`);
    }
    const another = parsed(new FidoKey(type).publicBlob);
    assert.equal(verifySignature(type, another, signature, data), undefined);
  });

  test(`${type}: cut at each byte or with bytes behind it is no signature`, () => {
    const signature = signer.sign(data);
    for (let end = 0; end < signature.length; end++) {
      assert.equal(verifySignature(type, key, signature.subarray(0, end), data), undefined);
    }
    const longer = Buffer.concat([signature, Buffer.of(0)]);
    assert.equal(verifySignature(type, key, longer, data), undefined);
  });

  test(`${type}: the check that asks nothing of flags never says yes`, () => {
    assert.ok(!verify(type, signer.publicBlob, signer.sign(data), data));
  });
}

test('a signature of the plain type is none of a FIDO key', () => {
  const [ed25519, ecdsa] = types.map((type) => new FidoKey(type)) as [FidoKey, FidoKey];
  for (const [signer, plain] of [
    [ed25519, 'ssh-ed25519'],
    [ecdsa, 'ecdsa-sha2-nistp256'],
  ] as const) {
    const key = parsed(signer.publicBlob);
    const inner = new Writer().text(plain).string(Buffer.alloc(64, 1)).done();
    assert.equal(verifySignature(plain, key, inner, data), undefined);
    assert.equal(verifySignature(signer.type, key, inner, data), undefined);
  }
});

test('an application is a short text', () => {
  const type = 'sk-ssh-ed25519@openssh.com';
  assert.ok(parsePublicKey(new FidoKey(type, 'ssh:host').publicBlob).ok);
  assert.ok(!parsePublicKey(new FidoKey(type, 'ssh:\0').publicBlob).ok);
  assert.ok(!parsePublicKey(new FidoKey(type, 'x'.repeat(1025)).publicBlob).ok);
});

test('webauthn: type, challenge and origin of the client data are what was asked for', () => {
  const signer = new FidoKey('sk-ecdsa-sha2-nistp256@openssh.com', 'https://example.org');
  const key = parsed(signer.publicBlob);
  const check = (signature: Buffer) => verifySignature(webauthn, key, signature, data);
  assert.deepEqual(check(signer.signWebauthn(data)), { fido: { flags: 1, counter: 7 } });
  const extended = { flags: 0x81, extensions: Buffer.of(0xa0) };
  assert.equal(check(signer.signWebauthn(data, extended))?.fido?.flags, 0x81);

  const challenge = data.toString('base64url');
  const origin = '"origin":"https://example.org"';
  for (const [name, options] of [
    [
      'a registration',
      { clientData: `{"type":"webauthn.create","challenge":"${challenge}",${origin}}` },
    ],
    ['another challenge', { clientData: `{"type":"webauthn.get","challenge":"AAAA",${origin}}` }],
    [
      'another order',
      { clientData: `{"challenge":"${challenge}","type":"webauthn.get",${origin}}` },
    ],
    [
      'another origin',
      { clientData: `{"type":"webauthn.get","challenge":"${challenge}","origin":"x"}` },
    ],
    [
      'a cut one',
      { clientData: `{"type":"webauthn.get","challenge":"${challenge}",${origin.slice(0, -1)}` },
    ],
    ['an origin with a quote', { origin: 'x","y":"' }],
    ['attested data', { flags: 0x41 }],
    ['extensions without their flag', { extensions: Buffer.of(0xa0) }],
    ['a flag without extensions', { flags: 0x81 }],
    ['another application', { application: 'ssh:' }],
  ] as const) {
    assert.equal(check(signer.signWebauthn(data, options)), undefined, name);
  }
  assert.equal(verifySignature(key.type, key, signer.signWebauthn(data), data), undefined);
  assert.equal(verifySignature(webauthn, key, signer.sign(data), data), undefined);
});
