import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { KexError } from '../../../../../src/base/errors.ts';
import { kexAlgorithms } from '../../../../../src/ssh/wire/algorithms.ts';
import { type ExchangeValues, exchangeHash } from '../../../../../src/ssh/wire/exchange-hash.ts';

const field = (hex: string) => {
  const bytes = Buffer.from(hex, 'hex');
  return Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
};
const values: ExchangeValues = {
  clientVersion: Buffer.from('SSH-2.0-a'),
  serverVersion: Buffer.from('SSH-2.0-b'),
  clientKexInit: Buffer.from('1401', 'hex'),
  serverKexInit: Buffer.from('1402', 'hex'),
  hostKey: Buffer.from('aa', 'hex'),
  clientValue: Buffer.from('00ff01', 'hex'),
  serverValue: Buffer.from('0002', 'hex'),
  sharedSecret: Buffer.from('0080', 'hex'),
};
const head = [
  field(Buffer.from('SSH-2.0-a').toString('hex')),
  field(Buffer.from('SSH-2.0-b').toString('hex')),
  field('1401'),
  field('1402'),
  field('aa'),
];
const digest = (hash: string, ...rest: Buffer[]) =>
  createHash(hash)
    .update(Buffer.concat([...head, ...rest]))
    .digest('hex');

describe('the exchange hash', () => {
  test('curve25519: values as strings, the secret as mpint', () => {
    assert.equal(
      exchangeHash('curve25519-sha256', values).toString('hex'),
      digest('sha256', field('00ff01'), field('0002'), field('0080')),
    );
  });
  test('an mpint secret loses leading zeros and gains one before a high bit', () => {
    for (const [raw, encoded] of [
      ['00007f', '7f'],
      ['ff', '00ff'],
      ['', ''],
      ['0000', ''],
    ] as const) {
      assert.equal(
        exchangeHash('ecdh-sha2-nistp384', {
          ...values,
          sharedSecret: Buffer.from(raw, 'hex'),
        }).toString('hex'),
        digest('sha384', field('00ff01'), field('0002'), field(encoded)),
      );
    }
  });
  test('diffie-hellman: values and secret as mpint', () => {
    assert.equal(
      exchangeHash('diffie-hellman-group16-sha512', values).toString('hex'),
      digest('sha512', field('00ff01'), field('02'), field('0080')),
    );
  });
  test('mlkem: everything as strings', () => {
    assert.equal(
      exchangeHash('mlkem768x25519-sha256', { ...values, sharedSecret: Buffer.alloc(2) }).toString(
        'hex',
      ),
      digest('sha256', field('00ff01'), field('0002'), field('0000')),
    );
  });
  test('every method of the table has a row, others throw', () => {
    for (const { name } of kexAlgorithms) {
      assert.ok(exchangeHash(name, values).length >= 32);
    }
    assert.throws(() => exchangeHash('diffie-hellman-group1-sha1', values), KexError);
    assert.throws(() => exchangeHash('constructor', values), KexError);
  });
});
