import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewerHolds } from '../../../../src/broker/viewer-holds.ts';

function setUp() {
  const done: string[] = [];
  const troubles: unknown[] = [];
  let next = 100;
  const port = {
    duplicate: (descriptor: number) => {
      if (descriptor < 0) {
        throw new Error('no room');
      }
      done.push(`duplicate ${descriptor} as ${next}`);
      return next++;
    },
    shutdown: (descriptor: number) => {
      done.push(`shutdown ${descriptor}`);
      if (descriptor === 101) {
        throw new Error('gone already');
      }
    },
    close: (descriptor: number) => void done.push(`close ${descriptor}`),
  };
  return { holds: new ViewerHolds(port, (error) => troubles.push(error)), done, troubles };
}

test('a viewer that is over is shut down by the copy, once', () => {
  const { holds, done } = setUp();
  holds.hold(1, 7, 'A', 20);
  assert.deepEqual(holds.of(1), [{ viewer: 7, id: 'A' }]);
  holds.end(1, 7);
  holds.end(1, 7);
  assert.deepEqual(done, ['duplicate 20 as 100', 'shutdown 100', 'close 100']);
  assert.deepEqual(holds.of(1), []);
});

test('a number of another connection ends nothing', () => {
  const { holds, done } = setUp();
  holds.hold(1, 7, 'A', 20);
  holds.end(2, 7);
  holds.end(1, 8);
  assert.equal(done.length, 1);
});

test('a connection that is over takes all of its own, though one has gone already', () => {
  const { holds, done, troubles } = setUp();
  holds.hold(1, 7, 'A', 20);
  holds.hold(1, 8, 'B', 21);
  holds.hold(2, 9, 'A', 22);
  holds.endAll(1);
  assert.deepEqual(done.slice(3), ['shutdown 100', 'close 100', 'shutdown 101', 'close 101']);
  assert.equal(troubles.length, 1);
  assert.deepEqual(holds.of(2), [{ viewer: 9, id: 'A' }]);
});

test('what cannot be held is not remembered', () => {
  const { holds } = setUp();
  assert.throws(() => holds.hold(1, 7, 'A', -1), /no room/);
  assert.deepEqual(holds.of(1), []);
});
