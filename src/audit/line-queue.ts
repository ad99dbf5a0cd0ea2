/**
 * Lines on their way to a log that may not take them now: a socket whose reader is busy or gone, a
 * pipe that nobody reads. They wait here, in order and bounded; nobody waits for them. What does not
 * fit is dropped and counted, and the count is told when the log takes lines again.
 * Runs in: monitor.
 */
export const maxQueuedLines = 2000;
const retryMs = 20;
const slowestRetryMs = 1000;
/** At the end of the process. */
const flushMs = 250;

/** Writes what is behind `from`; how many bytes, or undefined: not now. `waitMs`: so long at most. */
export type WriteLine = (line: Buffer, from: number, waitMs: number) => number | undefined;

export interface LineQueueOptions {
  readonly write: WriteLine;
  /** The line that tells of dropped ones. */
  readonly tellDropped: (count: number) => Buffer;
}

export class LineQueue {
  readonly #write: WriteLine;
  readonly #tellDropped: (count: number) => Buffer;
  readonly #waiting: Buffer[] = [];
  /** Of the first line. */
  #written = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #delayMs = retryMs;

  constructor({ write, tellDropped }: LineQueueOptions) {
    this.#write = write;
    this.#tellDropped = tellDropped;
  }

  push(line: Buffer): void {
    if (this.#waiting.length >= maxQueuedLines) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    if (this.#timer === undefined) {
      this.#drain(0);
    }
  }

  flush(): void {
    const until = performance.now() + flushMs;
    for (let left = flushMs; this.#waiting.length > 0 && left > 0; ) {
      if (!this.#drain(left)) {
        return;
      }
      left = Math.ceil(until - performance.now());
    }
  }

  /** False: lines are left. */
  #drain(waitMs: number): boolean {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (;;) {
      const [line] = this.#waiting;
      if (line === undefined) {
        if (this.#dropped === 0) {
          this.#delayMs = retryMs;
          return true;
        }
        this.#waiting.push(this.#tellDropped(this.#dropped));
        this.#dropped = 0;
        continue;
      }
      const written = this.#write(line, this.#written, waitMs);
      if (written === undefined) {
        this.#wait();
        return false;
      }
      this.#delayMs = retryMs;
      this.#written += written;
      if (this.#written >= line.length) {
        this.#waiting.shift();
        this.#written = 0;
      }
    }
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#drain(0), this.#delayMs);
    this.#timer.unref();
    this.#delayMs = Math.min(slowestRetryMs, this.#delayMs * 2);
  }
}
