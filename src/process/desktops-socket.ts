/**
 * Where another monitor of this machine and uid asks for desktops, and how it does. Runs in: monitor.
 */
import { chmodSync, rmSync } from 'node:fs';
import type { Log } from '../audit/log.ts';
import { SeqpacketLink } from '../base/link.native.ts';
import {
  Acceptor,
  closeDescriptor,
  connectSeqpacket,
  listenSeqpacket,
  peerCredentials,
} from '../base/socket.native.ts';
import { DesktopDetach, desktopFailure } from '../broker/link.ts';
import { DesktopHello, type RemoteDesktops } from '../broker/remote.ts';
import { callerOf } from '../broker/requests/context.ts';
import type { Connection } from '../monitor/connection.ts';
import { ViewerEnd, ViewerWarning } from '../monitor/link.ts';
import type { Answer } from '../monitor/request-table.ts';
import type { Call } from '../ssh/wire/call.ts';
import type { AnyFields, Values } from '../ssh/wire/field.ts';
import { CallFailure, Peer } from '../ssh/wire/peer.ts';

function peerOn(descriptor: number, log: Log): Peer {
  return new Peer(new SeqpacketLink(descriptor), {
    closeDescriptor,
    onFault: (error, name) => log.error(`internal error in ${name}: ${String(error)}`),
  });
}

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
    this.#desktops.serve(peer, () => this.#peers.delete(peer));
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

/** The side that does not own them: one link for each login that asks. */
export class DesktopsElsewhere {
  readonly #path: string;
  readonly #log: Log;
  readonly #peers = new Map<Connection, Promise<Peer>>();

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /** The grant is this monitor's to check: `callerOf` throws where desktops are not allowed. */
  async ask(
    schema: Call<AnyFields, AnyFields>,
    connection: Connection,
    values: Values<AnyFields>,
  ): Promise<Answer<AnyFields>> {
    const owner = callerOf(connection).owner(Number(values['session']));
    const peer = await this.#peerFor(connection, owner);
    const answer = await peer.call(schema, values);
    if (connection.closed) {
      answer.descriptors.forEach(closeDescriptor);
      throw new CallFailure(desktopFailure.refused, 'The connection has ended.');
    }
    return answer;
  }

  #peerFor(
    connection: Connection,
    owner: { readonly user: string; readonly uid: number },
  ): Promise<Peer> {
    const known = this.#peers.get(connection);
    if (known !== undefined) {
      return known;
    }
    const made = this.#connect(connection, owner);
    this.#peers.set(connection, made);
    made.catch(() => this.#peers.delete(connection)); // told to whoever asked; the next asks anew
    return made;
  }

  async #connect(
    connection: Connection,
    owner: { readonly user: string; readonly uid: number },
  ): Promise<Peer> {
    let descriptor: number;
    try {
      descriptor = connectSeqpacket(this.#path);
    } catch (error) {
      this.#log.error(`desktops of another daemon: ${(error as Error).message}`);
      throw new CallFailure(
        desktopFailure.refused,
        'The daemon that owns the desktops does not answer.',
      );
    }
    const peer = peerOn(descriptor, this.#log);
    const { number, worker } = connection;
    peer.onNotice(ViewerEnd, ({ viewer, why }) => worker.viewerEnd(number, viewer, why));
    peer.onNotice(ViewerWarning, ({ viewer, line }) => worker.viewerWarning(number, viewer, line));
    peer.onEnd = () => this.#peers.delete(connection);
    try {
      await peer.call(DesktopHello, owner);
    } catch (error) {
      peer.close();
      throw error;
    }
    return peer;
  }

  detach(connection: Connection, viewer: number): void {
    this.#peers
      .get(connection)
      ?.then((peer) => peer.notify(DesktopDetach, { connection: 0, viewer }))
      .catch((error: unknown) => this.#log.debug(`detach: ${String(error)}`));
  }

  connectionEnded(connection: Connection): void {
    this.#peers
      .get(connection)
      ?.then((peer) => peer.close())
      .catch((error: unknown) => this.#log.debug(`desktops elsewhere: ${String(error)}`));
    this.#peers.delete(connection);
  }
}
