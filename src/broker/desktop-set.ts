/** The desktops that there are: looked up, listed with their sizes, left. Runs in: monitor. */
import { join } from 'node:path';
import type { BrokerHost } from './broker-host.ts';
import type { Desktop, DesktopView } from './desktop.ts';
import { maxSide, minSide } from './limits.ts';
import { asId } from './naming.ts';
import type { Asker } from './outcome.ts';
import { isLive } from './states.ts';
import { displaySocket, freeDisplay } from './x-display.ts';

/** So long a list waits for displays to say their sizes. */
const measureMs = 1_500;

export function isSide(side: number): boolean {
  return side >= minSide && side <= maxSide;
}

export class DesktopSet {
  readonly #host: BrokerHost;
  /** By id; live ones and those whose end is not over yet. */
  readonly all = new Map<string, Desktop>();
  /** Everything belongs to the next daemon. */
  isClosed = false;

  constructor(host: BrokerHost) {
    this.#host = host;
  }

  list(asker: Asker): readonly DesktopView[] {
    return [...this.all.values()]
      .filter((desktop) => this.mayAsk(asker, desktop) && isLive(desktop.record.state))
      .map((desktop) => desktop.view);
  }

  /** With the sizes that the displays have now: viewers change them without our knowledge. */
  async listMeasured(asker: Asker): Promise<readonly DesktopView[]> {
    const asked = [...this.all.values()].filter((desktop) => this.mayAsk(asker, desktop));
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
          if (!this.isClosed && isLive(desktop.record.state) && isSide(width) && isSide(height)) {
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

  mayAsk(asker: Asker, desktop: Desktop): boolean {
    return asker === 'everybody' || desktop.record.uid === asker;
  }

  find(asker: Asker, which: string): Desktop | undefined {
    const id = asId(which);
    const found = [...this.all.values()].filter(
      (desktop) =>
        this.mayAsk(asker, desktop) &&
        isLive(desktop.record.state) &&
        (id === undefined ? desktop.record.name === which : desktop.record.id === id),
    );
    return found.length === 1 ? found[0] : undefined;
  }

  directoryOf(id: string): string {
    return join(this.#host.desktopsDirectory, id);
  }

  freeDisplay(): number | undefined {
    const taken = new Set([...this.all.values()].map(({ record }) => record.display));
    return freeDisplay(this.#host.x11Directory, (display) => taken.has(display));
  }

  viewersLeft(desktop: Desktop): void {
    desktop.agent?.viewersLeft();
    if (desktop.viewers.size === 0 && desktop.apply('last viewer left', this.#host.nowMs())) {
      desktop.used(this.#host.nowMs());
      // What is known of it when it ends unseen.
      void this.#measure(desktop);
    }
  }

  // ---- suspend and end ----
}
