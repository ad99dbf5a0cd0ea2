/**
 * Who is logged in and who was: the connections of this monitor, those of another one that drains,
 * and the processes of another sshd that ask for desktops. A record that cannot be written is said in
 * the log and keeps nobody out. Runs in: monitor.
 */
import { statSync } from 'node:fs';
import type { Log } from '../audit/log.ts';
import { LoginStore } from '../audit/login-store.ts';
import {
  type ListedLogin,
  type ListedOpen,
  type Logins,
  mostLogins,
  type PastLogin,
  type PastLoginQuery,
} from '../broker/control-logins.ts';
import type { Asker } from '../broker/outcome.ts';
import type { Connection } from '../monitor/connection.ts';
import { LineBudget } from '../monitor/line-budget.ts';
import { type OpenThings, openThings } from '../monitor/login-view.ts';

const publishMs = 1_000;

export interface LoginsHost {
  readonly log: Log;
  readonly file: string;
  connections(): readonly Connection[];
  /** Of the desktops that a connection looks at. */
  desktopsOf(connection: Connection): readonly string[];
  nameOf(desktop: string): string;
  /** Logins of another sshd that ask for desktops. */
  visitors(): readonly Visit[];
}

export interface Visit {
  readonly user: string;
  readonly uid: number;
  readonly from: string;
  readonly startedAtMs: number;
  readonly desktops: readonly string[];
}

const isoOf = (ms: number): string => new Date(ms).toISOString();

/** As w(1): since the terminal was read. A terminal that has gone meanwhile is nobody's. */
function idleMs(terminals: readonly string[], nowMs: number): number | null {
  const times = terminals.flatMap((terminal) => {
    const found = /^pts\/\d{1,9}$/.test(terminal)
      ? statSync(`/dev/${terminal}`, { throwIfNoEntry: false })
      : undefined;
    return found === undefined ? [] : [Math.max(0, Math.round(nowMs - found.atimeMs))];
  });
  return times.length === 0 ? null : Math.min(...times);
}

export class MonitorLogins implements Logins {
  readonly #host: LoginsHost;
  readonly #store: LoginStore | undefined;
  readonly #budget = new LineBudget(() => performance.now());
  readonly #startedAtMs = new WeakMap<Connection, number>();
  readonly #published = new Map<string, string>();
  #publishing: NodeJS.Timeout | undefined;

  constructor(host: LoginsHost) {
    this.#host = host;
    this.#store = this.#opened();
  }

  #opened(): LoginStore | undefined {
    const { file, log } = this.#host;
    try {
      return new LoginStore(file);
    } catch (error) {
      log.error(`${file}: logins are not recorded: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** What it says when it fails is bounded: a full disk fails at every login. */
  #tried<T>(what: string, act: (store: LoginStore) => T): T | undefined {
    if (this.#store === undefined) {
      return undefined;
    }
    try {
      return act(this.#store);
    } catch (error) {
      if (this.#budget.take() !== undefined) {
        this.#host.log.error(`${this.#host.file}: ${what}: ${(error as Error).message}`);
      }
      return undefined;
    }
  }

  began(connection: Connection): void {
    const { login, endpoints, id, factors } = connection;
    if (login === undefined) {
      return;
    }
    const startedAtMs = Date.now();
    this.#startedAtMs.set(connection, startedAtMs);
    this.#tried('a login', (store) =>
      store.began({
        id,
        user: login.account.user,
        uid: login.account.uid,
        address: endpoints.remoteAddress,
        port: endpoints.remotePort,
        factors,
        startedAtMs,
      }),
    );
  }

  ended(connection: Connection): void {
    if (this.#startedAtMs.has(connection)) {
      const { lastTerminal, lastExit, endReason } = connection;
      const end = { terminal: lastTerminal, exit: lastExit, why: endReason || 'ended' };
      this.#tried('the end of a login', (store) => store.ended(connection.id, Date.now(), end));
      this.#published.delete(connection.id);
    }
  }

  /** From here on another daemon answers people; it reads what this one's logins have open. */
  publish(): void {
    if (this.#publishing === undefined && this.#store !== undefined) {
      this.#publishNow();
      this.#publishing = setInterval(() => this.#publishNow(), publishMs);
      this.#publishing.unref();
    }
  }

  #publishNow(): void {
    for (const connection of this.#host.connections()) {
      if (this.#startedAtMs.has(connection)) {
        const open = JSON.stringify(openThings(connection, this.#host.desktopsOf(connection)));
        if (this.#published.get(connection.id) !== open) {
          this.#tried('what a login has open', (store) => store.publish(connection.id, open));
          this.#published.set(connection.id, open);
        }
      }
    }
  }

  who(asker: Asker): readonly ListedLogin[] {
    const nowMs = Date.now();
    const isShown = (uid: number): boolean => asker === 'everybody' || asker === uid;
    const here = this.#host
      .connections()
      .flatMap((connection) => this.#listed(connection, isShown, nowMs));
    const elsewhere =
      this.#tried('logins of other daemons', (store) => {
        store.findGone();
        return store.elsewhere(asker === 'everybody' ? undefined : asker, mostLogins);
      }) ?? [];
    const others = elsewhere.map((login): ListedLogin => {
      const open = login.open === undefined ? undefined : (JSON.parse(login.open) as OpenThings);
      return {
        ...this.#common(login.id, login.user, login.startedAtMs, open, nowMs),
        via: 'sshdesk',
        address: login.address,
        port: login.port,
        factors: login.factors,
        daemon: login.daemon,
        draining: true,
      };
    });
    const visits = this.#host
      .visitors()
      .filter(({ uid }) => isShown(uid))
      .map(
        ({ user, from, startedAtMs, desktops }): ListedLogin => ({
          ...this.#common('', user, startedAtMs, { ...nothingOpen, desktops }, nowMs),
          via: 'sshd',
          address: from,
          port: 0,
          factors: [],
          daemon: process.pid,
          draining: false,
        }),
      );
    return [...here, ...others, ...visits]
      .toSorted((a, b) => a.since.localeCompare(b.since))
      .slice(-mostLogins);
  }

  #listed(
    connection: Connection,
    isShown: (uid: number) => boolean,
    nowMs: number,
  ): readonly ListedLogin[] {
    const { login, id, endpoints, factors } = connection;
    const startedAtMs = this.#startedAtMs.get(connection);
    if (login === undefined || startedAtMs === undefined || !isShown(login.account.uid)) {
      return [];
    }
    const open = openThings(connection, this.#host.desktopsOf(connection));
    return [
      {
        ...this.#common(id, login.account.user, startedAtMs, open, nowMs),
        via: 'sshdesk',
        address: endpoints.remoteAddress,
        port: endpoints.remotePort,
        factors,
        daemon: process.pid,
        draining: false,
      },
    ];
  }

  #common(
    id: string,
    user: string,
    startedAtMs: number,
    open: OpenThings | undefined,
    nowMs: number,
  ): Pick<ListedLogin, 'id' | 'user' | 'since' | 'idleMs' | 'open'> {
    const terminals = open?.sessions.map(({ terminal }) => terminal) ?? [];
    return {
      id,
      user,
      since: isoOf(startedAtMs),
      idleMs: idleMs(terminals, nowMs),
      open: open === undefined ? null : this.#listedOpen(open),
    };
  }

  #listedOpen(open: OpenThings): ListedOpen {
    return {
      ...open,
      sessions: open.sessions.map(({ kind, terminal, startedAtMs }) => ({
        kind,
        terminal,
        since: isoOf(startedAtMs),
      })),
      desktops: open.desktops.map((id) => ({ id, name: this.#host.nameOf(id) })),
    };
  }

  last(asker: Asker, { user, sinceMs, count }: PastLoginQuery): readonly PastLogin[] | undefined {
    const uid = asker === 'everybody' ? undefined : asker;
    return this.#tried('past logins', (store) => {
      store.findGone();
      return store.past({ uid, user, sinceMs, maxRows: count });
    })?.map(({ uid: _uid, startedAtMs, endedAtMs, ...same }) => ({
      ...same,
      startedAt: isoOf(startedAtMs),
      endedAt: endedAtMs === undefined ? null : isoOf(endedAtMs),
    }));
  }

  close(): void {
    clearInterval(this.#publishing);
    this.#store?.close();
  }
}

const nothingOpen: OpenThings = { sessions: [], listeners: 0, agent: false, x11: 0, desktops: [] };
