import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Log } from '../../../../src/audit/log.ts';
import type { Desktop, Opener } from '../../../../src/broker/desktop.ts';
import { DesktopAgent } from '../../../../src/broker/desktop-agent.ts';
import { closeDescriptor } from '../../../../src/base/socket.native.ts';
import { FakeLeader } from '../../../support/fake-leader.ts';

function setUp() {
  const leader = new FakeLeader('alice');
  const done: string[] = [];
  const overs: (() => void)[] = [];
  const viewers = new Map<number, Opener>();
  const desktop = { record: { id: 'A', uid: 1001 }, viewers } as unknown as Desktop;
  const agent = new DesktopAgent(desktop, leader, new Log({ write: () => {} }, 'DEBUG3'));
  agent.begin();
  leader.orders.length = 0;
  const opener = (connection: number, uid: number | undefined): Opener => ({
    connection,
    from: '192.0.2.1',
    isGone: () => false,
    given: () => {},
    viewerEnd: () => {},
    viewerWarning: () => {},
    agentFor: (asked) =>
      asked !== uid
        ? undefined
        : (descriptor, over) => {
            closeDescriptor(descriptor);
            done.push(`to ${connection}`);
            overs.push(over);
            return () => done.push(`end ${connection}`);
          },
  });
  const wanted = async (socket: number): Promise<void> => {
    leader.onAgentWanted(socket);
    await turn();
  };
  return { leader, agent, viewers, opener, wanted, done, overs };
}

test('without anybody it is refused, and not taken', async () => {
  const { leader, viewers, opener, wanted } = setUp();
  await wanted(1);
  viewers.set(1, opener(7, undefined));
  await wanted(2);
  assert.deepEqual(leader.orders, ['agent-done 1', 'agent-done 2']);
});

test('an agent of another uid serves nobody', async () => {
  const { leader, viewers, opener, wanted } = setUp();
  viewers.set(1, opener(7, 1002));
  await wanted(1);
  assert.deepEqual(leader.orders, ['agent-done 1']);
});

test('who came last serves; one who is about to go does not', async () => {
  const { leader, viewers, opener, wanted, done } = setUp();
  viewers.set(1, opener(7, 1001));
  viewers.set(2, opener(8, 1001));
  viewers.set(3, opener(9, undefined));
  await wanted(1);
  viewers.set(2, { ...opener(8, 1001), isGone: () => true });
  await wanted(2);
  assert.deepEqual(done, ['to 8', 'to 7']);
  assert.deepEqual(leader.orders, ['agent-take 1', 'agent-take 2']);
});

test('who goes while it is on its way has it not', async () => {
  const { leader, viewers, opener, done } = setUp();
  viewers.set(1, opener(7, 1001));
  leader.agentTake = async () => {
    viewers.clear();
    return openSync('/dev/null', 'r');
  };
  leader.onAgentWanted(1);
  await turn();
  assert.deepEqual([done, leader.orders], [[], ['agent-done 1']]);
});

test('it ends with the last viewer of its connection, or is over before', async () => {
  const { leader, agent, viewers, opener, wanted, done, overs } = setUp();
  viewers.set(1, opener(7, 1001));
  viewers.set(2, opener(7, 1001));
  await wanted(1);
  await wanted(2);
  leader.orders.length = 0;
  viewers.delete(2);
  agent.viewersLeft();
  assert.deepEqual(leader.orders, []);
  overs[0]?.();
  assert.deepEqual(leader.orders, ['agent-done 1']);
  viewers.delete(1);
  agent.viewersLeft();
  agent.viewersLeft();
  assert.deepEqual(done, ['to 7', 'to 7', 'end 7']);
  assert.deepEqual(leader.orders, ['agent-done 1', 'agent-done 2']);
});

test('a leader that knows of no agent, or gives none, troubles nobody', async () => {
  const { leader, agent, viewers, opener, done } = setUp();
  leader.agentWatch = () => Promise.reject(new Error('ENOSYS'));
  leader.agentTake = () => Promise.reject(new Error('ENOENT'));
  agent.begin();
  viewers.set(1, opener(7, 1001));
  leader.onAgentWanted(1);
  await turn();
  assert.deepEqual([done, leader.orders], [[], []]);
});
