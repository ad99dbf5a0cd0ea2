/** The client's lists of algorithms: what is offered without a word, and with + - ^ and patterns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../../../../src/base/errors.ts';
import { algorithmsOf, wholeOffer } from '../../../../../src/ssh/client/algorithm-options.ts';

test('the exchange that withstands a quantum computer is the first choice, SHA-1 and CBC are none', () => {
  assert.equal(wholeOffer.kex[0], 'mlkem768x25519-sha256');
  assert.equal(wholeOffer.hostKey[0], 'ssh-ed25519-cert-v01@openssh.com');
  const all = Object.values(wholeOffer).flat();
  assert.deepEqual(
    all.filter((name) => /sha1|md5|cbc|dss|^ssh-rsa/.test(name)),
    [],
  );
});

test('lists add, take away and prefer', () => {
  const kex = (text: string) => algorithmsOf('kexalgorithms', text);
  assert.deepEqual(kex('curve25519-sha256,sntrup761x25519-sha512'), ['curve25519-sha256']);
  assert.equal(kex('^ecdh-sha2-nistp521')[0], 'ecdh-sha2-nistp521');
  assert.deepEqual(kex('-diffie-*,ecdh-*'), wholeOffer.kex.slice(0, 3));
  assert.deepEqual(algorithmsOf('hostkeyalgorithms', 'rsa-sha2-*'), [
    ...['rsa-sha2-256', 'rsa-sha2-256-cert-v01@openssh.com'],
    ...['rsa-sha2-512', 'rsa-sha2-512-cert-v01@openssh.com'],
  ]);
  assert.equal(algorithmsOf('casignaturealgorithms', '-rsa-*').includes('rsa-sha2-512'), false);
});

test('a name that nobody knows, and a list of which nothing is left, are refused', () => {
  for (const text of ['nosuch', '+nosuch', '-*', 'sntrup761x25519-sha512', 'kex*', '']) {
    assert.throws(() => algorithmsOf('kexalgorithms', text), ConfigError, text);
  }
});
