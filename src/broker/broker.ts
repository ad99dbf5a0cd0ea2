/**
 * Owns the desktops: who may have which, their viewers, their suspension and end. Everything that
 * differs from machine to machine is handed in. Runs in: monitor.
 */
import { closeSync } from 'node:fs';
import type { BrokerHost } from './broker-host.ts';
import { type Desktop, type DesktopView, type Opener, viewerStatus } from './desktop.ts';
import { DesktopEnds } from './desktop-ends.ts';
import { DesktopSet } from './desktop-set.ts';
import { DesktopStarts } from './desktop-starts.ts';
import type { DesktopLeader } from './leader-port.ts';
import type { EngineParameters } from './engine.ts';
import { isId } from './naming.ts';
import {
  type Asker,
  type DesktopOrder,
  done,
  failed,
  notFound,
  type Outcome,
  type Owner,
} from './outcome.ts';
import { DesktopRecovery } from './recovery.ts';
import { bringTickets } from './start.ts';
import { isLive } from './states.ts';
import type { DesktopRecord } from './store.ts';

export interface AttachOrder {
  /** What the viewer speaks. */
  readonly protocol: string;
  readonly parameters: EngineParameters;
}

export interface Attached {
  readonly viewer: number;
  /** A stream connected to the display. */
  readonly descriptor: number;
  /** By which an engine that takes one viewer at a time knows this one; empty: it needs none. */
  readonly cookie: string;
}

const takenOver = 'The desktop was taken over from another place.';

export class Broker {
  readonly #host: BrokerHost;
  readonly #set: DesktopSet;
  readonly #ends: DesktopEnds;
  readonly #starts: DesktopStarts;
  #nextViewer = 1;

  constructor(host: BrokerHost) {
    this.#host = host;
    this.#set = new DesktopSet(host);
    this.#ends = new DesktopEnds(host, this.#set);
    this.#starts = new DesktopStarts(host, this.#set, this.#ends);
  }

  // ---- what there is ----

  list(asker: Asker): readonly DesktopView[] {
    return this.#set.list(asker);
  }

  listMeasured(asker: Asker): Promise<readonly DesktopView[]> {
    return this.#set.listMeasured(asker);
  }

  history(asker: Asker, maxRows: number): readonly DesktopRecord[] {
    return this.#host.store.history(asker === 'everybody' ? undefined : asker, maxRows);
  }

  /** By id or name; names of others are not looked at by everybody's asker unless they are unique. */
  lookUp(asker: Asker, which: string): Outcome<DesktopView> {
    const desktop = this.#set.find(asker, which);
    return desktop === undefined ? notFound : done(desktop.view);
  }

  // ---- start ----

  /** Waits for one that is being started. */
  find(owner: Owner, which: string): Promise<Outcome<DesktopView>> {
    return this.#starts.find(owner, which);
  }

  /** The user's default desktop, or the one of this name: started unless it is there. */
  findOrStart(owner: Owner, which: string, connection: number): Promise<Outcome<DesktopView>> {
    return this.#starts.findOrStart(owner, which, connection);
  }

  /** A live name is refused. */
  start(owner: Owner, order: DesktopOrder, connection: number): Promise<Outcome<DesktopView>> {
    return this.#starts.start(owner, order, connection);
  }

  // ---- viewers ----

  /** The descriptor is a stream connected to the display; it belongs to the caller. */
  async attach(
    owner: Owner,
    id: string,
    opener: Opener,
    { protocol, parameters }: AttachOrder,
  ): Promise<Outcome<Attached>> {
    const { log, nowMs } = this.#host;
    const admitted = await this.#admit(owner, id, opener);
    if (admitted.is === 'failed') {
      return admitted;
    }
    const { desktop, leader, viewer } = admitted.value;
    if (desktop.engine.protocol !== protocol) {
      desktop.viewers.delete(viewer);
      desktop.agent?.viewersLeft();
      const { name } = desktop.record;
      return failed(
        'badRequest',
        `Desktop ${name} is not shown by the protocol ${protocol}. ${desktop.engine.seenBy}`,
      );
    }
    let descriptor: number | undefined;
    let cookie = '';
    // First of all: what the user's programs touch next may want fresh ones.
    await bringTickets(leader, owner.tickets ?? '', (why) =>
      log.info(`desktop ${id}: the tickets of the login are not there: ${why}`),
    );
    try {
      if (desktop.single === undefined) {
        descriptor = await leader.connectUnix(desktop.engine.socketPath(desktop.userDirectory));
      } else {
        const { order } = desktop.single;
        const read = desktop.engine.readParameters(parameters, order.type, order.parameters);
        if (read.is === 'refused') {
          desktop.viewers.delete(viewer);
          desktop.agent?.viewersLeft();
          return failed('badRequest', read.why);
        }
        ({ descriptor, cookie } = await desktop.single.connect(
          { ...order, parameters: read.parameters },
          () => desktop.endViewers(takenOver, viewerStatus.suspended, viewer),
        ));
      }
      if (desktop.viewers.has(viewer)) {
        opener.given(viewer, id, descriptor);
      }
    } catch (error) {
      log.info(`desktop ${id}: no viewer can be connected: ${String(error)}`);
      if (descriptor !== undefined) {
        closeSync(descriptor);
      }
      desktop.viewers.delete(viewer);
      desktop.agent?.viewersLeft();
      return failed('engine', 'The display of the desktop does not answer.');
    }
    if (!desktop.viewers.has(viewer)) {
      closeSync(descriptor);
      return failed('engine', 'The desktop was suspended or ended just now.');
    }
    desktop.startedBy = undefined;
    desktop.apply('attach', nowMs());
    desktop.used(nowMs());
    const { warning } = desktop;
    desktop.warning = undefined;
    if (warning !== undefined) {
      // Behind the answer, so that the viewer is known where the warning arrives.
      setImmediate(() => opener.viewerWarning(viewer, warning));
    }
    return done({ viewer, descriptor, cookie });
  }

  /** A viewer whose stream another monitor of this machine has from an earlier owner of the desktops. */
  async keep(
    owner: Owner,
    id: string,
    opener: Opener,
  ): Promise<Outcome<{ readonly viewer: number }>> {
    const admitted = await this.#admit(owner, id, opener);
    if (admitted.is === 'failed') {
      return admitted;
    }
    const { desktop, viewer } = admitted.value;
    desktop.apply('attach', this.#host.nowMs());
    return done({ viewer });
  }

  /** Counted from here on, before there is a stream, so that a suspend in between ends it. */
  async #admit(
    owner: Owner,
    id: string,
    opener: Opener,
  ): Promise<
    Outcome<{ readonly desktop: Desktop; readonly leader: DesktopLeader; readonly viewer: number }>
  > {
    const desktop = isId(id) ? this.#set.find(owner.uid, id) : undefined;
    if (desktop === undefined) {
      return notFound;
    }
    await this.#starts.pending(id);
    const { leader } = desktop;
    if (leader === undefined || !isLive(desktop.record.state)) {
      return notFound;
    }
    if (opener.isGone()) {
      return failed('refused', 'The connection has ended.');
    }
    if (desktop.viewers.size >= this.#host.limits.viewersPerDesktop) {
      return failed('userLimit', 'This desktop has as many viewers as it may have.');
    }
    const viewer = this.#nextViewer++;
    desktop.viewers.set(viewer, opener);
    return done({ desktop, leader, viewer });
  }

  /** Ids of the desktops that this connection looks at, one for each viewer. */
  viewedBy(connection: number): readonly string[] {
    return [...this.#set.all.values()].flatMap(({ record, viewers }) =>
      [...viewers.values()].filter((one) => one.connection === connection).map(() => record.id),
    );
  }

  /** A viewer went of its own accord. A number of another connection is ignored. */
  detach(connection: number, viewer: number): void {
    for (const desktop of this.#set.all.values()) {
      if (desktop.viewers.get(viewer)?.connection === connection) {
        desktop.viewers.delete(viewer);
        this.#set.viewersLeft(desktop);
      }
    }
  }

  /** Everything that the connection looked at or has just started goes on without it. */
  connectionClosed(connection: number): void {
    for (const desktop of this.#set.all.values()) {
      const mine = [...desktop.viewers].filter(([, opener]) => opener.connection === connection);
      for (const [viewer] of mine) {
        desktop.viewers.delete(viewer);
      }
      if (mine.length > 0 || desktop.startedBy === connection) {
        desktop.startedBy = undefined;
        this.#set.viewersLeft(desktop);
      }
    }
  }

  // ---- suspend and end ----

  /** Ends its viewers; the desktop goes on. */
  async suspend(asker: Asker, which: string): Promise<Outcome<DesktopView>> {
    const desktop = this.#set.find(asker, which);
    if (desktop === undefined || desktop.record.state === 'starting') {
      return notFound;
    }
    desktop.startedBy = undefined;
    if (desktop.single !== undefined) {
      await desktop.single.suspend();
    }
    desktop.endViewers('The desktop was suspended.', viewerStatus.suspended);
    this.#set.viewersLeft(desktop);
    return done(desktop.view);
  }

  /** Settled when nothing of it is left; from the call on its name is free. */
  async terminate(asker: Asker, which: string): Promise<Outcome<DesktopView>> {
    const desktop = this.#set.find(asker, which);
    if (desktop === undefined) {
      return notFound;
    }
    const { nowMs, log } = this.#host;
    const { view } = desktop;
    desktop.apply('end', nowMs());
    desktop.endViewers('The desktop was terminated.', viewerStatus.ended);
    const starting = this.#starts.pending(desktop.record.id);
    if (starting !== undefined) {
      await starting;
      return done(view);
    }
    desktop.over ??= (async () => {
      await this.#ends.endLeader(desktop);
      desktop.apply('ended by itself', nowMs(), 'terminated');
      log.info(
        `desktop ${desktop.record.id} (${desktop.record.name}) of ${desktop.record.owner} terminated`,
        { event: 'desktop.ended', desktop: desktop.record.id, reason: 'terminated' },
      );
      await this.#ends.reap(desktop);
    })();
    await desktop.over;
    return done(view);
  }

  /** Before anything else. */
  recover(): Promise<void> {
    return new DesktopRecovery(this.#host, this.#set, this.#ends).run();
  }

  /** The desktops go on without this process; their leaders wait for the next one. */
  close(): void {
    this.#set.isClosed = true;
    for (const desktop of this.#set.all.values()) {
      desktop.leader?.drop();
    }
    this.#set.all.clear();
    this.#host.store.close();
  }
}
