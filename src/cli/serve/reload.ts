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
  #isRunning = false;
  #isWanted = false;

  constructor(host: ReloadHost) {
    this.#host = host;
  }

  /** Signals that come while one is followed are followed by one more, with the files as they are then. */
  async request(): Promise<void> {
    this.#isWanted = true;
    if (this.#isRunning) {
      return;
    }
    this.#isRunning = true;
    try {
      while (this.#isWanted) {
        this.#isWanted = false;
        await this.#once();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  async #once(): Promise<void> {
    const { log } = this.#host;
    log.info('Received SIGHUP; restarting.');
    try {
      await this.#host.apply();
    } catch (error) {
      for (const line of this.#host.explain(error)) {
        log.error(line);
      }
      log.error('The configuration was not changed: what held before still holds.');
      return;
    }
    log.info('New connections follow the configuration as it was read again.');
  }
}
