/**
 * Memory of connections that do nothing but hold a tunnel open, over all processes of a server: one
 * direct-tcpip channel each, to a service that says nothing. Runs in: test, in the lab.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import ssh2, { type Client } from 'ssh2';
import { eventually } from '../../support/child.ts';
import { serverKind, type TestServer } from '../../support/server.ts';
import { type Service, startService } from '../../support/tunnel.ts';
import { type Bench, type Figure, pssKilobytes } from '../bench.ts';

export const tunnels: Figure = { name: 'tunnels', startsServers: true, run: benchTunnels };

const atOnce = 8;

function openTunnel(
  bench: Bench,
  server: TestServer,
  privateKey: Buffer,
  port: number,
): Promise<Client> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    client.on('error', reject);
    client.on('ready', () =>
      client.forwardOut('127.0.0.1', 1, '127.0.0.1', port, (error) =>
        error === undefined ? resolve(client) : reject(error),
      ),
    );
    client.connect({
      host: '127.0.0.1',
      port: server.port,
      username: bench.user,
      privateKey,
      readyTimeout: 60_000,
    });
  });
}

/** Kilobytes for each. */
async function growth(bench: Bench, server: TestServer, service: Service): Promise<number> {
  const privateKey = readFileSync(bench.key.file);
  for (let index = 0; index < 3; index++) {
    await bench.timed(server, [], 'true');
  }
  await delay(500);
  const before = pssKilobytes(server);
  const clients: Client[] = [];
  try {
    let left = bench.tunnels;
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (left-- > 0) {
          clients.push(await openTunnel(bench, server, privateKey, service.port));
        }
      }),
    );
    await delay(1500);
    if (service.sockets.size !== bench.tunnels) {
      throw new Error(`${server.kind}: ${service.sockets.size} tunnels are open`);
    }
    return (pssKilobytes(server) - before) / bench.tunnels;
  } finally {
    for (const client of clients) {
      client.on('error', () => {}); // resets at the end of the server are of no interest
      client.destroy();
    }
  }
}

async function benchTunnels(bench: Bench): Promise<void> {
  await using service = await startService({}, (socket) => {
    socket.on('end', () => socket.end()).resume();
  });
  const results: [number[], number[]] = [[], []];
  // A fresh daemon, and one round: that many of sshd's processes take their time.
  for (const [which, kind] of [serverKind, 'sshd' as const].entries()) {
    const server = await bench.start(kind);
    try {
      results[which as 0 | 1].push(await growth(bench, server, service));
    } finally {
      await server.stop();
    }
    await eventually('the end of every tunnel', () => service.sockets.size === 0);
  }
  bench.record(`one of ${bench.tunnels} idle tunnels, PSS`, 'kB', '< 0.2', ...results);
}
