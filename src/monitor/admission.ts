/**
 * Who is let in at accept: PerSourcePenalties, then MaxStartups, then PerSourceMaxStartups, in sshd's
 * order and with its lines. What waits for its login is counted here, for all and for each source.
 * Runs in: monitor.
 */
import { addressBlock } from '../../keys/pattern.ts';
import type { Log } from '../audit/log.ts';
import type { ServerConfig } from '../policy/config.ts';
import type { Endpoints } from './connection.ts';
import { LineBudget } from './line-budget.ts';
import { type PenaltyKind, SourcePenalties } from './source-penalties.ts';
import { Startups } from './startups.ts';

type Config = Pick<
  ServerConfig,
  | 'maxStartups'
  | 'perSourceMaxStartups'
  | 'perSourceNetBlockSize'
  | 'sourcePenalties'
  | 'perSourcePenaltyExemptList'
>;

/** While connections are dropped, the log says so at least this often; the single ones are VERBOSE. */
const throttlingLineMs = 300_000;

interface Throttling {
  readonly sinceMs: number;
  toldMs: number;
  dropped: number;
}

export class Admission {
  #config: Config;
  readonly #nowMs: () => number;
  readonly #startups: Startups;
  readonly #penalties: SourcePenalties;
  /** Unauthenticated connections of each block of addresses; no more blocks than MaxStartups allows. */
  readonly #ofSource = new Map<string, number>();
  /** Penalised sources may knock as often as they like; the log has an end. */
  readonly #penaltyLines: LineBudget;
  #throttling: Throttling | undefined;

  constructor(config: Config, nowMs: () => number, random: () => number) {
    this.#config = config;
    this.#nowMs = nowMs;
    this.#startups = new Startups(config.maxStartups, random);
    this.#penalties = new SourcePenalties(config, nowMs);
    this.#penaltyLines = new LineBudget(nowMs);
  }

  /** Who comes now is judged by this; who is in, and who waits outside, stays where he is. */
  limitBy(config: Config): void {
    this.#config = config;
    this.#startups.limits = config.maxStartups;
    this.#penalties.limitBy(config);
  }

  /** `refusal`: the line that the peer is told. `leave`: once it has logged in or ended. */
  admit(
    endpoints: Endpoints,
    root: Log,
    about: () => Log,
  ): { readonly refusal: string } | { readonly leave: () => void } {
    const penalty = this.#penalties.refusal(endpoints.remoteAddress);
    if (penalty !== undefined) {
      this.#tellPenalty(endpoints, penalty, about);
      return { refusal: 'Not allowed at this time\r\n' };
    }
    const source = this.#sourceOf(endpoints.remoteAddress);
    const ofSource = this.#ofSource.get(source) ?? 0;
    if (this.#startups.drops() || ofSource >= this.#config.perSourceMaxStartups) {
      this.#throttle(endpoints, root, about);
      return { refusal: 'Exceeded MaxStartups\r\n' };
    }
    this.#startups.enter();
    this.#ofSource.set(source, ofSource + 1);
    this.#endThrottling(root);
    return { leave: () => this.#leave(source) };
  }

  #leave(source: string): void {
    this.#startups.leave();
    const left = (this.#ofSource.get(source) ?? 1) - 1;
    if (left > 0) {
      this.#ofSource.set(source, left);
    } else {
      this.#ofSource.delete(source);
    }
  }

  /** It has ended without a login. */
  penalise(address: string, kind: PenaltyKind, log: Log): void {
    this.#penalties.penalise(address, kind, log);
  }

  #sourceOf(address: string): string {
    const block = addressBlock(address, this.#config.perSourceNetBlockSize);
    return block === undefined ? address : `${block.version}/${block.bits}/${block.key}`;
  }

  #dropLine({ remoteAddress, remotePort, localAddress, localPort }: Endpoints, why: string) {
    const from = `[${remoteAddress}]:${remotePort}`;
    const on = `[${localAddress}]:${localPort}`;
    return `drop connection #${this.#startups.unauthenticated} from ${from} on ${on} ${why}`;
  }

  #dropEvent(reason: string) {
    return {
      event: 'connection.dropped',
      reason,
      count: this.#startups.unauthenticated,
    } as const;
  }

  #tellPenalty(endpoints: Endpoints, why: string, about: () => Log): void {
    const untold = this.#penaltyLines.take();
    if (untold === undefined) {
      return;
    }
    const log = about();
    if (untold > 0) {
      log.error(`penalties: ${untold} dropped connections more, without a line of their own`);
    }
    log.info(this.#dropLine(endpoints, why), this.#dropEvent(why));
  }

  #throttle(endpoints: Endpoints, root: Log, about: () => Log): void {
    const nowMs = this.#nowMs();
    const running = this.#throttling;
    if (running === undefined) {
      this.#throttling = { sinceMs: nowMs, toldMs: nowMs, dropped: 1 };
      root.error('beginning MaxStartups throttling');
      this.#tellDrop('INFO', endpoints, about);
      return;
    }
    running.dropped++;
    if (nowMs - running.toldMs < throttlingLineMs) {
      // In a flood the line is not even made where nobody hears it.
      if (root.isHeard('VERBOSE')) {
        this.#tellDrop('VERBOSE', endpoints, about);
      }
      return;
    }
    running.toldMs = nowMs;
    const after = timeFrame(nowMs - running.sinceMs);
    root.error(`in MaxStartups throttling for ${after}, ${running.dropped} connections dropped`);
    this.#tellDrop('INFO', endpoints, about);
  }

  #tellDrop(level: 'INFO' | 'VERBOSE', endpoints: Endpoints, about: () => Log): void {
    const line = this.#dropLine(endpoints, 'past MaxStartups');
    about().at(level, line, this.#dropEvent('MaxStartups'));
  }

  #endThrottling(log: Log): void {
    const running = this.#throttling;
    if (running !== undefined && this.#startups.unauthenticated < this.#config.maxStartups.start) {
      this.#throttling = undefined;
      const after = timeFrame(this.#nowMs() - running.sinceMs);
      log.info(
        `exited MaxStartups throttling after ${after}, ${running.dropped} connections dropped`,
      );
    }
  }
}

/** `01:02:03`; hours beyond a day go on counting. */
function timeFrame(durationMs: number): string {
  const seconds = Math.floor(durationMs / 1000);
  return [seconds / 3600, (seconds / 60) % 60, seconds % 60]
    .map((part) => String(Math.floor(part)).padStart(2, '0'))
    .join(':');
}
