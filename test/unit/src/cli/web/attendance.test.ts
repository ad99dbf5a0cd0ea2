/** How long the client waits for a page, and for one that may come back. Runs in: test. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Attendance } from '../../../../../src/cli/web/attendance.ts';

async function outcome(attendance: Attendance): Promise<string> {
  return Promise.race([
    attendance.over,
    new Promise<string>((resolve) => setImmediate(resolve, '-')),
  ]);
}

test('nobody comes; somebody leaves; a reload is no leaving', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const nobody = new Attendance({ firstMs: 100, returnMs: 10 });
    mock.timers.tick(100);
    assert.equal(await outcome(nobody), 'never-came');

    const page = new Attendance({ firstMs: 100, returnMs: 10 });
    page.arrive();
    mock.timers.tick(1000);
    assert.equal(await outcome(page), '-');
    page.leave();
    mock.timers.tick(9);
    page.arrive();
    mock.timers.tick(1000);
    assert.equal(await outcome(page), '-', 'it came back in time');
    // The page that a reload replaces may go after the new one has come.
    page.arrive();
    page.leave();
    mock.timers.tick(1000);
    assert.equal(await outcome(page), '-', 'one is there');
    page.leave();
    mock.timers.tick(10);
    assert.equal(await outcome(page), 'left');

    const ended = new Attendance({ firstMs: 100, returnMs: 10 });
    ended.arrive();
    ended.stop();
    ended.leave();
    mock.timers.tick(1000);
    assert.equal(await outcome(ended), '-');
  } finally {
    mock.timers.reset();
  }
});
