import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Log } from '../../../../src/audit/log.ts';
import { SeqpacketLink, socketPair } from '../../../../src/base/link.native.ts';
import { closeDescriptor } from '../../../../src/base/socket.native.ts';
import * as link from '../../../../src/monitor/link.ts';
import { WorkerPool, type WorkerPoolSettings } from '../../../../src/process/worker-pool.ts';
import type { Zygote } from '../../../../src/process/zygote.ts';
import { Peer } from '../../../../src/ssh/wire/peer.ts';

/** Starts "workers" that are ready at once, or (from the second on) die before they are. */
function poolOf() {
  const killed: number[] = [];
  const peers: Peer[] = [];
  let started = 0;
  const zygote = {
    async startWorker() {
      const pid = ++started;
      const [ours, theirs] = socketPair();
      if (pid === 1) {
        const peer = new Peer(new SeqpacketLink(theirs), { closeDescriptor });
        peer.onNotice(link.Settings, () => {
          peer.notify(link.Ready, { skipped: [] });
          peer.notify(link.Ready, { skipped: ['a forged line'] });
        });
        peers.push(peer);
      } else {
        closeDescriptor(theirs);
      }
      return { pid, skipped: [], peerDescriptor: ours };
    },
    async kill(pid: number) {
      killed.push(pid);
    },
  } as unknown as Zygote;
  const settings = { count: 1, connectionsPerWorker: 10 } as unknown as WorkerPoolSettings;
  const lines: string[] = [];
  const log = new Log({ write: (_level, _prefix, line) => void lines.push(line) }, 'INFO');
  let last = 0;
  const events = { nextNumber: () => ++last, serve: () => {}, died: () => {}, ready: () => {} };
  const pool = new WorkerPool(zygote, settings, events, log);
  return { pool, peers, killed, lines, startedCount: () => started };
}

test('a worker that dies before it is ready is replaced by one, and killed', async () => {
  const { pool, peers, killed, lines, startedCount } = poolOf();
  await pool.start();
  // Gone as soon as it was ready: the next is started after a second, dies, and so on.
  peers[0]?.close();
  await delay(3500);
  pool.drainAll();
  assert.ok(startedCount() >= 3 && startedCount() <= 5, `${startedCount()} were started`);
  assert.equal(killed.includes(1), true);
  assert.equal(lines.filter((line) => line.includes('forged')).length, 0);
  await delay(1100);
});
