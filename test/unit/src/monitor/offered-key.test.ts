/** What is offered: which names cost a look at the blob at all, and what the log says of the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKey } from '../../../../keys/keygen.ts';
import { fingerprint } from '../../../../keys/public-key.ts';
import {
  type AcceptedKeys,
  announcedSignatures,
  readOffer,
} from '../../../../src/monitor/offered-key.ts';
import { publicKeyDefaults } from '../../../../src/policy/public-key-keywords.ts';
import { FidoKey } from '../../../support/fido.ts';
import { authorityOf, forge } from '../../../support/forged-certificate.ts';

const defaults: AcceptedKeys = publicKeyDefaults;
const ed25519 = generateKey({ type: 'ed25519' }).key;
const rsa = generateKey({ type: 'rsa', bits: 2048 }).key;
const authority = generateKey({ type: 'ecdsa', bits: 384 }).key;
const by = authorityOf(authority, 'ecdsa-sha2-nistp384');

function refusal(name: string, blob: Buffer, config = defaults): string {
  const offer = readOffer(name, blob, config);
  assert.ok(!offer.ok);
  return `${offer.level} ${offer.text}`;
}

function info(name: string, blob: Buffer): string {
  const offer = readOffer(name, blob, defaults);
  assert.ok(offer.ok);
  return offer.offered.logged.text;
}

test('the log names key, certificate and authority as sshd does', () => {
  const own = fingerprint(ed25519.publicBlob);
  assert.equal(info('ssh-ed25519', ed25519.publicBlob), `ED25519 ${own}`);
  assert.equal(info('rsa-sha2-256', rsa.publicBlob), `RSA ${fingerprint(rsa.publicBlob)}`);
  const fields = { key: ed25519.publicBlob, serial: 12n, keyId: 'alice, laptop' };
  const certificateType = 'ssh-ed25519-cert-v01@openssh.com';
  assert.equal(
    info(certificateType, forge({ ...fields, certificateType }, by)),
    `ED25519-CERT ${own} ID alice, laptop (serial 12) CA ECDSA ${fingerprint(authority.publicBlob)}`,
  );
  const fido = new FidoKey('sk-ecdsa-sha2-nistp256@openssh.com');
  const certified = forge(
    { key: fido.publicBlob, certificateType: 'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com' },
    by,
  );
  assert.match(
    info('sk-ecdsa-sha2-nistp256-cert-v01@openssh.com', certified),
    /^ECDSA-SK-CERT SHA/,
  );
});

test('a name that is not accepted is refused without a look at the blob', () => {
  const nonsense = Buffer.from('nonsense');
  const not = (name: string) =>
    `INFO userauth_pubkey: signature algorithm ${name} not in PubkeyAcceptedAlgorithms`;
  for (const name of ['ssh-dss', 'ssh-rsa', 'webauthn-sk-ecdsa-sha2-nistp256@openssh.com']) {
    assert.equal(refusal(name, nonsense), not(name));
  }
  const listed = { ...defaults, pubkeyAcceptedAlgorithms: ['ssh-dss'] };
  assert.equal(
    refusal('ssh-dss', nonsense, listed),
    'INFO userauth_pubkey: unsupported public key algorithm: ssh-dss',
  );
  assert.equal(refusal('ssh-ed25519', ed25519.publicBlob, listed), not('ssh-ed25519'));
  for (const name of ['', 'x', '__proto__', 'ssh-ed25519 ', 'SSH-ED25519']) {
    assert.equal(
      refusal(name, nonsense),
      `VERBOSE userauth_pubkey: unsupported public key algorithm: ${name}`,
    );
  }
  assert.ok(refusal('x'.repeat(30_000), nonsense).length < 300);
});

test('the blob is of the type that the name says', () => {
  for (const [name, blob] of [
    ['rsa-sha2-512', ed25519.publicBlob],
    ['ssh-ed25519', rsa.publicBlob],
    ['ssh-ed25519-cert-v01@openssh.com', ed25519.publicBlob],
    ['sk-ssh-ed25519@openssh.com', ed25519.publicBlob],
    ['ecdsa-sha2-nistp256', authority.publicBlob],
    ['ssh-ed25519', Buffer.alloc(0)],
  ] as const) {
    assert.match(refusal(name, blob), /^ERROR userauth_pubkey: type mismatch for decoded key/);
  }
});

test('RequiredRSASize and CASignatureAlgorithms', () => {
  const strict = { ...defaults, requiredRsaSize: 3072 };
  const short = 'INFO refusing RSA key: Invalid key length';
  assert.equal(refusal('rsa-sha2-512', rsa.publicBlob, strict), short);
  const certificateType = 'ssh-rsa-cert-v01@openssh.com';
  const certified = forge({ key: rsa.publicBlob, certificateType }, by);
  assert.equal(
    refusal('rsa-sha2-256-cert-v01@openssh.com', certified, strict),
    short.replace('RSA', 'RSA-CERT'),
  );
  assert.ok(readOffer('rsa-sha2-512-cert-v01@openssh.com', certified, defaults).ok);
  assert.equal(
    refusal('rsa-sha2-512-cert-v01@openssh.com', certified, {
      ...defaults,
      caSignatureAlgorithms: ['ssh-ed25519'],
    }),
    'INFO userauth_pubkey: certificate signature algorithm ecdsa-sha2-nistp384: signature algorithm not supported',
  );
});

test('what is announced: the plain algorithms, also those that only certificates may use', () => {
  assert.deepEqual(announcedSignatures(defaults), [
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
    'rsa-sha2-512',
    'rsa-sha2-256',
    'sk-ssh-ed25519@openssh.com',
    'sk-ecdsa-sha2-nistp256@openssh.com',
  ]);
  const some = ['rsa-sha2-256-cert-v01@openssh.com', 'ssh-dss', 'ssh-rsa'];
  assert.deepEqual(announcedSignatures({ ...defaults, pubkeyAcceptedAlgorithms: some }), [
    'rsa-sha2-256',
  ]);
});
