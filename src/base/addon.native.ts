/**
 * The Node-API addon (`src/base/addon/`), typed. Calls return their result or -errno; the
 * `*.native.ts` files beside this one are what the rest of the program uses. Runs in: monitor, worker,
 * user.
 */
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { NativeError } from './errors.ts';
import type { Accepted, PeerCredentials } from './native.ts';

declare const isExchange: unique symbol;
/** An initiator of GSSAPI. */
export interface GssExchange {
  readonly [isExchange]: true;
}
export interface GssStepResult {
  /** 0: more, 1: complete, 2: failed. */
  readonly state: number;
  readonly token: Buffer;
  readonly isMutual: boolean;
  readonly isIntegral: boolean;
  readonly isDelegated: boolean;
  readonly trouble: string;
  readonly reason: string;
}

declare const isWatch: unique symbol;
/** uv_poll on a descriptor that it owns. */
export interface Watch {
  readonly [isWatch]: true;
}

interface Addon {
  /** On success the watch owns the descriptor and closes it. */
  pollOpen(descriptor: number, onReady: (events: number) => void): Watch | number;
  pollWant(watch: Watch, events: number): number;
  pollClose(watch: Watch): void;
  pollReference(watch: Watch, keepsProcess: 0 | 1): void;
  receiveFrame(descriptor: number, received: Int32Array): Buffer | number;
  sendFrame(descriptor: number, frame: Buffer, descriptors: Int32Array, count: number): number;
  socketPair(ends: Int32Array): number;
  acceptConnection(listening: number): Accepted | number;
  connectionAddresses(descriptor: number): Accepted | number;
  listeningAddress(descriptor: number): Pick<Accepted, 'localAddress' | 'localPort'> | number;
  setQuickAck(descriptor: number, on: 0 | 1): number;
  setNoDelay(descriptor: number, on: 0 | 1): number;
  setKeepAlive(descriptor: number, on: 0 | 1): number;
  setTrafficClass(descriptor: number, value: number): number;
  peerCredentials(descriptor: number): PeerCredentials | number;
  shutdownDescriptor(descriptor: number): number;
  duplicate(descriptor: number): number;
  closeDescriptor(descriptor: number): number;
  lockExclusive(descriptor: number): number;
  setCloseOnExec(descriptor: number, on: 0 | 1): number;
  readMemory(descriptor: number, maxBytes: number): Buffer | number;
  connectSeqpacket(path: string): number;
  listenUnix(path: string, backlog: number, isStream: 0 | 1): number;
  descriptorKind(descriptor: number): string | number;
  ptyRead(descriptor: number): Buffer | number;
  descriptorWrite(descriptor: number, bytes: Buffer, from: number): number;
  ptyResize(
    descriptor: number,
    columns: number,
    rows: number,
    widthPixels: number,
    heightPixels: number,
  ): number;
  installSeccomp(): number;
  setNotDumpable(): number;
  endWithParent(parent: number): number;
  cryptokiLogin(path: string, session: Buffer, userType: number, pin: Buffer): number;
  unmountDetached(path: string): number;
  connectLog(path: string): number;
  writeLog(descriptor: number, bytes: Buffer, from: number, waitMs: number): number;
  sendToUnix(path: string, message: Buffer): number;
  gssOpen(host: string, delegate: 0 | 1): GssExchange | number;
  gssStep(exchange: GssExchange, token: Buffer): number;
  gssTake(exchange: GssExchange): GssStepResult | number;
  gssSign(exchange: GssExchange, bytes: Buffer): Buffer | string;
}

export const addon = createRequire(import.meta.url)(
  '../../build/Release/sshdesk_addon.node',
) as Addon;

export const readable = 1;
export const writable = 2;

/** errno values that the callers tell apart (Linux, the same on x86_64 and aarch64). */
export const errno = {
  ENOENT: 2,
  EIO: 5,
  EAGAIN: 11,
  ENOMEM: 12,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EPIPE: 32,
  EMSGSIZE: 90,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ENOTCONN: 107,
} as const;

export function nativeError(call: string, negativeErrno: number): NativeError {
  const name = negativeErrno < 0 ? getSystemErrorName(negativeErrno) : String(negativeErrno);
  return new NativeError('errno', -negativeErrno, `${call}: ${name}`);
}

/** The number that a call gave, or its errno as an exception. */
export function checked(call: string, result: number): number {
  if (result < 0) {
    throw nativeError(call, result);
  }
  return result;
}

/** The value that a call gave, or its errno as an exception. */
export function checkedValue<T extends object | string>(call: string, result: T | number): T {
  if (typeof result === 'number') {
    throw nativeError(call, result);
  }
  return result;
}

export function openWatch(descriptor: number, onReady: (events: number) => void): Watch {
  return checkedValue<Watch>('uv_poll_init', addon.pollOpen(descriptor, onReady));
}
