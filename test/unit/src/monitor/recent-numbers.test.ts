import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentNumbers } from '../../../../src/monitor/recent-numbers.ts';

test('the newest are remembered, in bounded memory', () => {
  const recent = new RecentNumbers();
  for (let number = 1; number <= 10_000; number++) {
    recent.add(number);
  }
  assert.equal(recent.has(10_000), true);
  assert.equal(recent.has(10_000 - 4095), true);
  assert.equal(recent.has(10_000 - 4096), false);
  assert.equal(recent.has(10_001), false);
});
