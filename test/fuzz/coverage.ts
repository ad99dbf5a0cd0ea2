/** Whether the sources have been reached in places where they were not before; V8 counts blocks. */
import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

export class CoverageWatch {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** The counters begin anew with each call. */
  hasGrown(): boolean {
    const before = this.#seen.size;
    this.#session.post('Profiler.takePreciseCoverage', (error, reply) => {
      if (error === null) {
        this.#take((reply as { readonly result: readonly ScriptCoverage[] }).result);
      }
    });
    return this.#seen.size > before;
  }

  #take(scripts: readonly ScriptCoverage[]): void {
    for (const { url, functions } of scripts) {
      if (/\/(src|keys|pam|subsystems)\//.test(url) && !url.includes('/node_modules/')) {
        for (const { ranges } of functions) {
          for (const { startOffset, endOffset, count } of ranges) {
            if (count > 0) {
              this.#seen.add(`${url}:${startOffset}-${endOffset}`);
            }
          }
        }
      }
    }
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}
