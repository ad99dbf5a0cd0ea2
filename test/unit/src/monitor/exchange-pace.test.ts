import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExchangePace } from '../../../../src/monitor/exchange-pace.ts';

test('a connection that goes on as it should never waits', () => {
  const pace = new ExchangePace();
  for (let second = 0; second < 3600; second++) {
    for (let count = 0; count < 20; count++) {
      assert.equal(pace.take(second * 1000 + count * 50, true), 0);
    }
  }
});

test('one that exchanges keys without end is held to a pace, and recovers', () => {
  const pace = new ExchangePace();
  let nowMs = 0;
  let signed = 0;
  for (; nowMs < 60_000; signed++) {
    const waitMs = pace.take(nowMs, true);
    assert.notEqual(waitMs, undefined);
    nowMs += waitMs ?? 0;
  }
  assert.ok(signed >= 60 * 50 && signed <= 60 * 50 + 101, String(signed));
  assert.equal(pace.take(nowMs + 10_000, true), 0);
});

test('before a login there are few', () => {
  const pace = new ExchangePace();
  const answers = Array.from({ length: 40 }, (_, index) => pace.take(index * 10_000, false));
  assert.equal(answers.filter((wait) => wait === 0).length, 32);
  assert.equal(answers.at(-1), undefined);
  assert.equal(pace.take(1_000_000, true), 0, 'a login after all');
});
