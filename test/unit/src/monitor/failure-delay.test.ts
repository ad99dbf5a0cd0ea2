import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandPace, refusalLeavesAtMs } from '../../../../src/monitor/failure-delay.ts';

test('whatever a password hash takes, its refusal leaves at the same time', () => {
  const times = [0, 5, 80, 300, 649].map((elapsedMs) => refusalLeavesAtMs(elapsedMs, 0));
  assert.deepEqual(new Set(times), new Set([650]));
});

test('the two seconds of PAM with their jitter of a quarter end at one time', () => {
  const times = [1500, 1900, 2000, 2499].map((delayMs) => refusalLeavesAtMs(40, delayMs));
  assert.deepEqual(new Set(times), new Set([2600]));
});

test('it never leaves before it is known', () => {
  for (const elapsedMs of [0, 650, 651, 5_000, 100_000]) {
    assert.ok(refusalLeavesAtMs(elapsedMs, 0) >= elapsedMs);
  }
});

test('a name without an account is refused when the last account was', () => {
  const pace = new CommandPace();
  assert.equal(pace.usualMs, pace.leavesAtMs(3));
  for (const elapsedMs of [120, 199, 20, 5000]) {
    const leavesAtMs = pace.leavesAtMs(elapsedMs);
    assert.ok(leavesAtMs >= elapsedMs);
    assert.equal(pace.usualMs, leavesAtMs);
  }
});
