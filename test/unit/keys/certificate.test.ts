/** Certificates of strangers, field by field: what is read, what is refused, and at what cost. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { certificateAlgorithms } from '../../../keys/algorithms.ts';
import {
  certificateObjection,
  isCertificate,
  maxCertificatePrincipals,
  parseCertificate,
  plainKeyBlob,
} from '../../../keys/certificate.ts';
import { generateKey } from '../../../keys/keygen.ts';
import { Writer } from '../../../src/ssh/wire/writer.ts';
import { FidoKey } from '../../support/fido.ts';
import {
  authorityOf,
  forever,
  forge,
  type ForgedFields,
  optionText,
} from '../../support/forged-certificate.ts';

const authority = generateKey({ type: 'ed25519' }).key;
const subject = generateKey({ type: 'ed25519' }).key;
const by = authorityOf(authority, 'ssh-ed25519');
const certificateType = 'ssh-ed25519-cert-v01@openssh.com';
const accepted = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256'];

function forged(fields: Partial<ForgedFields> = {}): Buffer {
  return forge({ key: subject.publicBlob, certificateType, ...fields }, by);
}

function reasonOf(blob: Buffer): string {
  const parsed = parseCertificate(blob, accepted);
  assert.ok(!parsed.ok);
  return parsed.reason;
}

test('every field comes out as it was signed', () => {
  const blob = forged({
    serial: forever,
    subject: 2,
    keyId: 'an id, with \n a line',
    principals: ['a,b', 'c'],
    validAfter: 5n,
    validBefore: 6n,
    criticalOptions: [['force-command', optionText('x')]],
    extensions: [['permit-pty', Buffer.alloc(0)]],
  });
  const parsed = parseCertificate(blob, accepted);
  assert.ok(parsed.ok);
  const { certificate } = parsed;
  assert.deepEqual(
    {
      ...certificate,
      key: certificate.key.blob,
      authority: certificate.authority.blob,
    },
    {
      certificateType,
      blob,
      key: subject.publicBlob,
      serial: forever,
      subject: 'host',
      keyId: 'an id, with \n a line',
      principals: ['a,b', 'c'],
      validAfter: 5n,
      validBefore: 6n,
      criticalOptions: [{ name: 'force-command', data: optionText('x') }],
      extensions: [{ name: 'permit-pty', data: Buffer.alloc(0) }],
      authority: authority.publicBlob,
      signatureAlgorithm: 'ssh-ed25519',
    },
  );
  assert.ok(isCertificate(blob));
  assert.ok(plainKeyBlob(blob)?.equals(subject.publicBlob));
});

test('every type of key can be certified, and keeps its blob', () => {
  const blobs = new Map<string, Buffer>([
    ['ssh-ed25519', subject.publicBlob],
    ['ssh-rsa', generateKey({ type: 'rsa', bits: 2048 }).key.publicBlob],
    ...([256, 384, 521] as const).map(
      (bits) =>
        [`ecdsa-sha2-nistp${bits}`, generateKey({ type: 'ecdsa', bits }).key.publicBlob] as const,
    ),
    ...(['sk-ssh-ed25519@openssh.com', 'sk-ecdsa-sha2-nistp256@openssh.com'] as const).map(
      (type) => [type, new FidoKey(type).publicBlob] as const,
    ),
  ]);
  for (const { certificateType: type, signature } of certificateAlgorithms) {
    const key = blobs.get(signature.keyType) as Buffer;
    const parsed = parseCertificate(forged({ key, certificateType: type }), accepted);
    assert.ok(parsed.ok, type);
    assert.ok(parsed.certificate.key.blob.equals(key));
    assert.equal(parsed.certificate.key.type, signature.keyType);
  }
});

test('a changed byte anywhere is found, and so is each cut', () => {
  const blob = forged({ extensions: [['permit-pty', Buffer.alloc(0)]] });
  for (let at = 0; at < blob.length; at++) {
    const changed = Buffer.from(blob);
    changed[at] = (changed[at] as number) ^ 0x40;
    assert.ok(!parseCertificate(changed, accepted).ok, `byte ${at}`);
    assert.ok(!parseCertificate(blob.subarray(0, at), accepted).ok, `cut at ${at}`);
  }
  assert.match(reasonOf(forged({ tail: Buffer.of(0) })), /behind the end/);
});

test('an authority that is a certificate, or no key at all, is refused', () => {
  const authorityBlob = forged();
  assert.match(reasonOf(forged({ authorityBlob })), /the authority is itself a certificate/);
  assert.match(reasonOf(forged({ authorityBlob: Buffer.alloc(0) })), /the authority/);
  const dss = new Writer().text('ssh-dss').mpint(Buffer.of(1)).done();
  assert.match(reasonOf(forged({ authorityBlob: dss })), /not a key of a known type/);
});

test('somebody else’s signature is refused', () => {
  const stranger = generateKey({ type: 'ed25519' }).key;
  const other = {
    publicBlob: authority.publicBlob,
    sign: (data: Buffer) => stranger.sign('ssh-ed25519', data),
  };
  const blob = forge({ key: subject.publicBlob, certificateType }, other);
  assert.match(reasonOf(blob), /incorrect signature/);
});

test('a signature algorithm that is not accepted is refused unverified', () => {
  const parsed = parseCertificate(forged(), ['rsa-sha2-512']);
  assert.deepEqual(parsed, {
    ok: false,
    level: 'INFO',
    reason: 'certificate signature algorithm ssh-ed25519: signature algorithm not supported',
  });
  const rsa = generateKey({ type: 'rsa', bits: 2048 }).key;
  const sha1 = {
    publicBlob: rsa.publicBlob,
    sign: () => new Writer().text('ssh-rsa').string(randomBytes(256)).done(),
  };
  const blob = forge({ key: subject.publicBlob, certificateType }, sha1);
  assert.ok(!parseCertificate(blob, [...accepted, 'ssh-rsa']).ok, 'even when it is listed');
});

test('fields that nobody could have meant are refused', () => {
  for (const [name, fields] of [
    ['neither user nor host', { subject: 0 }],
    ['neither user nor host, 3', { subject: 3 }],
    ['a key id with a NUL', { keyId: 'a\0b' }],
    ['a principal with a NUL', { principals: ['alice\0x'] }],
    ['a principal that is not UTF-8', { principals: [Buffer.of(0xff)] }],
    ['an option name with a NUL', { criticalOptions: [['a\0', Buffer.alloc(0)]] }],
    ['too many principals', { principals: Array.from({ length: 257 }, () => 'x') }],
    [
      'too many options',
      { extensions: Array.from({ length: 257 }, () => ['x', Buffer.alloc(0)] as const) },
    ],
    ['another type of key', { certificateType: 'ecdsa-sha2-nistp256-cert-v01@openssh.com' }],
    ['an unknown type', { certificateType: 'ssh-dss-cert-v01@openssh.com' }],
    ['the plain type', { certificateType: 'ssh-ed25519' }],
    ['an old type', { certificateType: 'ssh-rsa-cert-v00@openssh.com' }],
  ] as const satisfies readonly (readonly [string, Partial<ForgedFields>])[]) {
    assert.ok(!parseCertificate(forged(fields), accepted).ok, name);
  }
  const most = Array.from({ length: maxCertificatePrincipals }, () => 'x');
  assert.ok(parseCertificate(forged({ principals: most }), accepted).ok);
  assert.ok(!parseCertificate(forged({ keyId: 'x'.repeat(40_000) }), accepted).ok, 'too long');
});

test('INCIDENTS 44: giant numbers in a certificate cost no time', () => {
  const modulus = (bits: number) => {
    const bytes = randomBytes(bits / 8);
    bytes[0] = (bytes[0] as number) | 0x80;
    bytes[bytes.length - 1] = (bytes.at(-1) as number) | 1;
    return bytes;
  };
  const rsa = (exponent: Buffer, bits: number) =>
    new Writer().text('ssh-rsa').mpint(exponent).mpint(modulus(bits)).done();
  const type = 'ssh-rsa-cert-v01@openssh.com';
  const odd = (bytes: number) => Buffer.concat([randomBytes(bytes - 1), Buffer.of(0x81)]);
  for (const [exponent, bits] of [
    [Buffer.of(3), 65_536],
    [odd(64), 4096],
    [odd(2048), 16_384],
  ] as const) {
    const key = rsa(exponent, bits);
    const certified = forged({ key, certificateType: type });
    const asAuthority = forged({ authorityBlob: key });
    const from = performance.now();
    assert.ok(!parseCertificate(certified, accepted).ok);
    assert.ok(!parseCertificate(asAuthority, accepted).ok);
    assert.ok(performance.now() - from < 50, 'refused before any arithmetic');
  }
});

test('validity, kind and principals: from the first second up to, not in, the last', () => {
  const of = (fields: Partial<ForgedFields>) => {
    const parsed = parseCertificate(forged(fields), accepted);
    assert.ok(parsed.ok);
    return parsed.certificate;
  };
  const timed = of({ validAfter: 100n, validBefore: 200n });
  const at = (seconds: number) => certificateObjection(timed, 'user', seconds * 1000, 'alice');
  assert.equal(at(99.999), 'Certificate invalid: not yet valid');
  assert.equal(at(100), undefined);
  assert.equal(at(199.999), undefined);
  assert.equal(at(200), 'Certificate invalid: expired');
  const objection = (fields: Partial<ForgedFields>, name: string | undefined) =>
    certificateObjection(of(fields), 'user', 0, name);
  assert.equal(objection({ subject: 2 }, 'alice'), 'Certificate invalid: not a user certificate');
  const unlisted = 'Certificate invalid: name is not a listed principal';
  assert.equal(objection({ principals: ['a,alice', 'alice,b', '*'] }, 'alice'), unlisted);
  assert.equal(objection({ principals: ['alicex', 'Alice'] }, 'alice'), unlisted);
  assert.equal(objection({ principals: ['bob', 'alice'] }, 'alice'), undefined);
  assert.equal(objection({ principals: [''] }, ''), unlisted);
  assert.equal(objection({ principals: [] }, 'alice'), 'Certificate lacks principal list');
  assert.equal(objection({ principals: [] }, undefined), 'Certificate lacks principal list');
});
