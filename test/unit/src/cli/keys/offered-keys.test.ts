/** The public keys that `sshdesk keys add` takes out of files. */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { generateKey } from '../../../../../keys/keygen.ts';
import { ConfigError } from '../../../../../src/base/errors.ts';
import { keyOfCertificate, keysOfFile } from '../../../../../src/cli/keys/offered-keys.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'offered-'));
const put = (content: string | Buffer): string => {
  const file = path.join(folder, 'file');
  writeFileSync(file, content);
  return file;
};

test('one public key or several, with their comments', () => {
  const one = generateKey({ type: 'ed25519' }, 'one of mine');
  const two = generateKey({ type: 'ecdsa', bits: 256 }, '');
  const keys = keysOfFile(put(`# mine\n\n${one.publicFile}  ${two.publicFile}`));
  assert.deepEqual(
    keys.map(({ blob, comment }) => [blob.toString('base64'), comment]),
    [
      [one.key.publicBlob.toString('base64'), 'one of mine'],
      [two.key.publicBlob.toString('base64'), ''],
    ],
  );
});

test('what is none', () => {
  const { privateFile, publicFile } = generateKey({ type: 'ed25519' }, '');
  const cases: readonly (readonly [string | Buffer, RegExp])[] = [
    [privateFile, /a private key; its public half is \S+\.pub$/],
    ['ssh-ed25519 AAAA\n', /file:1: no public key of SSH: not TYPE and base64/],
    [`${publicFile}restrict ${publicFile}`, /file:2: no public key of SSH/],
    ['ssh-dss AAAAB3NzaC1kc3MAAAABAQ==\n', /file:1: no public key of SSH: not a key of a known/],
    ['', /not 1 to 64 public keys/],
    ['x'.repeat(300_000), /not a file of at most/],
  ];
  for (const [content, reason] of cases) {
    assert.throws(
      () => keysOfFile(put(content)),
      (error: Error) => error instanceof ConfigError && reason.test(error.detail),
    );
  }
  assert.throws(() => keysOfFile('/dev/zero'), /not a file of at most/);
  assert.throws(() => keysOfFile('/nowhere/file'), /cannot be read \(ENOENT\)/);
  assert.throws(() => keyOfCertificate(put(publicFile)), /no certificate in it/);
  assert.throws(() => keyOfCertificate(put(Buffer.from([0x30, 0x80]))), ConfigError);
  const broken = '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n';
  assert.throws(() => keyOfCertificate(put(broken)), ConfigError);
});
