/** Which values of a key exchange are taken: lengths and ranges, at their edges. */
import assert from 'node:assert/strict';
import { getDiffieHellman, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { KexError } from '../../../../../src/base/errors.ts';
import { kexAlgorithms } from '../../../../../src/ssh/wire/algorithms.ts';
import { checkClientValue, checkExchange } from '../../../../../src/ssh/wire/kex-values.ts';

function fromNumber(number: bigint): Buffer {
  const hex = number.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
}

describe('the values of a group', () => {
  for (const [name, group] of [
    ['diffie-hellman-group14-sha256', 'modp14'],
    ['diffie-hellman-group16-sha512', 'modp16'],
    ['diffie-hellman-group18-sha512', 'modp18'],
  ] as const) {
    const prime = BigInt(`0x${getDiffieHellman(group).getPrime('hex')}`);
    test(`${name}: 2 to p-2`, () => {
      for (const right of [2n, 3n, prime >> 1n, prime - 2n]) {
        checkClientValue(name, fromNumber(right));
        checkClientValue(name, Buffer.concat([Buffer.from([0]), fromNumber(right)]));
      }
      for (const wrong of [0n, 1n, prime - 1n, prime, prime + 1n, prime * 2n]) {
        assert.throws(() => checkClientValue(name, fromNumber(wrong)), KexError);
      }
      assert.throws(() => checkClientValue(name, Buffer.alloc(0)), KexError);
      assert.throws(() => checkClientValue(name, Buffer.alloc(64 * 1024, 1)), KexError);
      assert.throws(() => checkExchange(name, all(fromNumber(2n), Buffer.from([1]))), KexError);
    });
  }
});

function all(value: Buffer, sharedSecret: Buffer) {
  return { clientValue: value, serverValue: value, sharedSecret };
}

describe('the values of a curve', () => {
  for (const [name, bytes] of [
    ['ecdh-sha2-nistp256', 32],
    ['ecdh-sha2-nistp384', 48],
    ['ecdh-sha2-nistp521', 66],
  ] as const) {
    test(`${name}: uncompressed points only`, () => {
      const point = Buffer.concat([Buffer.from([4]), randomBytes(2 * bytes)]);
      checkExchange(name, all(point, randomBytes(bytes)));
      checkExchange(name, all(point, Buffer.concat([Buffer.from([0]), Buffer.alloc(bytes, 0xff)])));
      for (const wrong of [
        Buffer.concat([Buffer.from([2]), randomBytes(bytes)]),
        Buffer.concat([point, Buffer.from([0])]),
        point.subarray(0, -1),
        Buffer.from([0]),
        Buffer.alloc(0),
        Buffer.concat([Buffer.from([6]), point.subarray(1)]),
      ]) {
        assert.throws(() => checkClientValue(name, wrong), KexError);
      }
      assert.throws(() => checkExchange(name, all(point, Buffer.alloc(bytes))), KexError);
      assert.throws(() => checkExchange(name, all(point, randomBytes(bytes + 2))), KexError);
    });
  }
});

test('mlkem768x25519-sha256 has one length for each value', () => {
  const name = 'mlkem768x25519-sha256';
  const right = {
    clientValue: Buffer.alloc(1216),
    serverValue: Buffer.alloc(1120),
    sharedSecret: Buffer.alloc(32),
  };
  checkExchange(name, right);
  for (const field of ['clientValue', 'serverValue', 'sharedSecret'] as const) {
    for (const delta of [-1, 1]) {
      const wrong = { ...right, [field]: Buffer.alloc(right[field].length + delta) };
      assert.throws(() => checkExchange(name, wrong), KexError, field);
    }
  }
});

test('every method has a row, and nothing else', () => {
  for (const { name } of kexAlgorithms) {
    assert.throws(() => checkClientValue(name, Buffer.alloc(0)), /out of range/);
  }
  assert.throws(() => checkClientValue('none', Buffer.alloc(32)), KexError);
});
