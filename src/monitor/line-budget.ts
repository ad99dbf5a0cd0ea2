/**
 * How many lines a worker may put into the log: what a client can make it say, or somebody who runs
 * code in it, must not fill the disk or push what matters out of sight. Runs in: monitor.
 */
const burstLines = 2000;
const linesPerSecond = 200;

export class LineBudget {
  readonly #nowMs: () => number;
  #left = burstLines;
  #filledMs: number;
  #dropped = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#filledMs = nowMs();
  }

  /** Undefined: the line is dropped. Else how many were dropped before it. */
  take(): number | undefined {
    const nowMs = this.#nowMs();
    const more = ((nowMs - this.#filledMs) / 1000) * linesPerSecond;
    this.#left = Math.min(burstLines, this.#left + more);
    this.#filledMs = nowMs;
    if (this.#left < 1) {
      this.#dropped++;
      return undefined;
    }
    this.#left--;
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}
