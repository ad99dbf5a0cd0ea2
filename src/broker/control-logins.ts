/** Logins as the control socket tells them: `who` and `last`. Runs in: monitor, user. */
import type { Asker } from './outcome.ts';

/** As `who --json` prints it. Times are ISO 8601 UTC. */
export interface ListedLogin {
  readonly id: string;
  readonly user: string;
  /** `sshdesk`: a login here. `sshd`: a process of another server's login that asks for desktops. */
  readonly via: 'sshdesk' | 'sshd';
  /** Of a login elsewhere it is what that process says; empty: unknown. */
  readonly address: string;
  readonly port: number;
  readonly since: string;
  /** Since somebody typed on a terminal of it; null: it has none. */
  readonly idleMs: number | null;
  /** Empty: they are known to the other server alone. */
  readonly factors: readonly string[];
  /** null: the daemon that has the login has not said it. */
  readonly open: ListedOpen | null;
  /** pid of the daemon that has the login. */
  readonly daemon: number;
  /** That daemon takes no more logins. */
  readonly draining: boolean;
}

export interface ListedOpen {
  readonly sessions: readonly {
    readonly kind: string;
    readonly terminal: string;
    readonly since: string;
  }[];
  readonly listeners: number;
  readonly agent: boolean;
  readonly x11: number;
  /** One for each viewer. */
  readonly desktops: readonly { readonly id: string; readonly name: string }[];
}

/** As `last --json` prints it. */
export interface PastLogin {
  readonly id: string;
  readonly user: string;
  readonly address: string;
  readonly port: number;
  readonly terminal: string;
  readonly startedAt: string;
  /** null: the daemon went without a word. */
  readonly endedAt: string | null;
  readonly factors: readonly string[];
  readonly exit: string;
  readonly why: string;
}

export interface PastLoginQuery {
  readonly user: string | undefined;
  readonly sinceMs: number;
  readonly count: number;
}

export interface Logins {
  who(asker: Asker): readonly ListedLogin[];
  /** Undefined: they are not recorded; the log says why. */
  last(asker: Asker, query: PastLoginQuery): readonly PastLogin[] | undefined;
}

export const mostLogins = 2_000;

/** Undefined: it is none. */
export function pastLoginQuery(value: object): PastLoginQuery | undefined {
  const user = 'user' in value ? value.user : undefined;
  const sinceMs = 'sinceMs' in value ? value.sinceMs : 0;
  const count = 'count' in value ? value.count : mostLogins;
  const isWhole = (one: unknown): one is number => Number.isSafeInteger(one) && Number(one) >= 0;
  if ((user !== undefined && typeof user !== 'string') || !isWhole(sinceMs) || !isWhole(count)) {
    return undefined;
  }
  return { user, sinceMs, count: Math.min(count, mostLogins) };
}
