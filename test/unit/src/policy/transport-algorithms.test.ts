/** KexAlgorithms, Ciphers, MACs, HostKeyAlgorithms: the defaults, and lists with + - ^. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError } from '../../../../src/base/errors.ts';
import {
  transportAlgorithms,
  type AlgorithmKind,
  cipherKind,
  defaultList,
  hostKeyKind,
  kexKind,
  leftOutNotice,
  macKind,
} from '../../../../src/policy/transport-algorithms.ts';

function parse(kind: AlgorithmKind, spec: string) {
  return transportAlgorithms(kind)({ keyword: kind.keyword, words: [spec], rest: spec });
}

describe('the defaults', () => {
  test('leave out what only old peers need', () => {
    assert.deepEqual(defaultList(kexKind).names, [
      'mlkem768x25519-sha256',
      'curve25519-sha256',
      'curve25519-sha256@libssh.org',
    ]);
    assert.deepEqual(defaultList(macKind).names, [
      'hmac-sha2-256-etm@openssh.com',
      'hmac-sha2-512-etm@openssh.com',
    ]);
    assert.deepEqual(defaultList(hostKeyKind).names, [
      'ssh-ed25519-cert-v01@openssh.com',
      'rsa-sha2-512-cert-v01@openssh.com',
      'rsa-sha2-256-cert-v01@openssh.com',
      'ssh-ed25519',
      'rsa-sha2-512',
      'rsa-sha2-256',
    ]);
    assert.deepEqual(defaultList(cipherKind).names, [
      'chacha20-poly1305@openssh.com',
      'aes128-gcm@openssh.com',
      'aes256-gcm@openssh.com',
      'aes128-ctr',
      'aes192-ctr',
      'aes256-ctr',
    ]);
  });
});

describe('a list', () => {
  const standard = defaultList(macKind).names;
  test('+ adds behind the default, once', () => {
    assert.deepEqual(parse(macKind, '+hmac-sha2-256,hmac-sha2-256-etm@openssh.com').names, [
      ...standard,
      'hmac-sha2-256',
    ]);
  });
  test('^ puts in front', () => {
    assert.deepEqual(parse(macKind, '^hmac-sha2-512,hmac-sha2-512-etm@openssh.com').names, [
      'hmac-sha2-512',
      'hmac-sha2-512-etm@openssh.com',
      'hmac-sha2-256-etm@openssh.com',
    ]);
  });
  test('- takes away by pattern, also what is not there', () => {
    assert.deepEqual(parse(cipherKind, '-*ctr,*gcm*,foo').names, ['chacha20-poly1305@openssh.com']);
    assert.deepEqual(parse(kexKind, '-ecdh-*').names, defaultList(kexKind).names);
  });
  test('names of host keys may be patterns, in the order of sshd', () => {
    assert.deepEqual(parse(hostKeyKind, 'ecdsa-*384*,rsa-sha2-256').names, [
      'ecdsa-sha2-nistp384',
      'ecdsa-sha2-nistp384-cert-v01@openssh.com',
      'rsa-sha2-256',
    ]);
    assert.deepEqual(parse(hostKeyKind, '-*cert*').names, [
      'ssh-ed25519',
      'rsa-sha2-512',
      'rsa-sha2-256',
    ]);
  });
  test('what only sshd has is left out and told', () => {
    const list = parse(macKind, 'umac-128-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha1');
    assert.deepEqual(list, {
      names: ['hmac-sha2-512-etm@openssh.com'],
      leftOut: ['umac-128-etm@openssh.com', 'hmac-sha1'],
    });
    assert.deepEqual(leftOutNotice(macKind, list), [
      'MACs: not implemented and left out: umac-128-etm@openssh.com, hmac-sha1',
    ]);
    const kex = parse(kexKind, 'sntrup761x25519-sha512@openssh.com,curve25519-sha256');
    assert.deepEqual(kex.names, ['curve25519-sha256']);
    // A pattern asks for what there is, not for each name.
    assert.deepEqual(parse(hostKeyKind, 'ssh-*').leftOut, []);
  });
  test('a list of which nothing remains is refused', () => {
    for (const [kind, spec] of [
      [cipherKind, '-*'],
      [hostKeyKind, '-*'],
      [macKind, 'umac-64@openssh.com'],
      [kexKind, 'diffie-hellman-group-exchange-sha256'],
    ] as const) {
      assert.throws(() => parse(kind, spec), ConfigError, spec);
    }
  });
  test('an unknown name is refused in the words of sshd', () => {
    const detail = (kind: AlgorithmKind, spec: string) => {
      try {
        parse(kind, spec);
      } catch (error) {
        return (error as ConfigError).detail;
      }
      return '';
    };
    assert.equal(
      detail(kexKind, 'a,curve25519-sha256'),
      "Bad SSH2 KexAlgorithms 'a,curve25519-sha256'.",
    );
    assert.equal(detail(cipherKind, '+aes*'), "Bad SSH2 cipher spec '+aes*'.");
    assert.equal(detail(macKind, '^x'), "Bad SSH2 mac spec '^x'.");
    assert.equal(detail(hostKeyKind, 'x*'), "Bad key types 'x*'.");
  });
});
