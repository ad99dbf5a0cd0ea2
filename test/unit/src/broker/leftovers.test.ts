import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, test } from 'node:test';
import { processLeftovers } from '../../../../src/broker/leftovers.ts';

let child: ReturnType<typeof spawn>;
const path = `/nowhere/${process.pid}/Xauthority`;
const uid = process.getuid?.() ?? 0;

beforeEach(async () => {
  child = spawn('sleep', ['60'], { env: { XAUTHORITY: path } });
  await once(child, 'spawn');
});
afterEach(() => child.kill('SIGKILL'));

test('a process is found by the exact path in its environment', async () => {
  assert.deepEqual(await processLeftovers.find(uid, path), [child.pid]);
  assert.deepEqual(await processLeftovers.find(uid, `${path}x`), []);
  assert.deepEqual(await processLeftovers.find(uid + 1, path), []);
});

test("a pid that is another uid's by now gets no signal", async () => {
  processLeftovers.kill(child.pid as number, uid + 1, 'SIGKILL');
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(child.signalCode, null);
  processLeftovers.kill(child.pid as number, uid, 'SIGKILL');
  await once(child, 'exit');
  processLeftovers.kill(child.pid as number, uid, 'SIGKILL');
});
