/**
 * One byte there and back, alone and beside a transfer that takes all it can get, on another
 * connection of the same worker. Runs in: test, in the lab.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { serverKind, type TestServer } from '../../support/server.ts';
import { sshArguments } from '../../support/stock-client.ts';
import { type Bench, ended, type Figure, quantile } from '../bench.ts';

export const echo: Figure = { name: 'echo', startsServers: true, run: benchEcho };

const echoes = 1500;
const wantedP99Ms = 2;
type Client = ChildProcessByStdio<Writable, Readable, null>;

function echoClient(bench: Bench, server: TestServer): Client {
  const options = { key: bench.key, user: bench.user };
  return spawn('ssh', sshArguments(server, options, 'cat'), { stdio: ['pipe', 'pipe', 'inherit'] });
}

/** Milliseconds of each; a pause between them, as between keys. */
async function measure({ stdin, stdout }: Client, pauseMs: number): Promise<number[]> {
  const samples: number[] = [];
  const byte = Buffer.from('x');
  for (let count = 0; count < echoes; count++) {
    const began = performance.now();
    const back = new Promise((resolve) => stdout.once('data', resolve));
    stdin.write(byte);
    await back;
    samples.push(performance.now() - began);
    if (pauseMs > 0) {
      await delay(pauseMs);
    }
  }
  return samples;
}

async function beside(
  bench: Bench,
  server: TestServer,
  direction: 'down' | 'up',
  run: () => Promise<number[]>,
): Promise<number[]> {
  const zero = openSync('/dev/zero', 'r');
  const nothing = openSync('/dev/null', 'r+');
  const options = { key: bench.key, user: bench.user };
  const command = direction === 'down' ? 'cat /dev/zero' : 'cat > /dev/null';
  const transfer = spawn('ssh', sshArguments(server, options, command), {
    stdio: [direction === 'down' ? nothing : zero, nothing, 'inherit'],
  });
  closeSync(zero);
  closeSync(nothing);
  const over = ended(transfer);
  try {
    await delay(1000);
    return await run();
  } finally {
    transfer.kill('SIGKILL');
    await over;
  }
}

async function benchEcho(bench: Bench): Promise<void> {
  const ours = await bench.start(serverKind);
  const sshd = await bench.start('sshd');
  const clients = new Map<TestServer, Client>();
  const idlers: ChildProcess[] = [];
  for (const server of [ours, sshd]) {
    clients.set(server, echoClient(bench, server));
    await server.logged(/Accepted publickey/);
    // A connection goes to the worker with the fewest: with this one between them the transfer gets
    // the same as the echo.
    const options = { key: bench.key, user: bench.user, args: ['-N'] };
    idlers.push(spawn('ssh', sshArguments(server, options), { stdio: 'ignore' }));
    await server.logged(/(Accepted publickey[^]*){2}/);
  }
  const clientOf = (server: TestServer): Client => clients.get(server) as Client;
  try {
    for (const server of [ours, sshd]) {
      await measure(clientOf(server), 0);
    }
    const alone = new Map<TestServer, number[]>();
    const medians = await bench.alternate(ours, sshd, async (server) => {
      alone.set(server, await measure(clientOf(server), 0));
      return quantile(alone.get(server) ?? [], 0.5);
    });
    bench.record('echo of 1 byte, p50', 'ms', '≤ 1.3', ...medians);
    for (const direction of ['down', 'up'] as const) {
      const slowest = await bench.alternate(ours, sshd, async (server) => {
        const run = () => measure(clientOf(server), 1);
        return quantile(await beside(bench, server, direction, run), 0.99);
      });
      const name = `echo of 1 byte, p99 beside a transfer ${direction}`;
      bench.record(name, 'ms', `≤ ${wantedP99Ms} ms`, ...slowest);
    }
  } finally {
    for (const client of [...clients.values(), ...idlers]) {
      client.kill('SIGKILL');
    }
    await ours.stop();
    await sshd.stop();
  }
}
