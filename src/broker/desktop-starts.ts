/** Who may start a desktop, and how it gets a display of its own. Runs in: monitor. */
import { statSync } from 'node:fs';
import { EngineError } from '../base/errors.ts';
import type { BrokerHost } from './broker-host.ts';
import { Desktop, type DesktopView } from './desktop.ts';
import type { DesktopEnds } from './desktop-ends.ts';
import { type DesktopSet, isSide } from './desktop-set.ts';
import { removeDirectory } from './directory-removal.ts';
import type { DisplayEngine, Geometry } from './engine.ts';
import { defaultGeometry } from './limits.ts';
import { asId, defaultName, isName } from './naming.ts';
import { type DesktopOrder, done, failed, notFound, type Outcome, type Owner } from './outcome.ts';
import { startDesktop, windowTimeoutMs } from './start.ts';
import { isLive } from './states.ts';
import type { DesktopRecord } from './store.ts';
import { cookieBytes } from './x-display.ts';

const maxDisplayTries = 5;

const defaultOrder: DesktopOrder = {
  name: defaultName,
  protocol: '',
  type: '',
  width: 0,
  height: 0,
  depth: 0,
  parameters: new Map(),
};

/** `detail` of an EngineError, then its lines. */
function engineText(error: EngineError): string {
  return [`The desktop could not be started: ${error.detail}`, ...error.logTail].join('\n');
}

export class DesktopStarts {
  readonly #host: BrokerHost;
  readonly #set: DesktopSet;
  readonly #ends: DesktopEnds;
  /** By id: what others who want the same desktop wait for. */
  readonly #starting = new Map<string, Promise<Outcome<DesktopView>>>();

  constructor(host: BrokerHost, set: DesktopSet, ends: DesktopEnds) {
    this.#host = host;
    this.#set = set;
    this.#ends = ends;
  }

  /** Undefined: it is not being started. Never rejects. */
  pending(id: string): Promise<Outcome<DesktopView>> | undefined {
    return this.#starting.get(id);
  }

  /** Waits for one that is being started. */
  async find(owner: Owner, which: string): Promise<Outcome<DesktopView>> {
    const desktop = this.#set.find(owner.uid, which);
    if (desktop === undefined) {
      return notFound;
    }
    return (await this.#starting.get(desktop.record.id)) ?? done(desktop.view);
  }

  /** The user's default desktop, or the one of this name: started unless it is there. */
  findOrStart(owner: Owner, which: string, connection: number): Promise<Outcome<DesktopView>> {
    const name = which === '' ? defaultName : which;
    // Nothing is waited for between the look and the start: two at once share one desktop.
    const isThere = this.#set.find(owner.uid, name) !== undefined;
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
    const started = Promise.resolve().then(() => this.#bringUp(desktop, owner));
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
    const missing = engine.missing();
    if (missing !== undefined) {
      return failed('badRequest', missing);
    }
    const read = engine.readParameters(order.parameters, type);
    if (read.is === 'refused') {
      return failed('badRequest', read.why);
    }
    const session = engine.session({ type, parameters: read.parameters }, '');
    if ('why' in session) {
      return failed('badRequest', session.why);
    }
    const geometry = this.#geometry(engine, order);
    if (geometry === undefined) {
      return failed('badRequest', 'A desktop cannot have this geometry or depth.');
    }
    if (this.#set.isClosed) {
      return failed('refused', 'The server is being shut down.');
    }
    const all = [...this.#set.all.values()];
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
    const display = this.#set.freeDisplay();
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
      type,
      display,
      ...geometry,
      directory: this.#set.directoryOf(id),
      startedAtMs: nowMs(),
      lastUsedAtMs: nowMs(),
      endedAtMs: undefined,
      reason: '',
    };
    store.insert(record);
    const desktop = new Desktop(record, store, engine, read.parameters);
    this.#set.all.set(id, desktop);
    return done(desktop);
  }

  async #bringUp(desktop: Desktop, asker: Owner): Promise<Outcome<DesktopView>> {
    const { log, nowMs } = this.#host;
    const { id, owner, name } = desktop.record;
    let outcome: Outcome<DesktopView>;
    try {
      outcome = await this.#tryDisplays(desktop, asker);
    } catch (error) {
      const engineError =
        error instanceof EngineError
          ? error
          : new EngineError('spawn', error instanceof Error ? error.message : String(error));
      outcome = failed('engine', engineText(engineError));
    }
    if (outcome.is === 'failed') {
      log.info(`desktop ${id} (${name}) of ${owner}: ${outcome.text}`);
      if (this.#set.isClosed) {
        return outcome; // the store and what is left belong to the next daemon
      }
      if (!desktop.apply('fail', nowMs(), outcome.text)) {
        log.error(`desktop ${id}: failed in state ${desktop.record.state}`);
      }
      await this.#ends.reap(desktop);
    }
    return outcome;
  }

  async #tryDisplays(desktop: Desktop, asker: Owner): Promise<Outcome<DesktopView>> {
    const { log, nowMs } = this.#host;
    const cookie = this.#host.randomBytes(cookieBytes);
    for (let attempt = 0; attempt < maxDisplayTries; attempt++) {
      const { record, engine } = desktop;
      const started = await startDesktop(
        {
          ...record,
          ...desktop.order(desktop.parameters),
          startedAt: new Date(record.startedAtMs).toISOString(),
          cookie,
          engine,
          tickets: asker.tickets ?? '',
          pamService: asker.pamService,
          allowAgentForwarding: asker.allowAgentForwarding,
        },
        this.#host,
      );
      if (started.is === 'refused') {
        return failed('refused', started.text);
      }
      if (started.is === 'started') {
        const { leader, watch, hasWindow } = started;
        desktop.leader = leader;
        desktop.single = started.single;
        if (this.#set.isClosed) {
          // The next daemon has looked for it already and knows nothing of this leader.
          await this.#ends.endLeader(desktop);
          return failed('refused', 'The server is being shut down.');
        }
        if (!desktop.apply('ready', nowMs())) {
          // It was to be ended while it started.
          await this.#ends.endLeader(desktop);
          return failed('notFound', 'The desktop was ended while it started.');
        }
        log.info(
          `desktop ${record.id} (${record.name}) of ${record.owner} started on :${record.display}`,
          { event: 'desktop.started', desktop: record.id },
        );
        this.#sayIfUnbounded(desktop);
        this.#ends.follow(desktop, watch);
        if (desktop.startedBy === undefined) {
          // Who wanted it has gone meanwhile.
          this.#set.viewersLeft(desktop);
        }
        void hasWindow.then((isSeen) => this.#windowsSeen(desktop, isSeen));
        return done(desktop.view);
      }
      await removeDirectory(record.directory);
      log.info(`desktop ${record.id}: display :${record.display} is taken by another server`);
      const next = this.#set.freeDisplay();
      if (next === undefined) {
        break;
      }
      desktop.moveTo(next);
    }
    return failed('totalLimit', 'There is no free display.');
  }

  /** Where a leader may not mount, as in many containers, its user can fill what all of /run is on. */
  #sayIfUnbounded({ record, userDirectory }: Desktop): void {
    const [whole, part] = [record.directory, userDirectory].map(
      (path) => statSync(path, { throwIfNoEntry: false })?.dev,
    );
    if (process.getuid?.() === 0 && part !== undefined && part === whole) {
      this.#host.log.info(`desktop ${record.id}: ${userDirectory} has no bound of its own`);
    }
  }

  #windowsSeen(desktop: Desktop, isSeen: boolean): void {
    if (!isSeen && isLive(desktop.record.state)) {
      const seconds = windowTimeoutMs / 1000;
      const line = `No window has appeared on the desktop within ${seconds} seconds; its session may have failed.`;
      this.#host.log.info(`desktop ${desktop.record.id}: ${line}`);
      desktop.warn(line);
    }
  }
}
