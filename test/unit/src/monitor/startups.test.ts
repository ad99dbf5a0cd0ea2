import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Startups } from '../../../../src/monitor/startups.ts';

function admits(startups: Startups): boolean {
  const isDropped = startups.drops();
  if (!isDropped) {
    startups.enter();
  }
  return !isDropped;
}

const limits = { start: 2, ratePercent: 30, full: 4 };

test('below start nothing is dropped, at full everything', () => {
  const startups = new Startups(limits, () => 0.999);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => admits(startups)),
    [true, true, true, true],
  );
  assert.equal(admits(startups), false);
  startups.leave();
  assert.equal(admits(startups), true);
});

test('from start on the chance begins at rate and rises to full', () => {
  const draws = [0.29, 0.31, 0.64, 0.66];
  const startups = new Startups(limits, () => draws.shift() as number);
  startups.enter();
  startups.enter();
  assert.equal(admits(startups), false, '29 % < 30 %');
  assert.equal(admits(startups), true, '31 % ≥ 30 %');
  assert.equal(admits(startups), false, '64 % < 65 %');
  assert.equal(admits(startups), true, '66 % ≥ 65 %');
});
