/**
 * PerSourcePenalties (sshd_config(5)): a source that has failed, crashed something or wasted time
 * waits before it is let in again. The table is bounded for each address family, so that whoever owns
 * a network of IPv6 fills no memory. The lines are sshd's. Runs in: monitor.
 */
import { addressBlock, matchAddressList } from '../../keys/pattern.ts';
import type { Log } from '../audit/log.ts';
import type { ServerConfig, SourcePenalties as Settings } from '../policy/config.ts';
import { PenaltyTable } from './penalty-table.ts';

export type PenaltyKind =
  | 'crash'
  | 'authfail'
  | 'noauth'
  | 'invaliduser'
  | 'grace-exceeded'
  | 'refuseconnection';

const kinds: Readonly<
  Record<
    PenaltyKind,
    { readonly lengthMs: (settings: Settings) => number; readonly reason: string }
  >
> = {
  crash: { lengthMs: ({ crashMs }) => crashMs, reason: 'penalty: caused crash' },
  authfail: {
    lengthMs: ({ authFailMs }) => authFailMs,
    reason: 'penalty: failed authentication',
  },
  noauth: {
    lengthMs: ({ noAuthMs }) => noAuthMs,
    reason: 'penalty: connections without attempting authentication',
  },
  invaliduser: {
    lengthMs: ({ invalidUserMs }) => invalidUserMs,
    reason: 'penalty: attempted authentication by invalid user',
  },
  'grace-exceeded': {
    lengthMs: ({ graceExceededMs }) => graceExceededMs,
    reason: 'penalty: exceeded LoginGraceTime',
  },
  refuseconnection: {
    lengthMs: ({ refuseConnectionMs }) => refuseConnectionMs,
    reason: 'penalty: connection prohibited by RefuseConnection',
  },
};

type Config = Pick<
  ServerConfig,
  'sourcePenalties' | 'perSourceNetBlockSize' | 'perSourcePenaltyExemptList'
>;

export class SourcePenalties {
  #config: Config;
  readonly #nowMs: () => number;
  #tables = { 4: new PenaltyTable(), 6: new PenaltyTable() } as const;

  constructor(config: Config, nowMs: () => number) {
    this.#config = config;
    this.#nowMs = nowMs;
  }

  /** What has been earned stays, unless sources are no longer what they were. */
  limitBy(config: Config): void {
    const { bits4, bits6 } = this.#config.perSourceNetBlockSize;
    const next = config.perSourceNetBlockSize;
    this.#config = config;
    if (bits4 !== next.bits4 || bits6 !== next.bits6) {
      this.#tables = { 4: new PenaltyTable(), 6: new PenaltyTable() };
    }
  }

  /** Why nobody is let in from there now, in sshd's words; undefined: no reason. */
  refusal(address: string): string | undefined {
    const found = this.#tableOf(address);
    if (found === undefined) {
      return undefined;
    }
    const { table, block, most, overflow } = found;
    const nowMs = this.#nowMs();
    table.expire(nowMs);
    if (overflow === 'deny-all' && table.size >= most) {
      return 'too many penalised addresses';
    }
    const penalty = table.find(block.key);
    return penalty?.isActive === true ? penalty.reason : undefined;
  }

  penalise(address: string, kind: PenaltyKind, log: Log): void {
    const settings = this.#config.sourcePenalties;
    const found = this.#tableOf(address);
    const { lengthMs, reason } = kinds[kind];
    const addedMs = lengthMs(settings);
    if (found === undefined || addedMs <= 0) {
      return;
    }
    const { table, block, most, overflow } = found;
    const nowMs = this.#nowMs();
    table.expire(nowMs);
    const family = `ipv${block.version}`;
    const who = `${address}/${block.bits}`;
    const before = table.find(block.key);
    if (overflow === 'deny-all' && before === undefined && table.size >= most) {
      log.verbose(
        `srclimit_penalise: ${family} penalty table full, cannot penalise ${who} for ${reason}`,
      );
      return;
    }
    if (before === undefined) {
      const isActive = addedMs > settings.minMs;
      table.insert({ block: block.key, endsMs: nowMs + addedMs, isActive, reason });
      const state = isActive ? 'active' : 'deferred';
      const line = `srclimit_penalise: ${family}: new ${who} ${state} penalty of ${inSeconds(addedMs)} seconds for ${reason}`;
      log.at(isActive ? 'INFO' : 'VERBOSE', line);
      if (table.size > most) {
        table.dropFirst();
      }
      return;
    }
    before.endsMs = Math.min(before.endsMs + addedMs, nowMs + settings.maxMs);
    before.reason = reason;
    const leftMs = before.endsMs - nowMs;
    if (leftMs > settings.minMs && !before.isActive) {
      before.isActive = true;
      log.info(
        `srclimit_penalise: ${who}: activating ${family} penalty of ${inSeconds(leftMs)} seconds for ${reason}`,
      );
    }
  }

  /** Undefined: penalties do not apply to this source. */
  #tableOf(address: string) {
    const { sourcePenalties, perSourceNetBlockSize, perSourcePenaltyExemptList } = this.#config;
    if (!sourcePenalties.isOn) {
      return undefined;
    }
    // What has no address (-i on pipes) has no source either.
    const block = addressBlock(address, perSourceNetBlockSize);
    const isExempt =
      perSourcePenaltyExemptList !== 'none' &&
      matchAddressList(address, perSourcePenaltyExemptList) === 'match';
    if (block === undefined || isExempt) {
      return undefined;
    }
    const { maxSources4, maxSources6, overflow4, overflow6 } = sourcePenalties;
    return {
      table: this.#tables[block.version],
      block,
      most: block.version === 4 ? maxSources4 : maxSources6,
      overflow: block.version === 4 ? overflow4 : overflow6,
    };
  }
}

function inSeconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}
