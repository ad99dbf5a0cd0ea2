/** When a client is asked whether it is there, and when it is given up. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Keepalive } from '../../../../../src/ssh/connection/keepalive.ts';

interface Watched {
  readonly keepalive: Keepalive;
  readonly events: string[];
  pass(ms: number): void;
}

function watch(t: { after(clean: () => void): void }, countMax: number): Watched {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 });
  const events: string[] = [];
  const keepalive = new Keepalive({
    intervalMs: 1000,
    countMax,
    ask: () => events.push(`ask ${Date.now()}`),
    onSilent: () => events.push(`silent ${Date.now()}`),
    nowMs: () => Date.now(),
  });
  t.after(() => {
    keepalive.stop();
    mock.timers.reset();
  });
  return { keepalive, events, pass: (ms) => mock.timers.tick(ms) };
}

test('a client that says nothing is asked after each interval, and given up after the last', (t) => {
  const { events, pass } = watch(t, 3);
  for (let step = 0; step < 60; step++) {
    pass(100);
  }
  assert.deepEqual(events, ['ask 1000', 'ask 2000', 'ask 3000', 'silent 4000']);
});

test('whatever it says puts everything off by an interval', (t) => {
  const { keepalive, events, pass } = watch(t, 1);
  pass(900);
  keepalive.heard();
  pass(900);
  assert.deepEqual(events, []);
  pass(100);
  assert.deepEqual(events, ['ask 1900']);
  keepalive.heard();
  pass(1000);
  assert.deepEqual(events, ['ask 1900', 'ask 2900']);
  pass(1000);
  assert.deepEqual(events, ['ask 1900', 'ask 2900', 'silent 3900']);
});

test('a count of 0 asks for ever', (t) => {
  const { events, pass } = watch(t, 0);
  for (let step = 0; step < 20; step++) {
    pass(1000);
  }
  assert.equal(events.length, 20);
  assert.ok(events.every((event) => event.startsWith('ask')));
});

test('once stopped it is silent itself', (t) => {
  const { keepalive, events, pass } = watch(t, 1);
  keepalive.stop();
  pass(10_000);
  assert.deepEqual(events, []);
});
