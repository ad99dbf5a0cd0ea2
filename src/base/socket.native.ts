/**
 * What Node's `net` does not offer: accepting without wrapping, options, credentials, and the life
 * of plain descriptors. Runs in: monitor, worker.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import {
  addon,
  checked,
  checkedValue,
  errno,
  nativeError,
  openWatch,
  readable,
  type Watch,
} from './addon.native.ts';
import type { Accepted, PeerCredentials } from './native.ts';

const maxAcceptsPerTurn = 32;
const exhaustedPauseMs = 250;

/** Nothing is wrong with the listener: the machine or the process has run out of something. */
const exhaustion: ReadonlySet<number> = new Set([
  errno.EMFILE,
  errno.ENFILE,
  errno.ENOBUFS,
  errno.ENOMEM,
]);
/** The connection that was to be accepted failed (accept(2)); the next may be good. */
const ofTheConnection: ReadonlySet<number> = new Set([
  1 /* EPERM: a firewall rule */, 71 /* EPROTO */, 92 /* ENOPROTOOPT */, 95 /* EOPNOTSUPP */,
  100 /* ENETDOWN */, 101 /* ENETUNREACH */, 103 /* ECONNABORTED */, 110 /* ETIMEDOUT */,
  112 /* EHOSTDOWN */, 113 /* EHOSTUNREACH */,
]);

/** Accepts on a listening descriptor, which it owns. What it accepts belongs to `onAccepted`. */
export class Acceptor {
  readonly #listening: number;
  readonly #watch: Watch;
  readonly #onAccepted: (accepted: Accepted) => void;
  #timer: NodeJS.Timeout | undefined;
  #isPaused = false;
  #isOpen = true;

  /** Descriptors or memory have run out (it tries again by itself), or the listener is broken. */
  onTrouble: (error: Error) => void = () => {};

  constructor(listening: number, onAccepted: (accepted: Accepted) => void) {
    this.#listening = listening;
    this.#onAccepted = onAccepted;
    this.#watch = openWatch(listening, () => this.#accept());
    this.#want();
  }

  pause(): void {
    this.#isPaused = true;
    this.#want();
  }

  resume(): void {
    this.#isPaused = false;
    this.#want();
  }

  close(): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      clearTimeout(this.#timer);
      addon.pollClose(this.#watch);
    }
  }

  /** Accepts what waits already, as far as one turn goes, and closes. */
  finish(): void {
    if (this.#isOpen && !this.#isPaused) {
      this.#accept();
    }
    this.close();
  }

  #want(): void {
    if (this.#isOpen) {
      const mayAccept = !this.#isPaused && this.#timer === undefined;
      checked('uv_poll_start', addon.pollWant(this.#watch, mayAccept ? readable : 0));
    }
  }

  #accept(): void {
    for (let count = 0; count < maxAcceptsPerTurn && this.#isOpen && !this.#isPaused; count++) {
      const accepted = addon.acceptConnection(this.#listening);
      if (typeof accepted !== 'number') {
        this.#onAccepted(accepted);
      } else if (accepted === -errno.EAGAIN) {
        break;
      } else if (!ofTheConnection.has(-accepted)) {
        if (exhaustion.has(-accepted)) {
          this.#waitForRoom();
        } else {
          this.close();
        }
        this.onTrouble(nativeError('accept4', accepted));
        break;
      }
    }
    this.#want();
  }

  /** The connection stays in the backlog, so polling on would spin. */
  #waitForRoom(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#want();
    }, exhaustedPauseMs);
  }
}

/** The kernel clears it by itself; set it again after each read while it is wanted. */
export function setQuickAck(descriptor: number): void {
  checked('setsockopt(TCP_QUICKACK)', addon.setQuickAck(descriptor, 1));
}

export function setNoDelay(descriptor: number): void {
  checked('setsockopt(TCP_NODELAY)', addon.setNoDelay(descriptor, 1));
}

export function setKeepAlive(descriptor: number, on: boolean): void {
  checked('setsockopt(SO_KEEPALIVE)', addon.setKeepAlive(descriptor, on ? 1 : 0));
}

/** The byte of the IP header that routers queue by, of either family. */
export function setTrafficClass(descriptor: number, value: number): void {
  checked('setsockopt(IP_TOS)', addon.setTrafficClass(descriptor, value));
}

/** Who connected (SO_PEERCRED): as it was at connect(2). */
export function peerCredentials(descriptor: number): PeerCredentials {
  return checkedValue('getsockopt(SO_PEERCRED)', addon.peerCredentials(descriptor));
}

/** Ends a connection for every holder of a duplicate; one that is already gone is no error. */
export function shutdownDescriptor(descriptor: number): void {
  const result = addon.shutdownDescriptor(descriptor);
  if (result !== -errno.ENOTCONN) {
    checked('shutdown', result);
  }
}

export function duplicate(descriptor: number): number {
  return checked('fcntl(F_DUPFD_CLOEXEC)', addon.duplicate(descriptor));
}

export function closeDescriptor(descriptor: number): void {
  checked('close', addon.closeDescriptor(descriptor));
}

/** flock(2) without waiting: false when another open file holds it. */
export function lockExclusive(descriptor: number): boolean {
  const result = addon.lockExclusive(descriptor);
  if (result === -errno.EAGAIN) {
    return false;
  }
  checked('flock', result);
  return true;
}

/** The content of a memfd that is sealed against change; anything else is refused. */
export function readMemfd(descriptor: number, maxBytes: number): Buffer {
  return checkedValue('read of a sealed memfd', addon.readMemory(descriptor, maxBytes));
}

/** What `sockaddr_un` holds, without the final zero. */
const maxAddressBytes = 107;

/** A path that is too long for an address is gone by way of its directory. */
function atAddress(path: string, use: (address: string) => number): number {
  if (Buffer.byteLength(path) <= maxAddressBytes) {
    return use(path);
  }
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return use(`/proc/self/fd/${directory}/${basename(path)}`);
  } finally {
    closeSync(directory);
  }
}

/** Client side of a Unix SOCK_SEQPACKET; for `SeqpacketLink`. */
export function connectSeqpacket(path: string): number {
  return checked(`connect to ${path}`, atAddress(path, addon.connectSeqpacket));
}

/** Server side of it; for `Acceptor`. The path must be free; its mode follows the umask. */
export function listenSeqpacket(path: string, backlog = 128): number {
  return checked(
    `listen on ${path}`,
    atAddress(path, (at) => addon.listenUnix(at, backlog, 0)),
  );
}

/** A Unix stream socket to accept from with `Acceptor`; path and mode as above. */
export function listenStream(path: string, backlog = 128): number {
  return checked(
    `listen on ${path}`,
    atAddress(path, (at) => addon.listenUnix(at, backlog, 1)),
  );
}

export function setCloseOnExec(descriptor: number, on: boolean): void {
  checked('fcntl(F_SETFD)', addon.setCloseOnExec(descriptor, on ? 1 : 0));
}

export type DescriptorKind =
  | 'file'
  | 'directory'
  | 'pipe'
  | 'block'
  | 'tty'
  | 'character'
  | 'tcp'
  | 'tcp-listener'
  | 'unix-stream'
  | 'unix-listener'
  | 'unix-seqpacket'
  | 'unix-datagram'
  | 'socket'
  | 'other';

/** Before a descriptor that came from elsewhere is wrapped: is it what it should be? */
export function isDescriptorOfKind(descriptor: number, kind: DescriptorKind): boolean {
  return descriptorKind(descriptor) === kind;
}

export function descriptorKind(descriptor: number): DescriptorKind {
  return checkedValue('fstat', addon.descriptorKind(descriptor)) as DescriptorKind;
}

/** Where a listening socket that was inherited listens. */
export function listeningAddress(descriptor: number): Pick<Accepted, 'localAddress' | 'localPort'> {
  return checkedValue('getsockname', addon.listeningAddress(descriptor));
}

/** The addresses of a connection that was inherited; undefined when it is no connected socket. */
export function localRemoteAddress(descriptor: number): Accepted | undefined {
  const found = addon.connectionAddresses(descriptor);
  return typeof found === 'number' ? undefined : found;
}
