/**
 * The TCP connection to the server. Runs in: user.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { ClientFailure } from '../../ssh/client/failure.ts';

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  readonly family: 0 | 4 | 6;
  readonly timeoutMs: number;
}

/** Tries the addresses of the name as the system gives them. */
export async function dial(options: DialOptions, signal: AbortSignal): Promise<Socket> {
  const { host, port, family, timeoutMs } = options;
  const socket = connect({ host, port, family, noDelay: true, autoSelectFamily: family === 0 });
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    await once(socket, 'connect', { signal: AbortSignal.any([signal, timeout]) });
    return socket;
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    const why = timeout.aborted ? 'connection timed out' : reasonOf(error);
    throw new ClientFailure('connection', `${host} port ${port}: ${why}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) {
    return error.errors.map((each) => reasonOf(each)).join('; ');
  }
  return error instanceof Error ? error.message : String(error);
}
