/**
 * ChannelTimeout and UnusedConnectionTimeout of sshd_config(5): channels on which nothing moves, and
 * connections that have none. Channels count what they move and are looked at twice a second, so that
 * no packet costs a timer. Runs in: worker.
 */
import { matchesPattern } from '../../../keys/pattern.ts';

export interface InactivityLimits {
  /** The first that matches counts; 0 is no limit. */
  readonly channels: readonly { readonly pattern: string; readonly seconds: number }[];
  /** 0: a connection needs no channel. */
  readonly unusedSeconds: number;
}

export interface InactivityOptions extends InactivityLimits {
  /** Those that we have not closed. */
  readonly openChannels: () => Iterable<WatchedChannel>;
  /** Nor is one being opened. */
  readonly isUnused: () => boolean;
  readonly onInactive: (channel: WatchedChannel, seconds: number) => void;
  /** Once; nothing is watched any more. */
  readonly onUnused: () => void;
  readonly nowMs?: () => number;
}

export interface WatchedChannel {
  readonly number: number;
  /** By what name ChannelTimeout knows it. */
  readonly timeoutType: string;
  /** Changes with every piece of data, in either direction. */
  readonly activity: number;
  abort(): void;
}

interface Seen {
  readonly activity: number;
  readonly timeoutType: string;
  readonly sinceMs: number;
  readonly timeoutSeconds: number;
}

/** Of all channels together; not matched by wildcards. */
const globalType = 'global';
const tickMs = 500;

export class Inactivity {
  readonly #options: InactivityOptions;
  readonly #nowMs: () => number;
  readonly #globalSeconds: number;
  readonly #timer: NodeJS.Timeout;
  #seen = new Map<WatchedChannel, Seen>();
  #lastMs: number;
  #usedMs: number;

  constructor(options: InactivityOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#globalSeconds =
      options.channels.find(({ pattern }) => pattern === globalType)?.seconds ?? 0;
    this.#lastMs = this.#nowMs();
    this.#usedMs = this.#lastMs;
    this.#timer = setInterval(() => this.look(), tickMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  look(): void {
    const nowMs = this.#nowMs();
    this.#lookAtChannels(nowMs);
    const { unusedSeconds, isUnused, onUnused } = this.#options;
    if (!isUnused()) {
      this.#usedMs = nowMs;
    } else if (unusedSeconds > 0 && nowMs - this.#usedMs >= unusedSeconds * 1000) {
      this.stop();
      onUnused();
    }
  }

  #lookAtChannels(nowMs: number): void {
    const seen = new Map<WatchedChannel, Seen>();
    for (const channel of this.#options.openChannels()) {
      const { activity, timeoutType } = channel;
      const before = this.#seen.get(channel);
      if (before?.activity === activity && before.timeoutType === timeoutType) {
        seen.set(channel, before);
      } else {
        this.#lastMs = nowMs;
        const timeoutSeconds = this.#timeoutOf(timeoutType);
        seen.set(channel, { activity, timeoutType, sinceMs: nowMs, timeoutSeconds });
      }
    }
    this.#seen = seen;
    const isAllOver = this.#globalSeconds > 0 && nowMs - this.#lastMs >= this.#globalSeconds * 1000;
    for (const [channel, { sinceMs, timeoutSeconds }] of seen) {
      if (isAllOver || (timeoutSeconds > 0 && nowMs - sinceMs >= timeoutSeconds * 1000)) {
        this.#options.onInactive(channel, isAllOver ? this.#globalSeconds : timeoutSeconds);
        channel.abort();
      }
    }
  }

  #timeoutOf(timeoutType: string): number {
    const { channels } = this.#options;
    const found = channels.find(
      ({ pattern }) => pattern !== globalType && matchesPattern(timeoutType, pattern),
    );
    return found?.seconds ?? 0;
  }
}
