import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DesktopState,
  desktopStates,
  drawDesktopStates,
  nextState,
} from '../../../../src/broker/states.ts';

test('the table leads from starting to ended or failed, and nowhere else', () => {
  const reached = new Set<string>(['starting']);
  for (const state of reached) {
    for (const next of Object.values(desktopStates[state as DesktopState])) {
      reached.add(next);
    }
  }
  assert.deepEqual([...reached].sort(), Object.keys(desktopStates).sort());
  assert.deepEqual(Object.values(desktopStates.ended), []);
  assert.deepEqual(Object.values(desktopStates.failed), []);
});

test('an event that is not in the row changes nothing', () => {
  assert.equal(nextState('ended', 'attach'), undefined);
  assert.equal(nextState('starting', 'attach'), undefined);
  assert.equal(nextState('detached', 'attach'), 'running');
});

test('the drawing has one line for each transition', () => {
  const lines = drawDesktopStates().trim().split('\n').slice(2);
  const count = Object.values(desktopStates).flatMap((row) => Object.keys(row)).length;
  assert.equal(lines.length, count);
  assert.ok(lines.includes('| running | last viewer left | detached |'));
});
