/**
 * SIGHUP: the configuration is read again and holds for the connections that come then (sshd(8)).
 * One that is broken changes nothing. Runs in: monitor.
 */
import type { Log } from '../../audit/log.ts';

export interface ReloadHost {
  readonly log: Log;
  /** Reads everything and puts it in force; throws with nothing changed. */
  apply(): Promise<void>;
  /** What is wrong, one line each. */
  explain(error: unknown): readonly string[];
}

export class Reload {
  readonly #host: ReloadHost;
  #running: Promise<string> | undefined;
  #isWanted = false;

  constructor(host: ReloadHost) {
    this.#host = host;
  }

  /** What came of it, in a few words. Signals that come while one is followed are followed by one more, with the files as they are then. */
  async request(): Promise<string> {
    this.#isWanted = true;
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<string> {
    let said = '';
    try {
      while (this.#isWanted) {
        this.#isWanted = false;
        said = await this.#once();
      }
    } finally {
      this.#running = undefined;
    }
    return said;
  }

  async #once(): Promise<string> {
    const { log } = this.#host;
    log.info('Received SIGHUP; restarting.');
    try {
      await this.#host.apply();
    } catch (error) {
      for (const line of this.#host.explain(error)) {
        log.error(line);
      }
      const unchanged = 'The configuration was not changed: what held before still holds.';
      log.error(unchanged);
      return unchanged;
    }
    const changed = 'New connections follow the configuration as it was read again.';
    log.info(changed);
    return changed;
  }
}
