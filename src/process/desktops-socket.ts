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
import { viewerStatus } from '../broker/desktop.ts';
import { DesktopAttach, DesktopDetach, desktopFailure } from '../broker/link.ts';
import type { Owner } from '../broker/outcome.ts';
import { DesktopHello, DesktopKeep, type RemoteDesktops } from '../broker/remote.ts';
import { ownerOf } from '../broker/requests/context.ts';
import type { ViewerHolds } from '../broker/viewer-holds.ts';
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

/** What one login has with the monitor that owns the desktops. */
interface Link {
  readonly peer: Peer;
  /** Its number of a viewer, and ours. */
  readonly ours: Map<number, number>;
  /** Said of viewers whose number was still on its way. */
  readonly early: Map<number, { readonly why: string; readonly status: number }>;
}

/** Beyond the numbers that this monitor gives while it owns the desktops itself. */
const firstViewerElsewhere = 0x4000_0000;
const rejoinMs = 500;
const maxEarly = 64;

/** The side that does not own them: one link for each login that asks or still looks at one. */
export class DesktopsElsewhere {
  readonly #path: string;
  readonly #log: Log;
  readonly #holds: ViewerHolds;
  readonly #links = new Map<Connection, Promise<Link>>();
  readonly #rejoining = new Set<Connection>();
  #lastViewer = firstViewerElsewhere;

  constructor(path: string, holds: ViewerHolds, log: Log) {
    this.#path = path;
    this.#holds = holds;
    this.#log = log;
  }

  /** The grant is this monitor's to check: `ownerOf` throws where desktops are not allowed. */
  async ask(
    schema: Call<AnyFields, AnyFields>,
    connection: Connection,
    values: Values<AnyFields>,
  ): Promise<Answer<AnyFields>> {
    const owner = ownerOf(connection, Number(values['session']));
    const link = await this.#linkFor(connection, owner);
    const answer = await link.peer.call(schema, values);
    if (connection.closed) {
      answer.descriptors.forEach(closeDescriptor);
      throw new CallFailure(desktopFailure.refused, 'The connection has ended.');
    }
    return schema.name === DesktopAttach.name
      ? this.#given(connection, link, String(values['id']), answer)
      : answer;
  }

  /** From here on the viewer has a number of ours, and its stream is held. */
  #given(
    connection: Connection,
    { peer, ours, early }: Link,
    id: string,
    answer: Answer<AnyFields>,
  ): Answer<AnyFields> {
    const theirs = Number(answer.values['viewer']);
    const [descriptor] = answer.descriptors ?? [];
    const viewer = ++this.#lastViewer;
    try {
      if (descriptor === undefined) {
        throw new Error('no descriptor came');
      }
      this.#holds.hold(connection.number, viewer, id, descriptor);
    } catch (error) {
      answer.descriptors?.forEach(closeDescriptor);
      peer.notify(DesktopDetach, { connection: 0, viewer: theirs });
      this.#log.error(`desktop ${id}: a viewer cannot be held: ${String(error)}`);
      throw new CallFailure(desktopFailure.engine, 'The display of the desktop does not answer.');
    }
    ours.set(theirs, viewer);
    const said = early.get(theirs);
    if (said !== undefined) {
      setImmediate(() => this.#end(connection, viewer, said.why, said.status));
    }
    return { ...answer, values: { viewer } };
  }

  #end(connection: Connection, viewer: number, why: string, status: number): void {
    connection.worker.viewerEnd(connection.number, viewer, why, status);
    this.#holds.end(connection.number, viewer);
  }

  #linkFor(connection: Connection, owner: Owner): Promise<Link> {
    const known = this.#links.get(connection);
    if (known !== undefined) {
      return known;
    }
    const made = this.#connect(connection, owner);
    this.#links.set(connection, made);
    made.catch(() => this.#links.delete(connection)); // told to whoever asked; the next asks anew
    return made;
  }

  async #connect(connection: Connection, owner: Owner): Promise<Link> {
    let descriptor: number;
    try {
      descriptor = connectSeqpacket(this.#path);
    } catch (error) {
      this.#log.info(`desktops of another daemon: ${(error as Error).message}`);
      throw new CallFailure(
        desktopFailure.refused,
        'The daemon that owns the desktops does not answer.',
      );
    }
    const peer = peerOn(descriptor, this.#log);
    const link: Link = { peer, ours: new Map(), early: new Map() };
    const { number, worker } = connection;
    peer.onNotice(ViewerEnd, ({ viewer: theirs, why, status }) => {
      const viewer = link.ours.get(theirs);
      link.ours.delete(theirs);
      if (viewer !== undefined) {
        this.#end(connection, viewer, why, status);
      } else if (link.early.size < maxEarly) {
        link.early.set(theirs, { why, status });
      }
    });
    peer.onNotice(ViewerWarning, ({ viewer: theirs, line }) => {
      const viewer = link.ours.get(theirs);
      if (viewer !== undefined) {
        worker.viewerWarning(number, viewer, line);
      }
    });
    peer.onEnd = () => {
      this.#links.delete(connection);
      this.rejoin(connection);
    };
    try {
      await peer.call(DesktopHello, owner);
    } catch (error) {
      peer.close();
      throw error;
    }
    return link;
  }

  /** What the login looks at goes on; whoever owns the desktops next is told of it. */
  rejoin(connection: Connection): void {
    if (!this.#rejoining.has(connection)) {
      this.#rejoining.add(connection);
      this.#rejoin(connection)
        .catch((error: unknown) => this.#log.error(`desktops elsewhere: ${String(error)}`))
        .finally(() => this.#rejoining.delete(connection));
    }
  }

  async #rejoin(connection: Connection): Promise<void> {
    const { number, login } = connection;
    while (login !== undefined && !connection.closed && this.#holds.of(number).length > 0) {
      try {
        const { user, uid } = login.account;
        const link = await this.#linkFor(connection, { user, uid });
        for (const { viewer, id } of this.#holds.of(number)) {
          await this.#keep(connection, link, viewer, id);
        }
        return;
      } catch (error) {
        // Nobody owns them yet, or he has left again.
        this.#log.debug(`desktops elsewhere: ${String(error)}`);
        await new Promise((resolve) => setTimeout(resolve, rejoinMs).unref());
      }
    }
  }

  async #keep(connection: Connection, link: Link, viewer: number, id: string): Promise<void> {
    try {
      const { values } = await link.peer.call(DesktopKeep, { id });
      link.ours.set(values.viewer, viewer);
    } catch (error) {
      if (!(error instanceof CallFailure)) {
        throw error;
      }
      this.#end(connection, viewer, error.text, viewerStatus.ended);
    }
  }

  detach(connection: Connection, viewer: number): void {
    this.#links
      .get(connection)
      ?.then(({ peer, ours }) => {
        const theirs = [...ours].find(([, one]) => one === viewer)?.[0];
        if (theirs !== undefined) {
          ours.delete(theirs);
          peer.notify(DesktopDetach, { connection: 0, viewer: theirs });
        }
      })
      .catch((error: unknown) => this.#log.debug(`detach: ${String(error)}`));
  }

  connectionEnded(connection: Connection): void {
    this.#links
      .get(connection)
      ?.then(({ peer }) => peer.close())
      .catch((error: unknown) => this.#log.debug(`desktops elsewhere: ${String(error)}`));
    this.#links.delete(connection);
  }
}
