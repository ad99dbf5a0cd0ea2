/**
 * Somebody types beside transfers that take all they can get, in the same worker. The bounds
 * are a person's, so that a loaded machine does not break them: how much one source may send in a
 * turn is shown by `test/unit/src/ssh/connection/pump.test.ts`. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { makeRawKey, payload, RawSsh, str, u32, yes } from '../support/raw-ssh.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { spawnClient, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
const echoes = 100;
/** A connection goes to the worker that has the fewest: each of the two has as many. */
const transfers = 4;
/** Without turns a full pipe alone holds a worker for tens of milliseconds, and its queue for more. */
const medianMs = 50;
const mostMs = 250;

describe('an echo beside transfers', lab, () => {
  let server: TestServer;
  let key: TestKey;
  const rawKey = makeRawKey();
  const clients: ChildProcess[] = [];

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line, rawKey.line] });
    writeFileSync('/tmp/workers', 'Workers 2\n');
    server = await startServer({ flags: ['--desktop-config', '/tmp/workers'] });
  });
  after(async () => {
    for (const client of clients) {
      client.kill('SIGKILL');
    }
    await server?.stop();
  });

  /** Milliseconds of each echo, the quickest first. */
  async function typed(): Promise<readonly number[]> {
    const client = await RawSsh.loggedIn(server.port, 'alice', rawKey);
    const channel = await client.openSession();
    client.send(payload(98, u32(channel), str('exec'), yes, str('cat')));
    await client.nextOf(99);
    const times: number[] = [];
    for (let count = 0; count < echoes; count++) {
      const began = performance.now();
      client.send(payload(94, u32(channel), str('x')));
      await client.nextOf(94);
      times.push(performance.now() - began);
    }
    client.socket.destroy();
    return times.sort((a, b) => a - b);
  }

  for (const direction of ['down', 'up'] as const) {
    test(`transfers ${direction}`, { timeout: 60_000 }, async () => {
      const command = direction === 'down' ? 'cat /dev/zero' : 'cat >/dev/null';
      const moved = Array.from({ length: transfers }, () => {
        const client = spawnClient('ssh', sshArguments(server, { user: 'alice', key }, command));
        clients.push(client);
        let bytes = 0;
        client.stdout.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        client.stdin.on('error', () => {}); // killed at the end
        if (direction === 'up') {
          const chunk = Buffer.alloc(256 * 1024);
          const push = (): void => {
            let hasRoom = client.stdin.writable;
            while (hasRoom) {
              hasRoom = client.stdin.write(chunk);
              bytes += chunk.length;
            }
          };
          client.stdin.on('drain', push);
          push();
        }
        return { client, bytes: () => bytes };
      });
      while (moved.some(({ bytes }) => bytes() < 8 * 1024 * 1024)) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const before = moved.map(({ bytes }) => bytes());
      const times = await typed();
      for (const [index, { bytes, client }] of moved.entries()) {
        assert.ok(bytes() > (before[index] as number), 'a transfer stood still');
        client.kill('SIGKILL');
      }
      const median = times[echoes >> 1] as number;
      const most = times[Math.floor(echoes * 0.9)] as number;
      assert.ok(median <= medianMs && most <= mostMs, `median ${median} ms, p90 ${most} ms`);
    });
  }
});
