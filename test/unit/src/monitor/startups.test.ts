import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Startups } from '../../../../src/monitor/startups.ts';

const limits = { start: 2, ratePercent: 30, full: 4 };

test('below start nothing is dropped, at full everything', () => {
  const startups = new Startups(limits, () => 0.999);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => startups.enter()),
    [true, true, true, true],
  );
  assert.equal(startups.enter(), false);
  startups.leave();
  assert.equal(startups.enter(), true);
});

test('from start on the chance begins at rate and rises to full', () => {
  const draws = [0.29, 0.31, 0.64, 0.66];
  const startups = new Startups(limits, () => draws.shift() as number);
  startups.enter();
  startups.enter();
  assert.equal(startups.enter(), false, '29 % < 30 %');
  assert.equal(startups.enter(), true, '31 % ≥ 30 %');
  assert.equal(startups.enter(), false, '64 % < 65 %');
  assert.equal(startups.enter(), true, '66 % ≥ 65 %');
});
