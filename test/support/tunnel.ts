/** A stock ssh that forwards, and the ends of what it forwards. Runs in: test. */
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
