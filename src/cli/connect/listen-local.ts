/**
 * Listeners of this machine for `-L` and `-D`: on the loopback unless told otherwise, Unix sockets
 * with a mode of their own, removed with their listener. Runs in: user.
 */
import { once } from 'node:events';
import { lstat, unlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { describeListen, type Listen } from '../../ssh/client/forward-spec.ts';

export interface ListenOptions {
  /** GatewayPorts: where no address is named, every one. */
  readonly isGateway: boolean;
  /** StreamLocalBindMask. */
  readonly socketMask: number;
  /** StreamLocalBindUnlink: a socket that is there gives way. */
  readonly unlinksFirst: boolean;
}

/** A connection has read nothing yet: whoever takes it resumes it. */
export type OnConnection = (socket: Socket) => void;

const troubles: Readonly<Record<string, string>> = {
  EADDRINUSE: 'it is in use; name another port, 0 for any that is free, or end what has it',
  EACCES: 'not allowed; only root may have ports below 1024',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOENT: 'there is no such folder',
};
/** Both addresses of the loopback have to be had: whoever has one of them would get its clients. */
const missingFamily: ReadonlySet<string> = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);
const maxPortTries = 8;

export class LocalListener {
  readonly #servers: readonly Server[];
  /** The one that was taken; 0 for a Unix socket. */
  readonly port: number;

  private constructor(servers: readonly Server[]) {
    this.#servers = servers;
    const address = servers[0]?.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** ClientFailure `connection` with what is in the way. */
  static async open(
    listen: Listen,
    options: ListenOptions,
    onConnection: OnConnection,
  ): Promise<LocalListener> {
    try {
      if (listen.is === 'unix') {
        return new LocalListener([await listenOnPath(listen.path, options, onConnection)]);
      }
      return new LocalListener(await listenOnPort(listen, options.isGateway, onConnection));
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException;
      const why = troubles[code] ?? message;
      throw new ClientFailure('connection', `cannot listen on ${describeListen(listen)}: ${why}`, {
        cause: error,
      });
    }
  }

  /** No connection more; those that there are go on. */
  close(): void {
    for (const server of this.#servers) server.close();
  }
}

function serverOf(onConnection: OnConnection): Server {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
  server.on('connection', onConnection);
  return server;
}

async function listening(server: Server): Promise<void> {
  await once(server, 'listening');
  // Out of descriptors: the connection at hand is lost, the listener is not.
  server.on('error', () => undefined);
}

async function listenOnPort(
  { bind, port }: Extract<Listen, { is: 'tcp' }>,
  isGateway: boolean,
  onConnection: OnConnection,
): Promise<Server[]> {
  const isEverywhere = bind === null ? isGateway : bind === '' || bind === '*';
  if (!isEverywhere && (bind === null || bind === 'localhost')) {
    return await listenOnLoopback(port, onConnection);
  }
  const server = serverOf(onConnection);
  if (isEverywhere) server.listen({ port });
  else server.listen({ port, host: bind ?? '' });
  await listening(server);
  return [server];
}

/** Both families with one port, as `localhost` has both. */
async function listenOnLoopback(port: number, onConnection: OnConnection): Promise<Server[]> {
  for (let tries = 1; ; tries += 1) {
    const four = serverOf(onConnection);
    four.listen({ port, host: '127.0.0.1' });
    await listening(four);
    const six = serverOf(onConnection);
    six.listen({ port: (four.address() as AddressInfo).port, host: '::1', ipv6Only: true });
    try {
      await listening(six);
      return [four, six];
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (missingFamily.has(code)) return [four];
      four.close();
      if (port !== 0 || tries >= maxPortTries) throw error;
    }
  }
}

async function listenOnPath(
  path: string,
  options: ListenOptions,
  onConnection: OnConnection,
): Promise<Server> {
  if (options.unlinksFirst && (await isSocket(path))) await unlink(path);
  const server = serverOf(onConnection);
  // The socket is bound within `listen`: nobody finds it with another mode.
  const mask = process.umask(options.socketMask);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  await listening(server);
  return server;
}

/** Nothing else is ever removed. */
async function isSocket(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSocket();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
