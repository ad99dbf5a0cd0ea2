/**
 * Where another monitor of this machine and uid asks for desktops; `desktops-elsewhere.ts` is its
 * side. Runs in: monitor.
 */
import { chmodSync, rmSync } from 'node:fs';
import type { Log } from '../audit/log.ts';
import {
  Acceptor,
  closeDescriptor,
  listenSeqpacket,
  peerCredentials,
} from '../base/socket.native.ts';
import type { RemoteDesktops } from '../broker/remote.ts';
import type { Peer } from '../ssh/wire/peer.ts';
import { peerOn } from './peer-on.ts';

/** The side that owns the desktops. */
export class DesktopsSocket {
  readonly #path: string;
  readonly #log: Log;
  readonly #desktops: RemoteDesktops;
  readonly #peers = new Set<Peer>();
  #acceptor: Acceptor | undefined;

  constructor(path: string, desktops: RemoteDesktops, log: Log) {
    this.#path = path;
    this.#desktops = desktops;
    this.#log = log;
  }

  /** Only the owner of the desktops listens, so a path that is there is a dead daemon's. */
  listen(): void {
    rmSync(this.#path, { force: true });
    const descriptor = listenSeqpacket(this.#path);
    chmodSync(this.#path, 0o600);
    this.#acceptor = new Acceptor(descriptor, (accepted) => this.#accept(accepted.descriptor));
    this.#acceptor.onTrouble = (error) => this.#log.error(`desktops' socket: ${error.message}`);
  }

  #accept(descriptor: number): void {
    const { uid, pid } = peerCredentials(descriptor);
    if (uid !== process.getuid?.()) {
      this.#log.error(`desktops' socket: uid ${uid} (pid ${pid}) is refused`);
      closeDescriptor(descriptor);
      return;
    }
    const peer = peerOn(descriptor, this.#log);
    this.#peers.add(peer);
    this.#desktops.serveMonitor(peer, () => this.#peers.delete(peer));
  }

  close(): void {
    if (this.#acceptor !== undefined) {
      this.#acceptor.close();
      for (const peer of this.#peers) {
        peer.close();
      }
      rmSync(this.#path, { force: true });
    }
  }
}
