import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from '../../../../src/forwarding/turns.ts';

test('so many run at a time, the others in order', async () => {
  const turns = new Turns(2);
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const results = [0, 1, 2, 3].map((number) =>
    turns.run(
      () =>
        new Promise<number>((resolve) => {
          begun.push(number);
          ends.push(() => resolve(number));
        }),
      -1,
    ),
  );
  await Promise.resolve();
  assert.deepEqual(begun, [0, 1]);
  ends[1]?.();
  assert.equal(await results[1], 1);
  assert.deepEqual(begun, [0, 1, 2]);
  ends[0]?.();
  await results[0];
  ends[2]?.();
  ends[3]?.();
  assert.deepEqual(await Promise.all(results), [0, 1, 2, 3]);
});

test('one that fails gives its turn away', async () => {
  const turns = new Turns(1);
  const broken = turns.run(() => Promise.reject(new Error('broken')), 0);
  const next = turns.run(async () => 7, 0);
  await assert.rejects(broken, /broken/);
  assert.equal(await next, 7);
});

test('after the end nothing is begun, and those that wait are told', async () => {
  const turns = new Turns(1);
  const first = Promise.withResolvers<string>();
  const running = turns.run(() => first.promise, 'over');
  const waiting = Array.from({ length: 1000 }, () =>
    turns.run<string>(() => assert.fail('was begun'), 'over'),
  );
  turns.end();
  first.resolve('done');
  assert.equal(await running, 'done');
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(['over']));
  assert.equal(await turns.run<string>(() => assert.fail('was begun'), 'over'), 'over');
});
