import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Inactivity } from '../../../../../src/ssh/connection/inactivity.ts';

function watched(number: number, timeoutType: string) {
  const channel = { number, timeoutType, activity: 0, aborted: 0, abort: () => {} };
  channel.abort = () => void channel.aborted++;
  return channel;
}

function made(channels: string, unusedSeconds: number, open: ReturnType<typeof watched>[]) {
  const state = { nowMs: 0, unused: 0 };
  const inactivity = new Inactivity({
    channels: channels.split(' ').map((text) => {
      const [pattern = '', seconds] = text.split('=');
      return { pattern, seconds: Number(seconds) };
    }),
    unusedSeconds,
    openChannels: () => open.filter(({ aborted }) => aborted === 0),
    isUnused: () => open.every(({ aborted }) => aborted > 0),
    onInactive: () => {},
    onUnused: () => state.unused++,
    nowMs: () => state.nowMs,
  });
  inactivity.stop(); // the test says when it looks
  return {
    state,
    at: (seconds: number) => {
      state.nowMs = seconds * 1000;
      inactivity.look();
    },
  };
}

test('the first pattern that matches counts, 0 is none, and what moves stays', () => {
  const shell = watched(0, 'session:shell');
  const moving = watched(1, 'direct-tcpip');
  const still = watched(2, 'direct-tcpip');
  const { at } = made('session:*=0 *=10', 0, [shell, moving, still]);
  for (let second = 0; second <= 30; second++) {
    moving.activity++;
    at(second);
    assert.equal(still.aborted > 0, second >= 10, `second ${second}`);
  }
  assert.deepEqual([shell.aborted, moving.aborted], [0, 0]);
});

test('a session that begins to be something is judged by that from then on', () => {
  const session = watched(0, 'session');
  const { at } = made('session:shell=5', 0, [session]);
  at(0);
  at(20);
  session.timeoutType = 'session:shell';
  at(21);
  at(25);
  assert.equal(session.aborted, 0);
  at(26);
  assert.equal(session.aborted, 1);
});

test('global: any movement of any channel, a new one too, is for all', () => {
  const open = [watched(0, 'x11-connection')];
  const { at } = made('*=0 global=5', 0, open);
  at(0);
  at(4);
  open.push(watched(1, 'agent-connection'));
  at(4.5);
  at(9);
  assert.deepEqual(
    open.map(({ aborted }) => aborted),
    [0, 0],
  );
  at(9.5);
  assert.deepEqual(
    open.map(({ aborted }) => aborted),
    [1, 1],
  );
});

test('unused: counted from the login, and from the end of the last channel', () => {
  const open = [watched(0, 'session')];
  const { at, state } = made('x=1', 3, open);
  at(100);
  assert.equal(state.unused, 0);
  open.length = 0;
  at(102.9);
  assert.equal(state.unused, 0);
  at(103);
  assert.equal(state.unused, 1);
});
