/** PidFile: where scripts look for the daemon that listens. Runs in: monitor. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Log } from '../../audit/log.ts';

export class PidFile {
  readonly #log: Log;
  #path: string | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Another path than before: the old file goes. undefined: there is none. */
  write(path: string | undefined): void {
    if (path === this.#path) {
      return;
    }
    this.remove();
    if (path === undefined) {
      return;
    }
    try {
      writeFileSync(path, `${process.pid}\n`, { mode: 0o644 });
      this.#path = path;
    } catch (error) {
      this.#log.error(`Couldn't create pid file "${path}": ${(error as Error).message}`);
    }
  }

  /** A daemon that was started while this one drains has written its own, which stays. */
  remove(): void {
    const path = this.#path;
    this.#path = undefined;
    if (path !== undefined && isOf(path, process.pid)) {
      rmSync(path, { force: true });
    }
  }
}

function isOf(path: string, pid: number): boolean {
  try {
    return readFileSync(path, 'utf8') === `${pid}\n`;
  } catch {
    return false; // gone already, or no longer a file that can be read: not ours to remove
  }
}
