import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { actionFor, type Phase } from '../../../../../src/ssh/transport/phase.ts';

const closed: readonly Phase[] = ['negotiating', 'exchanging', 'signing', 'confirming'];

function allowed(phase: Phase): number[] {
  const numbers: number[] = [];
  for (let number = 0; number < 256; number++) {
    const action = actionFor(phase, number);
    if (action !== undefined && action !== 'deliver-if-authenticated') {
      numbers.push(number);
    }
  }
  return numbers;
}

describe('what each phase lets through', () => {
  test('before keys are in use: DISCONNECT, the harmless, and the one message that is next', () => {
    assert.deepEqual(allowed('negotiating'), [1, 2, 3, 4, 20]);
    assert.deepEqual(allowed('exchanging'), [1, 2, 3, 4, 30]);
    assert.deepEqual(allowed('signing'), [1, 2, 3, 4]);
    assert.deepEqual(allowed('confirming'), [1, 2, 3, 4, 21]);
  });
  test('in an exchange the layers above are heard of an authenticated peer only', () => {
    for (const phase of closed) {
      const heard = phase === 'negotiating' ? undefined : 'deliver-if-authenticated';
      for (const number of [5, 6, 50, 80, 94, 255]) {
        assert.equal(actionFor(phase, number), heard);
      }
    }
  });
  test('nothing of userauth or connection is delivered before keys are in use', () => {
    for (const phase of closed) {
      for (let number = 0; number < 256; number++) {
        assert.notEqual(actionFor(phase, number), 'deliver');
      }
    }
  });
  test('with keys in use only 0, NEWKEYS and key exchange methods are refused', () => {
    const refused = Array.from({ length: 256 }, (_, number) => number).filter(
      (number) => actionFor('open', number) === undefined,
    );
    assert.deepEqual(refused, [0, ...Array.from({ length: 29 }, (_, i) => 21 + i)]);
    assert.equal(actionFor('open', 8), 'unimplemented');
    assert.equal(actionFor('open', 94), 'deliver');
    assert.equal(actionFor('open', 5), 'deliver');
    assert.equal(actionFor('open', 192), 'pong');
  });
});
