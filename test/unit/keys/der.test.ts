/** DER is taken in its one form, and lists of serial numbers are searched as they are read. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CrlEntries } from '../../../keys/crl-entries.ts';
import {
  booleanValue,
  DerError,
  DerReader,
  namedBits,
  objectIdentifier,
  timeMs,
  unsignedInteger,
} from '../../../keys/der.ts';
import { Mutator } from '../../support/mutator.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function refused(read: () => unknown, what: string): void {
  assert.throws(read, (error) => error instanceof DerError, what);
}

test('lengths: the shortest form, within what is there', () => {
  assert.equal(new DerReader(hex('04 00')).value().content.length, 0);
  const long = Buffer.concat([hex('04 81 80'), Buffer.alloc(128)]);
  assert.equal(new DerReader(long).value().content.length, 128);
  const longer = Buffer.concat([hex('04 82 01 00'), Buffer.alloc(256)]);
  assert.equal(new DerReader(longer).value().content.length, 256);
  for (const text of [
    ...['', '04', '04 01', '04 80 00 00', '04 81 01 00', '04 81 7f', '04 82 00 80', '1f 01 00'],
    ...['04 84 ff ff ff ff', '04 85 00 00 00 00 01 00', '04 83 00 ff ff', 'bf 81 00 00', '04 ff'],
  ]) {
    refused(() => new DerReader(hex(text)).value(), text);
  }
  refused(() => new DerReader(hex('02 01 00')).take(0x04, 'x'), 'another tag');
  refused(() => new DerReader(hex('02 01 00')).end('x'), 'something left');
});

test('numbers, flags, bits and identifiers', () => {
  assert.deepEqual(unsignedInteger(hex('00 80'), 'x', 4), hex('80'));
  for (const text of ['', '80', '00 7f', '00 00', '01 00 00 00 00']) {
    refused(() => unsignedInteger(hex(text), 'x', 4), text);
  }
  assert.equal(booleanValue(hex('ff'), 'x'), true);
  for (const text of ['', '01', '00 00']) refused(() => booleanValue(hex(text), 'x'), text);
  assert.equal(namedBits(hex('07 80'), 'x'), 1);
  assert.equal(namedBits(hex('01 06'), 'x'), 0x60);
  assert.equal(namedBits(hex('07 00 80'), 'x'), 0x100);
  for (const text of ['', '08 00', '01 01', '01', '00 00 00 00']) {
    refused(() => namedBits(hex(text), 'x'), text);
  }
  assert.equal(objectIdentifier(hex('2a 86 48 86 f7 0d 01 01 0b')), '1.2.840.113549.1.1.11');
  assert.equal(objectIdentifier(hex('55 04 03')), '2.5.4.3');
  assert.equal(objectIdentifier(hex('88 37')), '2.999');
  for (const text of [
    '',
    '80 01',
    '2a 86',
    '2a 80 01',
    `2a ${'ff'.repeat(20)}7f`,
    '01'.repeat(65),
  ]) {
    refused(() => objectIdentifier(hex(text)), text);
  }
});

test('times of RFC 5280 and no other', () => {
  const time = (tag: number, text: string) =>
    timeMs({ tag, content: Buffer.from(text), raw: Buffer.alloc(0) }, 'x');
  assert.equal(time(0x17, '491231235959Z'), Date.UTC(2049, 11, 31, 23, 59, 59));
  assert.equal(time(0x17, '500101000000Z'), Date.UTC(1950, 0, 1));
  assert.equal(time(0x18, '99991231235959Z'), Date.UTC(9999, 11, 31, 23, 59, 59));
  for (const text of [
    ...['260230000000Z', '261301000000Z', '260101240000Z', '260101000060Z', '2601010000Z'],
    ...['260101000000+0100', '260101000000', '260101000000.5Z', ' 60101000000Z', '26010100000aZ'],
  ]) {
    refused(() => time(0x17, text), text);
  }
  refused(() => time(0x18, '20260101000000.5Z'), 'a fraction');
  refused(() => time(0x0c, '260101000000Z'), 'a text');
});

describe('serial numbers of a list', () => {
  const time = Buffer.concat([hex('17 0d'), Buffer.from('260102030405Z')]);
  const wrap = (tag: number, ...parts: readonly Buffer[]): Buffer => {
    const content = Buffer.concat(parts);
    assert.ok(content.length < 128);
    return Buffer.concat([Buffer.from([tag, content.length]), content]);
  };
  const entry = (serial: string, ...more: readonly Buffer[]): Buffer =>
    wrap(0x30, wrap(0x02, hex(serial)), time, ...more);
  const anything = (): void => undefined;

  test('each is found, and nothing that only looks like one', () => {
    const checked: string[] = [];
    const inside = wrap(0x30, wrap(0x04, hex('02 01 63')));
    const list = Buffer.concat([
      ...[entry('01'), entry('00 ff'), entry('7f 00 01'), entry('00'), entry('ff')],
      ...[entry('05', inside), entry('06', inside), entry('02 01 64')],
    ]);
    const entries = new CrlEntries(list, (raw) => void checked.push(raw.toString('hex')));
    for (const serial of ['01', 'FF', '7F0001', '00', '05', '06', '020164']) {
      assert.equal(entries.revokedAtMs(serial), Date.UTC(2026, 0, 2, 3, 4, 5), serial);
    }
    for (const serial of ['02', '63', '64', '7F00', '0001', '0163', 'FE']) {
      assert.equal(entries.revokedAtMs(serial), undefined, serial);
    }
    assert.deepEqual(checked, [inside.toString('hex')]);
    const undated = Buffer.concat([hex('30 06 02 01 09 17 01 78')]);
    assert.equal(new CrlEntries(undated, anything).revokedAtMs('09'), 0);
  });

  test('what is malformed spoils the list', () => {
    for (const text of [
      ...['30', '30 00', '30 02 02 00', '30 05 02 00 17 01 78', '30 07 02 02 00 01 17 01 78'],
      ...['30 81 06 02 01 09 17 01 78', '30 06 02 01 09 04 01 78', '30 05 02 01 09 17 01 78'],
      ...['30 07 02 01 09 17 01 78', '31 06 02 01 09 17 01 78', '30 06 02 01 09 17 02 78'],
    ]) {
      refused(() => new CrlEntries(hex(text), anything), text);
    }
    const good = Buffer.concat([entry('01'), entry('02', wrap(0x30, hex('05 00')))]);
    refused(() => {
      new CrlEntries(good, () => {
        throw new DerError('not understood');
      });
    }, 'an extension');
    const mutator = new Mutator(20_261_121);
    for (let run = 0; run < 5000; run++) {
      try {
        new CrlEntries(mutator.bytes(good), anything).revokedAtMs('01');
      } catch (error) {
        assert.ok(error instanceof DerError, `${mutator.name} ${run}`);
      }
    }
  });
});
