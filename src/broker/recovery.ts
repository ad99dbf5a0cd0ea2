/**
 * After a restart of the daemon: what goes on is found again, what does not is failed and removed.
 * Runs in: monitor.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { BrokerHost } from './broker-host.ts';
import { Desktop } from './desktop.ts';
import type { DesktopEnds } from './desktop-ends.ts';
import type { DesktopSet } from './desktop-set.ts';
import { removeDirectory } from './directory-removal.ts';
import type { DisplayEngine } from './engine.ts';
import type { DesktopLeader } from './leader-port.ts';
import { LeaderWatch } from './leader-watch.ts';
import { isId } from './naming.ts';
import { isLive } from './states.ts';
import { readNote, SingleViewerDesktop } from './single-viewer.ts';
import { singleViewerHost } from './start.ts';
import type { DesktopRecord } from './store.ts';

export class DesktopRecovery {
  readonly #host: BrokerHost;
  readonly #set: DesktopSet;
  readonly #ends: DesktopEnds;

  constructor(host: BrokerHost, set: DesktopSet, ends: DesktopEnds) {
    this.#host = host;
    this.#set = set;
    this.#ends = ends;
  }

  /** Before anything else: finds what goes on, fails and removes what does not. */
  async run(): Promise<void> {
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
    if (this.#isElsewhere(record)) {
      log.info(`desktop ${record.id} (${record.name}) is in ${record.directory}, left alone`);
      return;
    }
    const engine = Object.values(this.#host.engines).find(({ name }) => name === record.engine);
    const why =
      engine === undefined ? 'its engine is no longer there' : await this.#adopt(record, engine);
    if (why !== undefined) {
      log.info(
        `desktop ${record.id} (${record.name}) of ${record.owner} was not found again: ${why}`,
      );
      store.setEnded(record.id, 'failed', nowMs(), why);
      await this.#ends.reapRecord(record);
    }
  }

  /** It belongs to a daemon with the same store and other places, which finds it when it is back. */
  #isElsewhere({ id, directory }: DesktopRecord): boolean {
    return (
      isId(id) &&
      basename(directory) === id &&
      directory !== this.#set.directoryOf(id) &&
      existsSync(join(directory, 'control'))
    );
  }

  /** Undefined: it goes on. */
  async #adopt(record: DesktopRecord, engine: DisplayEngine): Promise<string | undefined> {
    const { leaders, log, nowMs, store } = this.#host;
    if (!isId(record.id) || record.directory !== this.#set.directoryOf(record.id)) {
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
    let note: ReturnType<typeof readNote>;
    try {
      const found = await leader.desktopDescribe();
      note = readNote(found.note);
      if (
        found.id !== record.id ||
        found.user !== record.owner ||
        found.uid !== record.uid ||
        found.startedAt !== startedAt
      ) {
        await this.#ends.endStray(leader, record.id);
        return 'the leader that answers is not the one that was started for it';
      }
    } catch (error) {
      leader.drop();
      return `its leader does not say who it is (${String(error)})`;
    }
    const desktop = new Desktop(record, store, engine, note?.parameters ?? new Map());
    if (!isLive(record.state) || record.state === 'starting') {
      desktop.leader = leader;
      await this.#ends.endLeader(desktop);
      return `the daemon ended while the desktop was ${record.state}`;
    }
    desktop.leader = leader;
    if (engine.single !== undefined) {
      if (!note?.hasSession) {
        await this.#ends.endLeader(desktop);
        return 'nobody had looked at it yet when the daemon ended';
      }
      const host = singleViewerHost(
        { id: record.id, engine, userDirectory: desktop.userDirectory, cookie: note.displayCookie },
        this.#host,
        leader,
        watch.signal,
        note.handle,
      );
      desktop.single = new SingleViewerDesktop(
        host,
        desktop.order(desktop.parameters),
        '',
        undefined,
      );
    }
    this.#set.all.set(record.id, desktop);
    desktop.apply('last viewer left', nowMs());
    this.#ends.follow(desktop, watch);
    log.info(`desktop ${record.id} (${record.name}) of ${record.owner} goes on`);
    return undefined;
  }

  /** A directory that no record knows: its leader, if there is one, is ended. */
  async #endStranger(id: string): Promise<void> {
    const { leaders, log } = this.#host;
    const directory = this.#set.directoryOf(id);
    try {
      await this.#ends.endStray(await leaders.reconnect(directory), id);
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
}
