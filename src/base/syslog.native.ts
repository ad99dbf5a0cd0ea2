/**
 * Where lines of the log go, never waiting for a reader that does not read: the machine's log
 * socket, or a descriptor. Runs in: monitor.
 */
import { addon, checked, errno } from './addon.native.ts';

/** glibc's _PATH_LOG */
export const systemLogPath = '/dev/log';

/** Throws NativeError: nobody listens there. */
export function connectLog(path: string): number {
  return checked('connect', addon.connectLog(path));
}

export type Written =
  | { readonly is: 'written'; readonly bytes: number }
  /** Its reader has to read first. */
  | { readonly is: 'full' }
  /** Such as a reader that is gone, or a disk that is full. */
  | { readonly is: 'failed'; readonly errno: number };

/** What of `bytes` behind `from` can be written within `waitMs`. */
export function writeLog(descriptor: number, bytes: Buffer, from: number, waitMs = 0): Written {
  const result = addon.writeLog(descriptor, bytes, from, waitMs);
  if (result >= 0) {
    return { is: 'written', bytes: result };
  }
  const isFull = result === -errno.EAGAIN || result === -errno.ENOBUFS;
  return isFull ? { is: 'full' } : { is: 'failed', errno: -result };
}
