import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentConnections } from '../../../../src/base/limits.ts';
import { AgentHolds } from '../../../../src/broker/agent-holds.ts';

function setUp() {
  const done: string[] = [];
  let next = 100;
  const port = {
    duplicate: (descriptor: number) => {
      if (descriptor < 0) {
        throw new Error('no room');
      }
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
  const client = {
    uid: 1001,
    give: (socket: number, descriptor: number) => void done.push(`give ${socket} ${descriptor}`),
  };
  const troubles: unknown[] = [];
  const holds = new AgentHolds(port, (error) => troubles.push(error));
  const give = (connection: number, descriptor: number) =>
    holds.give(connection, client, descriptor, () => done.push(`over ${descriptor}`));
  return { holds, give, done, troubles };
}

test('what a worker says is over is shut down by the copy, once, and told', () => {
  const { holds, give, done } = setUp();
  give(1, 20);
  holds.ended(1, 1);
  holds.ended(1, 1);
  holds.endAll(1);
  assert.deepEqual(done, ['give 1 20', 'shutdown 100', 'close 100', 'over 20']);
});

test('a worker’s word about a connection that is not the socket’s counts for nothing', () => {
  const { holds, give, done } = setUp();
  give(1, 20);
  holds.ended(2, 1);
  holds.ended(1, 7);
  assert.deepEqual(done, ['give 1 20']);
});

test('whoever ends it himself is not told of the end', () => {
  const { holds, give, done } = setUp();
  const end = give(1, 20);
  end();
  end();
  holds.ended(1, 1);
  assert.deepEqual(done, ['give 1 20', 'shutdown 100', 'close 100']);
});

test('with its connection everything of it ends, and nothing of others; a copy that is dead is closed', () => {
  const { holds, give, done, troubles } = setUp();
  give(1, 20);
  give(1, 21);
  give(2, 22);
  done.length = 0;
  holds.endAll(1);
  assert.deepEqual(done, [
    ...['shutdown 100', 'close 100', 'over 20'],
    ...['shutdown 101', 'close 101', 'over 21'],
  ]);
  assert.equal(troubles.length, 1);
});

test('what cannot be held is given to nobody, nor more than a connection may have', () => {
  const { give, done } = setUp();
  assert.throws(() => give(1, -1), /no room/);
  for (let i = 0; i < agentConnections; i++) {
    give(1, 20);
  }
  done.length = 0;
  assert.throws(() => give(1, 30), /256 of this connection are open already/);
  give(2, 31);
  assert.deepEqual(done, ['close 30', `give ${agentConnections + 1} 31`]);
});
