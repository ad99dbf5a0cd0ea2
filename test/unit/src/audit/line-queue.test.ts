/** Lines wait for a log, nobody else does. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { LineQueue, maxQueuedLines } from '../../../../src/audit/line-queue.ts';

function made(): {
  readonly queue: LineQueue;
  readonly log: { isOpen: boolean; pieceBytes: number; text: string; tries: number };
} {
  const log = { isOpen: true, pieceBytes: 1000, text: '', tries: 0 };
  const queue = new LineQueue({
    write(line, from) {
      log.tries++;
      if (!log.isOpen) {
        return undefined;
      }
      const piece = line.subarray(from, from + log.pieceBytes);
      log.text += piece.toString();
      return piece.length;
    },
    tellDropped: (count) => Buffer.from(`(${count})`),
  });
  return { queue, log };
}

test('a line goes at once, in pieces where it must', () => {
  const { queue, log } = made();
  log.pieceBytes = 2;
  queue.push(Buffer.from('one.'));
  queue.push(Buffer.from('three'));
  assert.equal(log.text, 'one.three');
});

test('what a log does not take comes later, in order, and the rest is counted', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { queue, log } = made();
  log.isOpen = false;
  for (let at = 0; at < maxQueuedLines + 3; at++) {
    queue.push(Buffer.from(`${at},`));
  }
  assert.equal(log.tries, 1, 'one try for all that wait');
  log.isOpen = true;
  context.mock.timers.tick(20);
  const kept = Array.from({ length: maxQueuedLines }, (_value, at) => `${at},`).join('');
  assert.equal(log.text, `${kept}(3)`);
  queue.push(Buffer.from('next'));
  assert.ok(log.text.endsWith('(3)next'));
});

test('a log that stays away is tried ever less often, up to once a second', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { queue, log } = made();
  log.isOpen = false;
  queue.push(Buffer.from('x'));
  for (let elapsedMs = 0; elapsedMs < 60_000; elapsedMs += 10) {
    context.mock.timers.tick(10);
  }
  assert.ok(log.tries > 55 && log.tries < 75, `${log.tries} tries in a minute`);
  mock.reset();
});

test('the end of the process waits a little, and only that', () => {
  const { queue, log } = made();
  log.isOpen = false;
  queue.push(Buffer.from('x'));
  const began = performance.now();
  queue.flush();
  assert.ok(performance.now() - began < 1000);
  assert.equal(log.text, '');
  log.isOpen = true;
  queue.flush();
  assert.equal(log.text, 'x');
});
