/**
 * Where `sshdesk sessions`, `who` and `last` of this machine ask: a Unix socket that everybody may connect to; who
 * asks is the kernel's word (SO_PEERCRED). Runs in: monitor.
 */
import { chmodSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Log } from '../audit/log.ts';
import { Acceptor, closeDescriptor, listenStream, peerCredentials } from '../base/socket.native.ts';
import type { Broker } from '../broker/broker.ts';
import { ControlServer } from '../broker/control.ts';
import type { Logins } from '../broker/control-logins.ts';
import type { Places } from './places.ts';

export class ControlSocket {
  readonly #path: string;
  readonly #mode: number;
  readonly #log: Log;
  readonly #server: ControlServer;
  #acceptor: Acceptor | undefined;

  constructor(
    broker: Broker,
    {
      places,
      log,
      isRootless,
    }: { readonly places: Places; readonly log: Log; readonly isRootless: boolean },
  ) {
    this.#path = places.controlSocket;
    this.#mode = isRootless ? 0o600 : 0o666;
    this.#log = log;
    this.#server = new ControlServer(broker, (error) =>
      log.error(`control socket: ${(error as Error).stack ?? String(error)}`),
    );
  }

  tellOf(logins: Logins): void {
    this.#server.logins = logins;
  }

  /** Only the owner of the desktops listens, so a path that is there is a dead daemon's. */
  listen(): void {
    rmSync(this.#path, { force: true });
    const descriptor = listenStream(this.#path);
    chmodSync(this.#path, this.#mode);
    this.#acceptor = new Acceptor(descriptor, (accepted) => this.#accept(accepted.descriptor));
    this.#acceptor.onTrouble = (error) => this.#log.error(`control socket: ${error.message}`);
  }

  #accept(descriptor: number): void {
    let uid: number;
    try {
      uid = peerCredentials(descriptor).uid;
    } catch (error) {
      closeDescriptor(descriptor);
      this.#log.error(`control socket: ${String(error)}`);
      return;
    }
    this.#server.accept(new Socket({ fd: descriptor, readable: true, writable: true }), uid);
  }

  close(): void {
    if (this.#acceptor !== undefined) {
      this.#acceptor.close();
      this.#server.close();
      rmSync(this.#path, { force: true });
    }
  }
}
