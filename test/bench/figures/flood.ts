/**
 * Connections that are never used, as fast as one process can make them, against the usual
 * MaxStartups: how many are dealt with in a second, what a user who is logged in feels of it (an echo),
 * and whether others still get in. Runs in: test, in the lab.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { makeRawKey, payload, RawSsh, str, u32, yes } from '../../support/raw-ssh.ts';
import { makeUser } from '../../support/lab.ts';
import { serverKind, startServer, type TestServer } from '../../support/server.ts';
import { type Bench, type Figure, quantile } from '../bench.ts';

export const flood: Figure = { name: 'flood', startsServers: true, run: benchFlood };

const floodMs = 4_000;
/** Connections that are open at a time on the side of the attacker. */
const atOnce = 200;
const echoPauseMs = 5;
const wantedP99Ms = 50;
const user = 'flooded';

interface Outcome {
  readonly perSecond: number;
  readonly p99Ms: number;
}

/** Dealt with: let in and greeted, or turned away. Those let in are left half-open until the end. */
async function attack(port: number, untilMs: number): Promise<number> {
  let dealtWith = 0;
  const halfOpen: Socket[] = [];
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1');
      let isKept = false;
      socket.on('error', () => undefined);
      socket.once('data', (bytes: Buffer) => {
        if (bytes.toString('latin1').startsWith('SSH-')) {
          isKept = true;
          halfOpen.push(socket);
          dealtWith++;
          resolve();
        }
      });
      socket.once('close', () => {
        if (!isKept) {
          dealtWith++;
          resolve();
        }
      });
    });
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (performance.now() < untilMs) {
        await one();
      }
    }),
  );
  for (const socket of halfOpen) {
    socket.destroy();
  }
  return dealtWith;
}

async function echoes(client: RawSsh, channel: number, untilMs: number): Promise<number[]> {
  const samples: number[] = [];
  while (performance.now() < untilMs) {
    const began = performance.now();
    client.send(payload(94, u32(channel), str('x')));
    await client.nextOf(94);
    samples.push(performance.now() - began);
    await delay(echoPauseMs);
  }
  return samples;
}

async function run(server: TestServer, client: RawSsh, channel: number): Promise<Outcome> {
  const untilMs = performance.now() + floodMs;
  const [dealtWith, samples] = await Promise.all([
    attack(server.port, untilMs),
    echoes(client, channel, untilMs),
  ]);
  // The next sample begins with free places.
  await RawSsh.shaken(server.port)
    .then((one) => one.close())
    .catch(() => delay(500));
  return { perSecond: dealtWith / (floodMs / 1000), p99Ms: quantile(samples, 0.99) };
}

async function benchFlood(bench: Bench): Promise<void> {
  const key = makeRawKey();
  makeUser(user, { authorizedKeys: [key.line] });
  const config = ['UsePAM yes', 'KbdInteractiveAuthentication no', 'MaxStartups 10:30:100'];
  const [ours, sshd] = [
    await startServer({ kind: serverKind, config, hostKeys: ['ed25519'] }),
    await startServer({ kind: 'sshd', config, hostKeys: ['ed25519'] }),
  ];
  const clients = new Map<TestServer, readonly [RawSsh, number]>();
  try {
    for (const server of [ours, sshd]) {
      const client = await RawSsh.loggedIn(server.port, user, key);
      const channel = await client.openSession(3);
      client.send(payload(98, u32(channel), str('exec'), yes, str('cat')));
      await client.nextOf(99);
      clients.set(server, [client, channel]);
    }
    const slowest = new Map<TestServer, number[]>([
      [ours, []],
      [sshd, []],
    ]);
    const rates = await bench.alternate(ours, sshd, async (server) => {
      const [client, channel] = clients.get(server) as readonly [RawSsh, number];
      const { perSecond, p99Ms } = await run(server, client, channel);
      slowest.get(server)?.push(p99Ms);
      return perSecond;
    });
    bench.record('flood of half-open connections', '1/s', '≥ 1', ...rates);
    const name = 'echo of 1 byte, p99 during the flood';
    const [echoOurs = [], echoSshd = []] = [slowest.get(ours), slowest.get(sshd)];
    bench.record(name, 'ms', `≤ ${wantedP99Ms} ms`, echoOurs, echoSshd);
  } finally {
    for (const [client] of clients.values()) {
      client.close();
    }
    await ours.stop();
    await sshd.stop();
  }
}
