/** The time in a KDC's error, and answers that are none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { timeOfError } from '../../../../../src/cli/doctor/kdc-clock.ts';
import { Mutator } from '../../../../support/mutator.ts';

/** A KRB-ERROR of MIT's KDC, cut to its first fields. */
function errorAt(time: string): Buffer {
  const stime = Buffer.concat([Buffer.from([0xa4, 17, 0x18, 15]), Buffer.from(time)]);
  const fields = Buffer.concat([Buffer.from('a003020105a10302011e', 'hex'), stime]);
  const sequence = Buffer.concat([Buffer.from([0x30, fields.length]), fields]);
  return Buffer.concat([Buffer.from([0x7e, sequence.length]), sequence]);
}

test('the time of an error', () => {
  assert.equal(timeOfError(errorAt('20260228235959Z'))?.toISOString(), '2026-02-28T23:59:59.000Z');
});

test('what is no error, has no time, or is bent, has none and breaks nothing', () => {
  const good = errorAt('20260228235959Z');
  for (const [index, bytes] of [
    Buffer.alloc(0),
    Buffer.from([0x7e]),
    Buffer.from([0x7e, 0x84, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0x6b, 2, 0x30, 0]),
    errorAt('2026-02-28 235Z'),
    good.subarray(0, good.length - 1),
  ].entries()) {
    assert.equal(timeOfError(bytes), undefined, String(index));
  }
  const mutator = new Mutator();
  for (let round = 0; round < 5000; round++) timeOfError(mutator.bytes(good));
});
