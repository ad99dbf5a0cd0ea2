/**
 * Whether the client is still there: asked after each interval without a word of it, given up after
 * so many questions (ClientAliveInterval, ClientAliveCountMax of sshd_config(5)). Runs in: worker.
 */

export interface KeepaliveOptions {
  readonly intervalMs: number;
  /** 0: an unanswered question ends nothing. */
  readonly countMax: number;
  /** Sends what the client has to answer. */
  readonly ask: () => void;
  /** Once; nothing is asked any more. */
  readonly onSilent: () => void;
  readonly nowMs?: () => number;
}

export class Keepalive {
  readonly #options: KeepaliveOptions;
  readonly #nowMs: () => number;
  #lastMs: number;
  #unanswered = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#lastMs = this.#nowMs();
    this.#wait(options.intervalMs);
  }

  /** Anything that came of the client is an answer. */
  heard(): void {
    this.#lastMs = this.#nowMs();
    this.#unanswered = 0;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.#look(), ms);
  }

  #look(): void {
    const { intervalMs, countMax, ask, onSilent } = this.#options;
    const leftMs = intervalMs - (this.#nowMs() - this.#lastMs);
    if (leftMs > 0) {
      this.#wait(leftMs);
      return;
    }
    this.#unanswered++;
    if (countMax > 0 && this.#unanswered > countMax) {
      this.stop();
      onSilent();
      return;
    }
    this.#lastMs = this.#nowMs();
    this.#wait(intervalMs);
    ask();
  }
}
