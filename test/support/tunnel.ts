/** A stock ssh that forwards, and the ends of what it forwards. Runs in: test. */
import { readFileSync } from 'node:fs';
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { Child, eventually } from './child.ts';
import { type ClientOptions, type Reachable, sshArguments } from './stock-client.ts';

/** `ssh -N ARGS`; what it says is in `stderr`. `await using` ends it. */
export function startTunnel(server: Reachable, options: ClientOptions): Child {
  const args = ['-N', '-o', 'ExitOnForwardFailure=yes', ...(options.args ?? [])];
  return new Child('ssh', sshArguments(server, { ...options, args }), {
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: '/root',
      ...options.environment,
    },
  });
}

/** Sends `data` and EOF, and gives what came until the other end's EOF. */
export function roundTrip(
  to: NetConnectOpts,
  data: string | Buffer = '',
  timeoutMs = 15_000,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...to, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => socket.destroy(new Error('no end in time')), timeoutMs);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new Error('closed without an end'));
    });
    socket.end(data);
  });
}

/** The same, once something listens there: a tunnel takes a moment. */
export function firstRoundTrip(to: NetConnectOpts, data: string): Promise<Buffer> {
  return eventually('a tunnel', async () => {
    try {
      return await roundTrip(to, data);
    } catch (error) {
      if (['ECONNREFUSED', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) {
        return undefined;
      }
      throw error;
    }
  });
}

export interface Service extends AsyncDisposable {
  readonly server: Server;
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
  /** Connections that there have been. */
  readonly count: number;
}

/** Something to forward to, on the loopback or a Unix socket; by default it says back what it hears. */
export async function startService(
  where: { readonly host?: string; readonly port?: number; readonly path?: string } = {},
  serve: (socket: Socket) => void = (socket) => void socket.pipe(socket),
): Promise<Service> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    count++;
    sockets.add(socket);
    socket.on('error', () => {}); // resets are part of what is tested
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const place =
      where.path === undefined
        ? { host: where.host ?? '127.0.0.1', port: where.port ?? 0 }
        : { path: where.path };
    server.listen(place, resolve);
  });
  const address = server.address();
  return {
    server,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    sockets,
    get count() {
      return count;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) {
        socket.destroy();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A connection through a SOCKS5 proxy (RFC 1928), by name. */
export function socksConnect(proxyPort: number, host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: proxyPort, allowHalfOpen: true });
    let heard = Buffer.alloc(0);
    let isGreeted = false;
    const listen = (chunk: Buffer): void => {
      heard = Buffer.concat([heard, chunk]);
      if (!isGreeted && heard.length >= 2) {
        isGreeted = true;
        heard = heard.subarray(2);
        const name = Buffer.from(host);
        const request = Buffer.from([5, 1, 0, 3, name.length, ...name, port >> 8, port & 0xff]);
        socket.write(request);
      } else if (isGreeted && heard.length >= 10) {
        socket.off('data', listen);
        socket.off('close', tooEarly);
        if (heard[1] === 0) {
          resolve(socket);
        } else {
          socket.destroy();
          reject(new Error(`SOCKS reply ${heard[1]}`));
        }
      }
    };
    const tooEarly = (): void => reject(new Error('the proxy closed'));
    socket.on('data', listen);
    socket.once('error', reject);
    socket.once('close', tooEarly);
    socket.write(Buffer.from([5, 1, 0]));
  });
}

/** As `listeners` gives them. */
export const loopbacks: ReadonlySet<string> = new Set([
  '0100007F',
  '00000000000000000000000001000000',
]);

/** The addresses that a port is listened on, as /proc/net has them. */
export function listeners(port: number): readonly string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A /gm)]
      .filter(([, , found]) => found === wanted)
      .map(([, address]) => address as string),
  );
}
