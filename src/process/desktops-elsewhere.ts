/**
 * How a process that does not own the desktops asks the one that does: a monitor that drains or
 * serves one connection with -i, and `sshdesk subsystem`. Runs in: monitor, user.
 */
import type { Log } from '../audit/log.ts';
import { NativeError } from '../base/errors.ts';
import { closeDescriptor, connectSeqpacket, peerCredentials } from '../base/socket.native.ts';
import { viewerStatus } from '../broker/desktop.ts';
import { DesktopAttach, DesktopDetach, desktopFailure } from '../broker/link.ts';
import type { Owner } from '../broker/outcome.ts';
import {
  DesktopAgentEnd,
  DesktopAgentGive,
  DesktopAgentOffer,
  DesktopKeep,
} from '../broker/remote.ts';
import type { DesktopHolds, Onlooker } from '../broker/requests/context.ts';
import type { ViewerHolds } from '../broker/viewer-holds.ts';
import { ViewerEnd, ViewerWarning } from '../monitor/link.ts';
import type { Answer } from '../monitor/request-table.ts';
import type { Call } from '../ssh/wire/call.ts';
import type { AnyFields, Values } from '../ssh/wire/field.ts';
import { CallFailure, LinkEnded, type Peer } from '../ssh/wire/peer.ts';
import { peerOn } from './peer-on.ts';

/** What one login has with the monitor that owns the desktops. */
interface Link {
  readonly peer: Peer;
  /** Its number of a viewer, and ours. */
  readonly ours: Map<number, number>;
  /** Said of viewers whose number was still on its way. */
  readonly early: Map<number, { readonly why: string; readonly status: number }>;
  /** Connections to agents of desktops, by its number: how each is ended. */
  readonly agents: Map<number, () => void>;
  hasOfferedAgent: boolean;
}

/** Beyond the numbers that this monitor gives while it owns the desktops itself. */
const firstViewerElsewhere = 0x4000_0000;
const rejoinMs = 500;
const maxEarly = 64;

/** How the owner of the desktops is reached. */
export interface ElsewhereDoor {
  /** Where it listens, with SOCK_SEQPACKET. */
  readonly path: string;
  /** The uid that it must have. */
  readonly servedBy: number;
  /** The first call: for whom the others are. Rejects where it is refused. */
  hello(peer: Peer, owner: Owner): Promise<unknown>;
}

/** The side that does not own them: one link for each login that asks or still looks at one. */
export class DesktopsElsewhere {
  readonly #door: ElsewhereDoor;
  readonly #log: Log;
  readonly #holds: ViewerHolds;
  readonly #agents: DesktopHolds['agents'];
  readonly #links = new Map<Onlooker, Promise<Link>>();
  readonly #rejoining = new Set<Onlooker>();
  #lastViewer = firstViewerElsewhere;

  constructor(door: ElsewhereDoor, { viewers, agents }: DesktopHolds, log: Log) {
    this.#door = door;
    this.#holds = viewers;
    this.#agents = agents;
    this.#log = log;
  }

  /** Whether somebody listens there who may; throws NativeError where not. */
  probe(): void {
    closeDescriptor(this.#reach());
  }

  /** The grant is this monitor's to check, before it asks in the name of `owner`. */
  async ask(
    schema: Call<AnyFields, AnyFields>,
    connection: Onlooker,
    values: Values<AnyFields>,
    owner: Owner,
  ): Promise<Answer<AnyFields>> {
    const link = await this.#linkFor(connection, owner);
    this.#offerAgent(connection, link);
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
    connection: Onlooker,
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
    return { ...answer, values: { ...answer.values, viewer } };
  }

  #end(connection: Onlooker, viewer: number, why: string, status: number): void {
    connection.worker.viewerEnd(connection.number, viewer, why, status);
    this.#holds.end(connection.number, viewer);
  }

  #linkFor(connection: Onlooker, owner: Owner): Promise<Link> {
    const known = this.#links.get(connection);
    if (known !== undefined) {
      return known;
    }
    const made = this.#connect(connection, owner);
    this.#links.set(connection, made);
    made.catch(() => this.#links.delete(connection)); // told to whoever asked; the next asks anew
    return made;
  }

  #reach(): number {
    const { path, servedBy } = this.#door;
    const descriptor = connectSeqpacket(path);
    try {
      const { uid } = peerCredentials(descriptor);
      if (uid !== servedBy) {
        throw new NativeError('connect', uid, `${path} is served by uid ${uid}, not ${servedBy}`);
      }
      return descriptor;
    } catch (error) {
      closeDescriptor(descriptor);
      throw error;
    }
  }

  async #connect(connection: Onlooker, owner: Owner): Promise<Link> {
    let descriptor: number;
    try {
      descriptor = this.#reach();
    } catch (error) {
      this.#log.info(`desktops of another daemon: ${(error as Error).message}`);
      throw new CallFailure(
        desktopFailure.refused,
        'The daemon that owns the desktops does not answer.',
      );
    }
    const peer = peerOn(descriptor, this.#log);
    const link: Link = {
      peer,
      ours: new Map(),
      early: new Map(),
      agents: new Map(),
      hasOfferedAgent: false,
    };
    this.#serveAgents(connection, link);
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
      link.agents.forEach((end) => end());
      this.#links.delete(connection);
      this.rejoin(connection, owner);
    };
    try {
      await this.#door.hello(peer, owner);
    } catch (error) {
      peer.close();
      if (error instanceof LinkEnded) {
        throw new CallFailure(
          desktopFailure.refused,
          'The daemon that owns the desktops takes no more connections of this user now.',
        );
      }
      throw error;
    }
    return link;
  }

  /** As soon as the client has asked for it, and may; it stays so for the connection. */
  #offerAgent({ agentClient }: Onlooker, link: Link): void {
    if (agentClient !== undefined && !link.hasOfferedAgent) {
      link.hasOfferedAgent = true;
      link.peer.notify(DesktopAgentOffer, {});
    }
  }

  #serveAgents(connection: Onlooker, { peer, agents }: Link): void {
    peer.onNotice(DesktopAgentGive, ({ socket }, descriptors) => {
      const [descriptor, ...more] = descriptors;
      const { agentClient, closed, number } = connection;
      more.forEach(closeDescriptor);
      const over = (): void => {
        agents.delete(socket);
        peer.notify(DesktopAgentEnd, { socket });
      };
      if (descriptor === undefined || agentClient === undefined || closed) {
        if (descriptor !== undefined) {
          closeDescriptor(descriptor);
        }
        over();
        return;
      }
      try {
        agents.set(socket, this.#agents.give(number, agentClient, descriptor, over));
      } catch (error) {
        this.#log.debug(`a connection to an agent cannot be held: ${String(error)}`);
        over();
      }
    });
    peer.onNotice(DesktopAgentEnd, ({ socket }) => {
      const end = agents.get(socket);
      agents.delete(socket);
      end?.();
    });
  }

  /** What the login looks at goes on; whoever owns the desktops next is told of it. */
  rejoin(connection: Onlooker, owner: Owner): void {
    if (!this.#rejoining.has(connection)) {
      this.#rejoining.add(connection);
      this.#rejoin(connection, owner)
        .catch((error: unknown) => this.#log.error(`desktops elsewhere: ${String(error)}`))
        .finally(() => this.#rejoining.delete(connection));
    }
  }

  async #rejoin(connection: Onlooker, owner: Owner): Promise<void> {
    const { number } = connection;
    while (!connection.closed && this.#holds.of(number).length > 0) {
      try {
        const link = await this.#linkFor(connection, owner);
        this.#offerAgent(connection, link);
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

  async #keep(connection: Onlooker, link: Link, viewer: number, id: string): Promise<void> {
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

  detach(connection: Onlooker, viewer: number): void {
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

  connectionEnded(connection: Onlooker): void {
    this.#links
      .get(connection)
      ?.then(({ peer }) => peer.close())
      .catch((error: unknown) => this.#log.debug(`desktops elsewhere: ${String(error)}`));
    this.#links.delete(connection);
  }
}
