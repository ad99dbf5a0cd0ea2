import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByApplication, MacError } from '../../../../../src/base/errors.ts';
import { farewell } from '../../../../../src/ssh/transport/disconnect.ts';
import { Disconnect } from '../../../../../src/ssh/transport/messages.ts';

const texts = (error: unknown) => {
  const { reason, description } = Disconnect.decode(farewell(error).payload);
  return [reason, description.toString()];
};

test('our errors give their reason and the text that the peer may read, never the detail', () => {
  assert.deepEqual(texts(new MacError('secret detail')), [5, 'Corrupted MAC on input']);
  assert.deepEqual(texts(new ByApplication('Idle', 'secret', 11)), [11, 'Idle']);
  assert.equal(farewell(new MacError('x')).isBug, false);
});

test('anything else is a fault of ours: reason 2 and nothing of it', () => {
  for (const error of [new Error('/etc/shadow'), 'text', undefined, null, { reason: 7 }]) {
    assert.deepEqual(texts(error), [2, 'Protocol error']);
    assert.equal(farewell(error).isBug, true);
  }
});
