/** Large transfers through forwarded ports, both kinds and both directions. Runs in: test, in the lab. */
import { connect, type Socket } from 'node:net';
import { eventually } from '../../support/child.ts';
import { freePort, type TestServer } from '../../support/server.ts';
import { type Service, startService, startTunnel } from '../../support/tunnel.ts';
import type { Bench, Figure } from '../bench.ts';

export const forward: Figure = { name: 'forward', startsServers: false, run: benchForward };

const bytes = 512 * 1024 * 1024;
const block = Buffer.alloc(256 * 1024, 'forward');
const take = Buffer.allocUnsafeSlow(256 * 1024);

function send(socket: Socket): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const chunk = left < block.length ? block.subarray(0, left) : block;
      left -= chunk.length;
      if (!socket.write(chunk)) {
        return;
      }
    }
    socket.off('drain', more);
    socket.end();
  };
  socket.on('drain', more);
  more();
}

/** The first byte says who sends: `d` the service, `u` whoever connected. */
function serve(socket: Socket): void {
  let received = 0;
  socket.on('data', (chunk: Buffer) => {
    if (received === 0 && chunk[0] === 'd'.charCodeAt(0)) {
      send(socket);
    }
    received += chunk.length;
  });
  socket.on('end', () => socket.end('.'));
}

/** MB/s */
function transfer(port: number, direction: 'd' | 'u'): Promise<number> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    let received = 0;
    const socket = connect({
      host: '127.0.0.1',
      port,
      allowHalfOpen: true,
      onread: {
        buffer: take,
        callback: (count) => {
          received += count;
          return true;
        },
      },
    });
    socket.on('error', reject);
    socket.on('end', () => {
      socket.destroy();
      const seconds = (performance.now() - began) / 1000;
      if (direction === 'd' && received !== bytes) {
        reject(new Error(`${received} bytes came of ${bytes}`));
      }
      resolve(bytes / 1e6 / seconds);
    });
    socket.write(direction);
    if (direction === 'u') {
      send(socket);
    }
  });
}

/** The port where what listens is forwarded to the service. */
async function open(
  bench: Bench,
  server: TestServer,
  kind: 'local' | 'remote',
  service: Service,
): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const target = `127.0.0.1:${service.port}`;
  const wanted = kind === 'local' ? await freePort() : 0;
  const tunnel = startTunnel(server, {
    key: bench.key,
    user: bench.user,
    args: ['-o', 'LogLevel=INFO', kind === 'local' ? '-L' : '-R', `${wanted}:${target}`],
  });
  const port = await eventually('a tunnel', async () => {
    const [, allocated] = /Allocated port (\d+)/.exec(tunnel.stderr) ?? [];
    const found = kind === 'local' ? (await isOpen(wanted)) && wanted : Number(allocated ?? 0);
    return found === 0 ? false : found;
  });
  return { port, stop: () => tunnel.stop() };
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function benchForward(bench: Bench, ours: TestServer, sshd: TestServer): Promise<void> {
  await using service = await startService({}, serve);
  for (const kind of ['local', 'remote'] as const) {
    const tunnels = new Map([
      [ours, await open(bench, ours, kind, service)],
      [sshd, await open(bench, sshd, kind, service)],
    ]);
    for (const direction of ['d', 'u'] as const) {
      // From the server's side of a local tunnel `d` is a download, of a remote one an upload.
      const isDown = (kind === 'local') === (direction === 'd');
      const samples = await bench.alternate(ours, sshd, (server) =>
        transfer(tunnels.get(server)?.port ?? 0, direction),
      );
      bench.record(`${kind} forwarding, ${isDown ? 'down' : 'up'}`, 'MB/s', '≥ 1', ...samples);
    }
    for (const tunnel of tunnels.values()) {
      await tunnel.stop();
    }
  }
}
