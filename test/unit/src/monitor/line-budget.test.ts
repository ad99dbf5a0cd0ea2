import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LineBudget } from '../../../../src/monitor/line-budget.ts';

test('a flood is cut, what follows tells how much of it', () => {
  let nowMs = 0;
  const budget = new LineBudget(() => nowMs);
  const taken = Array.from({ length: 2100 }, () => budget.take());
  assert.equal(taken.filter((dropped) => dropped === 0).length, 2000);
  assert.equal(taken.filter((dropped) => dropped === undefined).length, 100);
  nowMs = 10;
  assert.deepEqual([budget.take(), budget.take(), budget.take()], [100, 0, undefined]);
  nowMs = 3_600_000;
  assert.equal(budget.take(), 1);
  assert.equal(budget.take(), 0);
});
