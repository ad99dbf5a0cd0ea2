/**
 * A loopback port for viewers of the person's choice; every viewer gets a channel of its own.
 * Runs in: user.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { Desktops } from './desktop.ts';
import { relay } from './relay.ts';
import type { Terminal } from './terminal.ts';

const maxViewers = 16;

export const listenTroubles: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program has it; name another port, or 0 for any that is free',
  EACCES: 'only root may have ports below 1024; name another port, or 0 for any that is free',
};

export interface Listening {
  readonly port: number;
  close(): void;
}

/** Only ever 127.0.0.1: the port has no password, the SSH login behind it was the check. */
export async function listenForViewers(
  port: number,
  desktops: Desktops,
  terminal: Terminal,
): Promise<Listening> {
  const viewers = new Set<Socket>();
  const server = createServer({ pauseOnConnect: true }, (viewer) => {
    viewers.add(viewer);
    viewer.on('close', () => viewers.delete(viewer));
    serve(viewer, desktops, terminal).catch((error: unknown) => {
      terminal.line(error instanceof ClientFailure ? error.detail : String(error));
      viewer.destroy();
    });
  });
  server.maxConnections = maxViewers;
  await listening(server, port);
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      for (const viewer of viewers) viewer.destroy();
    },
  };
}

async function listening(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const why = listenTroubles[code] ?? message;
    throw new ClientFailure('desktop', `127.0.0.1 port ${port}: ${why}`, { cause: error });
  }
}

async function serve(viewer: Socket, desktops: Desktops, terminal: Terminal): Promise<void> {
  viewer.on('error', () => viewer.destroy());
  const channel = await desktops.open();
  terminal.progress('');
  if (viewer.destroyed) channel.close();
  else await relay(viewer, channel, () => undefined);
}
