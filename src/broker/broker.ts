/**
 * Owns the desktops: who may have which, their states, their viewers, their end. Everything that
 * differs from machine to machine is handed in. Runs in: monitor.
 */
import { closeSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../audit/log.ts';
import { EngineError } from '../base/errors.ts';
import { Desktop, type DesktopView, type Opener } from './desktop.ts';
import { removeDirectory } from './directory-removal.ts';
import type { DisplayEngine, EngineTable, Geometry } from './engine.ts';
import { endLeftovers, type LeftoverPort } from './leftovers.ts';
import type { DesktopLeader } from './leader-port.ts';
import { type Ending, LeaderWatch } from './leader-watch.ts';
import type { DesktopFailure } from './link.ts';
import { type BrokerLimits, defaultGeometry, maxSide, minSide } from './limits.ts';
import { asId, defaultName, isId, isName } from './naming.ts';
import { type StartHost, startDesktop, windowTimeoutMs } from './start.ts';
import { isLive } from './states.ts';
import type { DesktopRecord, DesktopStore } from './store.ts';
import { cookieBytes, displaySocket, freeDisplay, removeStaleSocket } from './x-display.ts';

export interface Owner {
  readonly user: string;
  readonly uid: number;
}

/** Who asks about desktops that exist: the owner's uid, or everybody's. */
export type Asker = number | 'everybody';

export type Outcome<T> =
  | { readonly is: 'done'; readonly value: T }
  | { readonly is: 'failed'; readonly failure: DesktopFailure; readonly text: string };

export interface DesktopOrder {
  readonly name: string;
  /** Key of the table of engines; empty: the first. */
  readonly protocol: string;
  /** Empty: the engine's first. */
  readonly type: string;
  /** Zeros: the default. */
  readonly width: number;
  readonly height: number;
  readonly depth: number;
}

export interface BrokerHost extends Omit<StartHost, 'log'> {
  readonly log: Log;
  readonly store: DesktopStore;
  readonly engines: EngineTable;
  readonly limits: BrokerLimits;
  readonly leftovers: LeftoverPort;
  /** Holds one directory per desktop; made by the process, 0711. */
  readonly desktopsDirectory: string;
  nowMs(): number;
  randomBytes(count: number): Buffer;
}

const maxDisplayTries = 5;
const endGraceMs = 2_000;
/** A leader that has said goodbye is waited for before its directory is looked at. */
const leaveMs = 10_000;
/** So long a list waits for displays to say their sizes. */
const measureMs = 1_500;

const defaultOrder: DesktopOrder = {
  name: defaultName,
  protocol: '',
  type: '',
  width: 0,
  height: 0,
  depth: 0,
};

function isSide(side: number): boolean {
  return side >= minSide && side <= maxSide;
}

function done<T>(value: T): Outcome<T> {
  return { is: 'done', value };
}
function failed(failure: DesktopFailure, text: string): Outcome<never> {
  return { is: 'failed', failure, text };
}
const notFound = failed(
  'notFound',
  'There is no such desktop, or several have this name: `sessions list` shows their ids.',
);

/** `detail` of an EngineError, then its lines. */
function engineText(error: EngineError): string {
  return [`The desktop could not be started: ${error.detail}`, ...error.logTail].join('\n');
}

export class Broker {
  readonly #host: BrokerHost;
  readonly #desktops = new Map<string, Desktop>();
  /** By id: what others who want the same desktop wait for. */
  readonly #starting = new Map<string, Promise<Outcome<DesktopView>>>();
  #nextViewer = 1;
  #isClosed = false;

  constructor(host: BrokerHost) {
    this.#host = host;
  }

  // ---- what there is ----

  list(asker: Asker): readonly DesktopView[] {
    return [...this.#desktops.values()]
      .filter((desktop) => this.#mayAsk(asker, desktop) && isLive(desktop.record.state))
      .map((desktop) => desktop.view);
  }

  /** With the sizes that the displays have now: viewers change them without our knowledge. */
  async listMeasured(asker: Asker): Promise<readonly DesktopView[]> {
    const asked = [...this.#desktops.values()].filter((desktop) => this.#mayAsk(asker, desktop));
    // A display belongs to its user and may never answer: its last size is shown then.
    await Promise.race([
      Promise.all(asked.map((desktop) => this.#measure(desktop))),
      this.#host.sleepMs(measureMs),
    ]);
    return this.list(asker);
  }

  /** One question at a time. Never rejects. */
  #measure(desktop: Desktop): Promise<void> {
    const { leader, record } = desktop;
    if (leader === undefined || !isLive(record.state)) {
      return Promise.resolve();
    }
    const { log, x11Directory } = this.#host;
    desktop.measured ??= leader
      .displaySize(displaySocket(x11Directory, record.display))
      .then(
        ({ width, height }) => {
          if (!this.#isClosed && isLive(desktop.record.state) && isSide(width) && isSide(height)) {
            desktop.resized(width, height);
          }
        },
        (error: unknown) => log.debug(`desktop ${record.id}: its size: ${String(error)}`),
      )
      .finally(() => {
        desktop.measured = undefined;
      });
    return desktop.measured;
  }

  history(asker: Asker, maxRows: number): readonly DesktopRecord[] {
    return this.#host.store.history(asker === 'everybody' ? undefined : asker, maxRows);
  }

  /** By id or name; names of others are not looked at by everybody's asker unless they are unique. */
  lookUp(asker: Asker, which: string): Outcome<DesktopView> {
    const desktop = this.#find(asker, which);
    return desktop === undefined ? notFound : done(desktop.view);
  }

  #mayAsk(asker: Asker, desktop: Desktop): boolean {
    return asker === 'everybody' || desktop.record.uid === asker;
  }

  #find(asker: Asker, which: string): Desktop | undefined {
    const id = asId(which);
    const found = [...this.#desktops.values()].filter(
      (desktop) =>
        this.#mayAsk(asker, desktop) &&
        isLive(desktop.record.state) &&
        (id === undefined ? desktop.record.name === which : desktop.record.id === id),
    );
    return found.length === 1 ? found[0] : undefined;
  }

  // ---- start ----

  /** Waits for one that is being started. */
  async find(owner: Owner, which: string): Promise<Outcome<DesktopView>> {
    const desktop = this.#find(owner.uid, which);
    if (desktop === undefined) {
      return notFound;
    }
    return (await this.#starting.get(desktop.record.id)) ?? done(desktop.view);
  }

  /** The user's default desktop, or the one of this name: started unless it is there. */
  findOrStart(owner: Owner, which: string, connection: number): Promise<Outcome<DesktopView>> {
    const name = which === '' ? defaultName : which;
    // Nothing is waited for between the look and the start: two at once share one desktop.
    const isThere = this.#find(owner.uid, name) !== undefined;
    return isThere || asId(name) !== undefined
      ? this.find(owner, name)
      : this.start(owner, { ...defaultOrder, name }, connection);
  }

  /** A live name is refused. */
  start(owner: Owner, order: DesktopOrder, connection: number): Promise<Outcome<DesktopView>> {
    const admitted = this.#admit(owner, order);
    if (admitted.is === 'failed') {
      return Promise.resolve(admitted);
    }
    const desktop = admitted.value;
    desktop.startedBy = connection;
    const { id } = desktop.record;
    // In a turn of its own, so that the entry is there before anything can have failed.
    const started = Promise.resolve().then(() => this.#bringUp(desktop));
    this.#starting.set(id, started);
    return started.finally(() => this.#starting.delete(id));
  }

  #geometry(engine: DisplayEngine, order: DesktopOrder): Geometry | undefined {
    const wanted = {
      width: order.width || defaultGeometry.width,
      height: order.height || defaultGeometry.height,
      depth: order.depth || defaultGeometry.depth,
    };
    const isKnown = engine.depths.includes(wanted.depth);
    return isSide(wanted.width) && isSide(wanted.height) && isKnown ? wanted : undefined;
  }

  /** Everything that can be refused without starting a process; the record is in the store then. */
  #admit(owner: Owner, order: DesktopOrder): Outcome<Desktop> {
    const { engines, limits, store, nowMs } = this.#host;
    const protocol = order.protocol || Object.keys(engines)[0];
    const engine =
      protocol !== undefined && Object.hasOwn(engines, protocol) ? engines[protocol] : undefined;
    if (engine === undefined) {
      return failed('badRequest', 'There is no such display protocol.');
    }
    const type = order.type || engine.types[0];
    if (type === undefined || !engine.types.includes(type)) {
      return failed('badRequest', 'There is no such session type.');
    }
    if (!isName(order.name)) {
      return failed('badRequest', 'A desktop cannot have this name.');
    }
    const geometry = this.#geometry(engine, order);
    if (geometry === undefined) {
      return failed('badRequest', 'A desktop cannot have this geometry or depth.');
    }
    if (this.#isClosed) {
      return failed('refused', 'The server is being shut down.');
    }
    const all = [...this.#desktops.values()];
    const own = all.filter((desktop) => desktop.record.uid === owner.uid);
    if (own.some(({ record }) => isLive(record.state) && record.name === order.name)) {
      return failed('nameTaken', `A desktop named ${order.name} is already there.`);
    }
    if (own.length >= limits.desktopsPerUser) {
      return failed('userLimit', 'You have as many desktops as one user may have.');
    }
    if (all.length >= limits.desktops) {
      return failed('totalLimit', 'This server has as many desktops as it may have.');
    }
    const display = this.#freeDisplay();
    if (display === undefined) {
      return failed('totalLimit', 'There is no free display.');
    }
    const id = this.#host.randomBytes(16).toString('hex').toUpperCase();
    const record: DesktopRecord = {
      id,
      name: order.name,
      owner: owner.user,
      uid: owner.uid,
      state: 'starting',
      engine: engine.name,
      type: engine.types[0] ?? type,
      display,
      ...geometry,
      directory: this.#directoryOf(id),
      startedAtMs: nowMs(),
      lastUsedAtMs: nowMs(),
      endedAtMs: undefined,
      reason: '',
    };
    store.insert(record);
    const desktop = new Desktop(record, store, engine);
    this.#desktops.set(id, desktop);
    return done(desktop);
  }

  #directoryOf(id: string): string {
    return join(this.#host.desktopsDirectory, id);
  }

  #freeDisplay(): number | undefined {
    const taken = new Set([...this.#desktops.values()].map(({ record }) => record.display));
    return freeDisplay(this.#host.x11Directory, (display) => taken.has(display));
  }

  async #bringUp(desktop: Desktop): Promise<Outcome<DesktopView>> {
    const { log, nowMs } = this.#host;
    const { id, owner, name } = desktop.record;
    let outcome: Outcome<DesktopView>;
    try {
      outcome = await this.#tryDisplays(desktop);
    } catch (error) {
      const engineError =
        error instanceof EngineError
          ? error
          : new EngineError('spawn', error instanceof Error ? error.message : String(error));
      outcome = failed('engine', engineText(engineError));
    }
    if (outcome.is === 'failed') {
      log.info(`desktop ${id} (${name}) of ${owner}: ${outcome.text}`);
      if (this.#isClosed) {
        return outcome; // the store and what is left belong to the next daemon
      }
      if (!desktop.apply('fail', nowMs(), outcome.text)) {
        log.error(`desktop ${id}: failed in state ${desktop.record.state}`);
      }
      await this.#reap(desktop);
    }
    return outcome;
  }

  async #tryDisplays(desktop: Desktop): Promise<Outcome<DesktopView>> {
    const { log, nowMs } = this.#host;
    const cookie = this.#host.randomBytes(cookieBytes);
    for (let attempt = 0; attempt < maxDisplayTries; attempt++) {
      const { record, engine, userDirectory, xauthorityPath } = desktop;
      const started = await startDesktop(
        {
          ...record,
          startedAt: new Date(record.startedAtMs).toISOString(),
          userDirectory,
          xauthorityPath,
          cookie,
          engine,
        },
        this.#host,
      );
      if (started.is === 'refused') {
        return failed('refused', started.text);
      }
      if (started.is === 'started') {
        const { leader, watch, hasWindow } = started;
        desktop.leader = leader;
        if (this.#isClosed) {
          // The next daemon has looked for it already and knows nothing of this leader.
          await this.#endLeader(desktop);
          return failed('refused', 'The server is being shut down.');
        }
        if (!desktop.apply('ready', nowMs())) {
          // It was to be ended while it started.
          await this.#endLeader(desktop);
          return failed('notFound', 'The desktop was ended while it started.');
        }
        log.info(
          `desktop ${record.id} (${record.name}) of ${record.owner} started on :${record.display}`,
        );
        this.#follow(desktop, watch);
        if (desktop.startedBy === undefined) {
          // Who wanted it has gone meanwhile.
          this.#viewersLeft(desktop);
        }
        void hasWindow.then((isSeen) => this.#windowsSeen(desktop, isSeen));
        return done(desktop.view);
      }
      await removeDirectory(record.directory);
      log.info(`desktop ${record.id}: display :${record.display} is taken by another server`);
      const next = this.#freeDisplay();
      if (next === undefined) {
        break;
      }
      desktop.moveTo(next);
    }
    return failed('totalLimit', 'There is no free display.');
  }

  #windowsSeen(desktop: Desktop, isSeen: boolean): void {
    if (!isSeen && isLive(desktop.record.state)) {
      const seconds = windowTimeoutMs / 1000;
      const line = `No window has appeared on the desktop within ${seconds} seconds; its session may have failed.`;
      this.#host.log.info(`desktop ${desktop.record.id}: ${line}`);
      desktop.warn(line);
    }
  }

  // ---- viewers ----

  /** The descriptor is a stream connected to the display; it belongs to the caller. */
  async attach(
    owner: Owner,
    id: string,
    opener: Opener,
  ): Promise<Outcome<{ readonly viewer: number; readonly descriptor: number }>> {
    const { limits, log, nowMs } = this.#host;
    const desktop = isId(id) ? this.#find(owner.uid, id) : undefined;
    if (desktop === undefined) {
      return notFound;
    }
    await this.#starting.get(id);
    if (desktop.leader === undefined || !isLive(desktop.record.state)) {
      return notFound;
    }
    if (opener.isGone()) {
      return failed('refused', 'The connection has ended.');
    }
    if (desktop.viewers.size >= limits.viewersPerDesktop) {
      return failed('userLimit', 'This desktop has as many viewers as it may have.');
    }
    const viewer = this.#nextViewer++;
    // Counted before the stream is there, so that a suspend in between ends it.
    desktop.viewers.set(viewer, opener);
    let descriptor: number;
    try {
      descriptor = await desktop.leader.connectUnix(
        desktop.engine.socketPath(desktop.userDirectory),
      );
    } catch (error) {
      log.info(`desktop ${id}: no viewer can be connected: ${String(error)}`);
      desktop.viewers.delete(viewer);
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
    return done({ viewer, descriptor });
  }

  /** A viewer went of its own accord. A number of another connection is ignored. */
  detach(connection: number, viewer: number): void {
    for (const desktop of this.#desktops.values()) {
      if (desktop.viewers.get(viewer)?.connection === connection) {
        desktop.viewers.delete(viewer);
        this.#viewersLeft(desktop);
      }
    }
  }

  /** Everything that the connection looked at or has just started goes on without it. */
  connectionClosed(connection: number): void {
    for (const desktop of this.#desktops.values()) {
      const mine = [...desktop.viewers].filter(([, opener]) => opener.connection === connection);
      for (const [viewer] of mine) {
        desktop.viewers.delete(viewer);
      }
      if (mine.length > 0 || desktop.startedBy === connection) {
        desktop.startedBy = undefined;
        this.#viewersLeft(desktop);
      }
    }
  }

  #viewersLeft(desktop: Desktop): void {
    if (desktop.viewers.size === 0 && desktop.apply('last viewer left', this.#host.nowMs())) {
      desktop.used(this.#host.nowMs());
      // What is known of it when it ends unseen.
      void this.#measure(desktop);
    }
  }

  // ---- suspend and end ----

  /** Ends its viewers; the desktop goes on. */
  suspend(asker: Asker, which: string): Outcome<DesktopView> {
    const desktop = this.#find(asker, which);
    if (desktop === undefined || desktop.record.state === 'starting') {
      return notFound;
    }
    desktop.startedBy = undefined;
    desktop.endViewers('The desktop was suspended.');
    this.#viewersLeft(desktop);
    return done(desktop.view);
  }

  /** Settled when nothing of it is left; from the call on its name is free. */
  async terminate(asker: Asker, which: string): Promise<Outcome<DesktopView>> {
    const desktop = this.#find(asker, which);
    if (desktop === undefined) {
      return notFound;
    }
    const { nowMs, log } = this.#host;
    const { view } = desktop;
    desktop.apply('end', nowMs());
    desktop.endViewers('The desktop was terminated.');
    const starting = this.#starting.get(desktop.record.id);
    if (starting !== undefined) {
      await starting;
      return done(view);
    }
    desktop.over ??= (async () => {
      await this.#endLeader(desktop);
      desktop.apply('ended by itself', nowMs(), 'terminated');
      log.info(
        `desktop ${desktop.record.id} (${desktop.record.name}) of ${desktop.record.owner} terminated`,
      );
      await this.#reap(desktop);
    })();
    await desktop.over;
    return done(view);
  }

  async #endLeader(desktop: Desktop): Promise<void> {
    const { leader } = desktop;
    desktop.leader = undefined;
    try {
      await leader?.end(endGraceMs);
    } catch (error) {
      // What it leaves is removed by the reaper.
      this.#host.log.error(`desktop ${desktop.record.id}: leader: ${String(error)}`);
      leader?.drop();
    }
  }

  #follow(desktop: Desktop, watch: LeaderWatch): void {
    watch.farewell
      .then((ending) => this.#endedByItself(desktop, watch, ending))
      .catch((error: unknown) => {
        this.#host.log.error(`desktop ${desktop.record.id}: its end: ${String(error)}`);
      });
  }

  async #endedByItself(desktop: Desktop, watch: LeaderWatch, ending: Ending): Promise<void> {
    const { log, nowMs, sleepMs } = this.#host;
    const { id, name, owner, state } = desktop.record;
    if (this.#isClosed || state === 'ending' || desktop.over !== undefined) {
      return;
    }
    const isOrderly = ending.is === 'ended';
    const reason = isOrderly ? ending.reason : 'its leader ended unexpectedly';
    log.info(`desktop ${id} (${name}) of ${owner} ended: ${reason}`);
    desktop.endViewers('The desktop has ended.');
    desktop.over = (async () => {
      desktop.apply(isOrderly ? 'ended by itself' : 'fail', nowMs(), reason);
      await Promise.race([watch.gone, sleepMs(leaveMs)]);
      await this.#reap(desktop);
    })();
    await desktop.over;
  }

  /** Processes, socket and directory that are still there. Never throws. */
  async #reap(desktop: Desktop): Promise<void> {
    const { record } = desktop;
    this.#desktops.delete(record.id);
    desktop.leader?.drop();
    desktop.leader = undefined;
    await this.#reapRecord(record);
  }

  async #reapRecord(record: DesktopRecord): Promise<void> {
    const { leftovers, log, sleepMs, x11Directory } = this.#host;
    try {
      const directory = this.#directoryOf(record.id);
      if (!isId(record.id) || record.directory !== directory) {
        log.error(
          `desktop ${record.id}: its directory ${record.directory} is not ours, left alone`,
        );
        return;
      }
      await endLeftovers(leftovers, record.uid, `${directory}/user/Xauthority`, sleepMs);
      const isReused = [...this.#desktops.values()].some(
        (other) => other.record.display === record.display && other.record.id !== record.id,
      );
      if (!isReused) {
        removeStaleSocket(x11Directory, record.display, record.uid);
      }
      await removeDirectory(directory);
    } catch (error) {
      log.error(`desktop ${record.id}: not everything could be removed: ${String(error)}`);
    }
  }

  // ---- after a restart of the daemon ----

  /** Before anything else: finds what goes on, fails and removes what does not. */
  async recover(): Promise<void> {
    const records = this.#host.store.unfinished();
    await Promise.all(records.map((record) => this.#recoverOne(record)));
    const known = new Set(records.map(({ id }) => id));
    await Promise.all(
      this.#directories()
        .filter((id) => !known.has(id))
        .map((id) => this.#endStranger(id)),
    );
  }

  #directories(): readonly string[] {
    const names = readdirSync(this.#host.desktopsDirectory, { encoding: 'buffer' });
    const texts = names.map((name) => name.toString('latin1'));
    for (const text of texts.filter((text) => !isId(text))) {
      this.#host.log.error(`${this.#host.desktopsDirectory}: ${text} is not a desktop, left alone`);
    }
    return texts.filter(isId);
  }

  async #recoverOne(record: DesktopRecord): Promise<void> {
    const { log, nowMs, store } = this.#host;
    const engine = Object.values(this.#host.engines).find(({ name }) => name === record.engine);
    const why =
      engine === undefined ? 'its engine is no longer there' : await this.#adopt(record, engine);
    if (why !== undefined) {
      log.info(
        `desktop ${record.id} (${record.name}) of ${record.owner} was not found again: ${why}`,
      );
      store.setEnded(record.id, 'failed', nowMs(), why);
      await this.#reapRecord(record);
    }
  }

  /** Undefined: it goes on. */
  async #adopt(record: DesktopRecord, engine: DisplayEngine): Promise<string | undefined> {
    const { leaders, log, nowMs, store } = this.#host;
    if (!isId(record.id) || record.directory !== this.#directoryOf(record.id)) {
      return 'its directory is not one of ours';
    }
    const startedAt = new Date(record.startedAtMs).toISOString();
    let leader: DesktopLeader;
    try {
      leader = await leaders.reconnect(record.directory);
    } catch (error) {
      return `no leader answers (${error instanceof Error ? error.message : String(error)})`;
    }
    const watch = new LeaderWatch(leader);
    try {
      const found = await leader.desktopDescribe();
      if (
        found.id !== record.id ||
        found.user !== record.owner ||
        found.uid !== record.uid ||
        found.startedAt !== startedAt
      ) {
        await this.#endStrayLeader(leader, record.id);
        return 'the leader that answers is not the one that was started for it';
      }
    } catch (error) {
      leader.drop();
      return `its leader does not say who it is (${String(error)})`;
    }
    const desktop = new Desktop(record, store, engine);
    if (!isLive(record.state) || record.state === 'starting') {
      desktop.leader = leader;
      await this.#endLeader(desktop);
      return `the daemon ended while the desktop was ${record.state}`;
    }
    desktop.leader = leader;
    this.#desktops.set(record.id, desktop);
    desktop.apply('last viewer left', nowMs());
    this.#follow(desktop, watch);
    log.info(`desktop ${record.id} (${record.name}) of ${record.owner} goes on`);
    return undefined;
  }

  async #endStrayLeader(leader: DesktopLeader, id: string): Promise<void> {
    try {
      await leader.end(endGraceMs);
    } catch (error) {
      this.#host.log.error(`desktop ${id}: leader: ${String(error)}`);
      leader.drop();
    }
  }

  /** A directory that no record knows: its leader, if there is one, is ended. */
  async #endStranger(id: string): Promise<void> {
    const { leaders, log } = this.#host;
    const directory = this.#directoryOf(id);
    try {
      await this.#endStrayLeader(await leaders.reconnect(directory), id);
      log.info(`desktop ${id}: ended, because no record knows it`);
    } catch (error) {
      log.debug(`desktop ${id}: no leader answers: ${String(error)}`);
    }
    try {
      await removeDirectory(directory);
    } catch (error) {
      log.error(`desktop ${id}: not everything could be removed: ${String(error)}`);
    }
  }

  /** The desktops go on without this process; their leaders wait for the next one. */
  close(): void {
    this.#isClosed = true;
    for (const desktop of this.#desktops.values()) {
      desktop.leader?.drop();
    }
    this.#desktops.clear();
    this.#host.store.close();
  }
}
