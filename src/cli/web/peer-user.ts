/**
 * Whose program is at the other end of a loopback connection, where the kernel says so (proc(5),
 * /proc/net/tcp): the port is for the person's own browser, and not for others on the computer.
 * Runs in: user.
 */
import { readFile } from 'node:fs/promises';
import { endianness } from 'node:os';

const loopback = '127.0.0.1';
const established = '01';
const noOne: ReadonlySet<number> = new Set();

/** Also root, who may do everything here; and under sudo the one who called. Empty: not known. */
export function allowedUsers(environment: NodeJS.ProcessEnv): ReadonlySet<number> {
  const own = process.getuid?.();
  if (own === undefined) return noOne;
  const caller = own === 0 ? /^\d{1,10}$/.exec(environment.SUDO_UID ?? '')?.[0] : undefined;
  return new Set([own, 0, ...(caller === undefined ? [] : [Number(caller)])]);
}

/** The ends of a connection, as the socket that was accepted has them. */
export interface Ends {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localPort?: number | undefined;
}

/** True where the system has no such table. */
export async function isAllowedPeer(
  allowed: ReadonlySet<number>,
  { remoteAddress, remotePort = 0, localPort = 0 }: Ends,
): Promise<boolean> {
  if (allowed.size === 0) return true;
  // From another address of the loopback somebody else may have the port of the browser there.
  if (remoteAddress !== loopback) return false;
  let table: string;
  try {
    table = await readFile('/proc/net/tcp', 'latin1');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
  const uid = uidIn(table, remotePort, localPort);
  return uid !== null && allowed.has(uid);
}

/**
 * Null: there is no such connection, or it is being closed; the kernel has root own what nobody holds
 * any more.
 */
export function uidIn(table: string, peerPort: number, ownPort: number): number | null {
  const wanted = [hexAddress(peerPort), hexAddress(ownPort), established].join(' ');
  for (const line of table.split('\n')) {
    const [, local, remote, state, , , , uid] = line.trim().split(/\s+/);
    if (`${local} ${remote} ${state}` === wanted) return Number(uid);
  }
  return null;
}

/** 127.0.0.1 as four bytes of the processor's order. */
function hexAddress(port: number): string {
  const address = endianness() === 'LE' ? '0100007F' : '7F000001';
  return `${address}:${port.toString(16).toUpperCase().padStart(4, '0')}`;
}
