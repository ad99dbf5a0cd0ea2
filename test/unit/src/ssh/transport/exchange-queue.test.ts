import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ExchangeQueue,
  startCompression,
} from '../../../../../src/ssh/transport/exchange-queue.ts';
import { limits } from '../../../../../src/ssh/transport/limits.ts';

test('payloads come out in order, the start of compression in its place', () => {
  const queue = new ExchangeQueue();
  const [a, b] = [Buffer.from('a'), Buffer.from('b')];
  assert.ok(queue.push(a) && queue.push(startCompression) && queue.push(b));
  assert.equal(queue.bytes, 2 + 2 * limits.queuedEntryBytes);
  assert.deepEqual(queue.take(), [a, startCompression, b]);
  assert.equal(queue.bytes, 0);
  assert.deepEqual(queue.take(), []);
});

test('it is bounded by bytes, small payloads counted with what an entry costs', () => {
  for (const size of [1, 32_768]) {
    const queue = new ExchangeQueue();
    const payload = Buffer.alloc(size);
    let count = 0;
    while (queue.push(payload)) {
      count++;
    }
    assert.ok(count * size <= limits.queuedBytes);
    assert.ok(count <= limits.queuedBytes / limits.queuedEntryBytes);
    assert.equal(queue.take().length, count);
  }
});
