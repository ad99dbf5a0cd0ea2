/**
 * The end of desktops: their leaders, processes, sockets and directories. Names are data.
 * Runs in: monitor.
 */
import type { BrokerHost } from './broker-host.ts';
import { DesktopAgent } from './desktop-agent.ts';
import { type Desktop, viewerStatus } from './desktop.ts';
import type { DesktopSet } from './desktop-set.ts';
import { removeDirectory } from './directory-removal.ts';
import type { DesktopLeader } from './leader-port.ts';
import type { Ending, LeaderWatch } from './leader-watch.ts';
import { endLeftovers } from './leftovers.ts';
import { isId } from './naming.ts';
import type { DesktopRecord } from './store.ts';
import { removeStale } from './x-display.ts';

const endGraceMs = 2_000;
/** A leader that has said goodbye is waited for before its directory is looked at. */
const leaveMs = 10_000;

export class DesktopEnds {
  readonly #host: BrokerHost;
  readonly #set: DesktopSet;

  constructor(host: BrokerHost, set: DesktopSet) {
    this.#host = host;
    this.#set = set;
  }

  async endLeader(desktop: Desktop): Promise<void> {
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

  follow(desktop: Desktop, watch: LeaderWatch): void {
    if (desktop.leader !== undefined) {
      const agent = new DesktopAgent(desktop, desktop.leader, this.#host.log);
      desktop.agent = agent;
      agent.begin();
    }
    watch.farewell
      .then((ending) => this.#endedByItself(desktop, watch, ending))
      .catch((error: unknown) => {
        this.#host.log.error(`desktop ${desktop.record.id}: its end: ${String(error)}`);
      });
  }

  async #endedByItself(desktop: Desktop, watch: LeaderWatch, ending: Ending): Promise<void> {
    const { log, nowMs, sleepMs } = this.#host;
    const { id, name, owner, state } = desktop.record;
    if (this.#set.isClosed || state === 'ending' || desktop.over !== undefined) {
      return;
    }
    const isOrderly = ending.is === 'ended';
    const reason = isOrderly ? ending.reason : 'its leader ended unexpectedly';
    log.info(`desktop ${id} (${name}) of ${owner} ended: ${reason}`, {
      event: 'desktop.ended',
      desktop: id,
      reason,
    });
    desktop.endViewers(`The desktop has ended: ${reason}.`, viewerStatus.ended);
    desktop.over = (async () => {
      desktop.apply(isOrderly ? 'ended by itself' : 'fail', nowMs(), reason);
      await Promise.race([watch.gone, sleepMs(leaveMs)]);
      await this.reap(desktop);
    })();
    await desktop.over;
  }

  /** Processes, socket and directory that are still there. Never throws. */
  async reap(desktop: Desktop): Promise<void> {
    const { record } = desktop;
    this.#set.all.delete(record.id);
    desktop.leader?.drop();
    desktop.leader = undefined;
    await this.reapRecord(record);
  }

  async reapRecord(record: DesktopRecord): Promise<void> {
    const { leftovers, log, sleepMs, x11Directory } = this.#host;
    try {
      const directory = this.#set.directoryOf(record.id);
      if (!isId(record.id) || record.directory !== directory) {
        log.error(
          `desktop ${record.id}: its directory ${record.directory} is not ours, left alone`,
        );
        return;
      }
      await endLeftovers(leftovers, record.uid, `${directory}/user/Xauthority`, sleepMs);
      const isReused = [...this.#set.all.values()].some(
        (other) => other.record.display === record.display && other.record.id !== record.id,
      );
      if (!isReused) {
        removeStale(x11Directory, record.display, record.uid);
      }
      await removeDirectory(directory);
    } catch (error) {
      log.error(`desktop ${record.id}: not everything could be removed: ${String(error)}`);
    }
  }

  async endStray(leader: DesktopLeader, id: string): Promise<void> {
    try {
      await leader.end(endGraceMs);
    } catch (error) {
      this.#host.log.error(`desktop ${id}: leader: ${String(error)}`);
      leader.drop();
    }
  }
}
