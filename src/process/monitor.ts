/**
 * `sshdesk: monitor`. Accepts connections, holds the host keys, decides every authentication and
 * grant, starts and orders leaders, owns the desktops. It never parses a byte of a client.
 * Runs in: monitor.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Log } from '../audit/log.ts';
import { setNotDumpable, setProcessTitle } from '../base/confine.native.ts';
import type { Accepted } from '../base/native.ts';
import { isDescriptorOfKind, localRemoteAddress } from '../base/socket.native.ts';
import type { Connection } from '../monitor/connection.ts';
import { LineBudget } from '../monitor/line-budget.ts';
import * as link from '../monitor/link.ts';
import { type AnyRow, serveRequests } from '../monitor/request-table.ts';
import { mayOpenDesktop } from '../monitor/session-plan.ts';
import { Leaders } from './leaders.ts';
import { type Bound, Listeners } from './listeners.ts';
import { MonitorLogins } from './logins.ts';
import { MonitorConnections } from './monitor-connections.ts';
import { MonitorDesktops } from './monitor-desktops.ts';
import type { MonitorPolicy } from './monitor-policy.ts';
import { leaderExecutable, type Places } from './places.ts';
import { RequestRows, rowsByConnection } from './request-rows.ts';
import { type Worker, WorkerPool, type WorkerPoolSettings } from './worker-pool.ts';
import { workerSettings } from './worker-settings.ts';
import { Zygote } from './zygote.ts';

export interface MonitorOptions {
  readonly policy: MonitorPolicy;
  readonly log: Log;
  readonly places: Places;
  readonly isRootless: boolean;
  /** uid and gid of the account `sshdesk`; unused when rootless. */
  readonly workerAccount: { readonly uid: number; readonly gid: number };
  /** -i: the one connection is on these descriptors, nothing is bound. */
  readonly inherited?: { readonly input: number; readonly output: number };
  /** Sockets of the service manager; they stand in for Port and ListenAddress. Empty: none. */
  readonly passed: readonly (Bound & { readonly address: string })[];
  /** -d: one connection, then the daemon ends. */
  readonly servesOne: boolean;
  /** Soft limit of open files before Node raised it, for users' programs. */
  readonly softFiles?: number;
  /** What a worker runs; the tests put a hostile one in its place. */
  readonly workerProgram?: string;
}

const sigkill = 9;

/** A policy as it is served: what the requests of its connections are answered with, and by whom. */
interface Service {
  readonly policy: MonitorPolicy;
  readonly rows: readonly AnyRow[];
  readonly pool: WorkerPool;
  /** Of the pool: equal settings are served by the same workers. */
  readonly workerSettings: string;
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #log: Log;
  readonly #zygote: Zygote;
  readonly #leaders: Leaders;
  readonly #connections: MonitorConnections;
  readonly #desktops: MonitorDesktops;
  readonly #logins: MonitorLogins;
  readonly #listeners: Listeners;
  readonly #requestRows: RequestRows;
  readonly #serviceOf = new WeakMap<Connection, Service>();
  /** For connections from here on. */
  #service: Service;
  #lastWorker = 0;
  readonly #ended = Promise.withResolvers<number>();
  #isDraining = false;
  #isOver = false;

  private constructor(options: MonitorOptions, zygote: Zygote) {
    const { log, policy } = options;
    this.#options = options;
    this.#log = log;
    this.#zygote = zygote;
    this.#leaders = new Leaders(zygote, log);
    const killLeader = (pid: number): void => {
      zygote
        .kill(pid, sigkill)
        .catch((error: unknown) => log.debug(`leader ${pid}: ${String(error)}`));
    };
    this.#connections = new MonitorConnections(policy.config, log, options.isRootless, {
      began: (connection) => this.#serviceOf.set(connection, this.#service),
      startLeader: () => this.#leaders.startLogin(),
      killLeader,
      authenticated: (connection) => this.#logins.began(connection),
      ended: (connection) => {
        this.#logins.ended(connection);
        this.#desktops.connectionEnded(connection);
      },
    });
    this.#desktops = new MonitorDesktops(
      {
        ...options,
        killLeader,
        isBarred: (processes) =>
          this.#connections.all.some(
            ({ login }) =>
              login !== undefined &&
              processes.has(login.leader.pid) &&
              !mayOpenDesktop(login).allowed,
          ),
      },
      this.#leaders,
    );
    this.#logins = new MonitorLogins({
      log,
      file: options.places.loginsFile,
      connections: () => this.#connections.all,
      desktopsOf: ({ number }) => this.#desktops.desktopsOf(number),
      nameOf: (id) => this.#desktops.nameOf(id),
      visitors: () => this.#desktops.visits,
    });
    this.#desktops.tellOf(this.#logins);
    this.#listeners = new Listeners({
      log,
      bind: (address, port) => zygote.bind(address, port),
      accept: (accepted) => this.#accept(accepted),
      passed: options.passed,
    });
    this.#requestRows = new RequestRows(options.places, this.#desktops.rows);
    this.#service = this.#serviceFor(policy, undefined);
  }

  /** With the workers of another one where they would be told the same. */
  #serviceFor(policy: MonitorPolicy, other: Service | undefined): Service {
    const { inherited } = this.#options;
    const settings = workerSettings(policy, {
      ...this.#options,
      servesInherited: inherited !== undefined,
    });
    const text = JSON.stringify(settings);
    return {
      policy,
      rows: this.#requestRows.under(policy, this.#connections.hostUnder(policy)),
      pool: other?.workerSettings === text ? other.pool : this.#makePool(settings),
      workerSettings: text,
    };
  }

  #makePool(settings: WorkerPoolSettings): WorkerPool {
    return new WorkerPool(
      this.#zygote,
      settings,
      {
        nextNumber: () => ++this.#lastWorker,
        serve: (worker) => this.#serve(worker),
        ready: () => this.#connections.giveWaiting(this.#service.pool),
        died: (worker) => this.#connections.workerDied(worker),
      },
      this.#log,
    );
  }

  /** Resolves when connections are accepted. */
  static async start(options: MonitorOptions): Promise<Monitor> {
    setProcessTitle('sshdesk: monitor');
    setNotDumpable();
    // What the daemon makes has modes of its own, whoever starts it.
    process.umask(0o022);
    const { log } = options;
    mkdirSync(dirname(options.places.storeFile), { recursive: true, mode: 0o700 });
    mkdirSync(options.places.runtimeDirectory, {
      recursive: true,
      mode: options.isRootless ? 0o700 : 0o755,
    });
    const zygote = new Zygote(leaderExecutable, options.softFiles, (error, name) =>
      log.error(`internal error in ${name}: ${(error as Error).stack ?? String(error)}`),
    );
    const monitor = new Monitor(options, zygote);
    try {
      await monitor.#begin();
    } catch (error) {
      monitor.#end(255);
      throw error;
    }
    return monitor;
  }

  /** For people: where connections are accepted. */
  get listening(): string {
    return `Listening on ${this.#listeners.places.join(', ')}.`;
  }

  /** No connection is accepted any more. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** The exit code, once everything has ended. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }

  async #begin(): Promise<void> {
    const { inherited, policy } = this.#options;
    this.#zygote.onGone = () => {
      this.#log.fatal('the zygote is gone');
      this.#end(255);
    };
    this.#connections.onIdle = () => this.#endIfDone();
    const bound =
      inherited === undefined
        ? await this.#listeners.prepare(policy.config.listenAddresses)
        : undefined;
    await this.#service.pool.start();
    await this.#desktops.begin();
    // Said last: whoever waits for these lines may use the control socket at once as well.
    if (bound !== undefined) {
      this.#listeners.commit(bound);
    }
    if (inherited !== undefined) {
      // Another daemon is the one that people ask.
      this.#logins.publish();
      this.#acceptInherited(inherited);
    }
  }

  #accept(accepted: Accepted): void {
    this.#connections.accept(accepted, this.#service.pool);
    if (this.#options.servesOne) {
      this.#stopListening();
    }
  }

  /**
   * Another policy for the connections from here on; those that exist go on with theirs. Throws, with
   * nothing changed, when it cannot be served.
   */
  async change(policy: MonitorPolicy): Promise<void> {
    const before = this.#service;
    const next = this.#serviceFor(policy, before);
    const hasNewPool = next.pool !== before.pool;
    try {
      if (hasNewPool) {
        await next.pool.start();
      }
      const bound = await this.#listeners.prepare(policy.config.listenAddresses);
      if (this.#isDraining) {
        throw new Error('the daemon ends');
      }
      this.#service = next;
      this.#connections.limitBy(policy.config);
      this.#desktops.limitBy(policy);
      this.#listeners.commit(bound);
    } catch (error) {
      if (hasNewPool) {
        next.pool.drainAll();
      }
      throw error;
    }
    if (hasNewPool) {
      before.pool.drainAll();
      // Whoever still waits for one of those workers is for the new ones.
      this.#connections.giveWaiting(next.pool);
    }
  }

  #acceptInherited({ input, output }: { readonly input: number; readonly output: number }): void {
    // A Unix socket has no addresses to speak of, and may be one of two as pipes are.
    const addresses = isDescriptorOfKind(input, 'tcp') ? localRemoteAddress(input) : undefined;
    this.#isDraining = true;
    if (addresses !== undefined) {
      this.#connections.accept({ ...addresses, descriptor: input }, this.#service.pool);
      return;
    }
    // sshd's words for a connection that is no socket.
    const unknown = {
      remoteAddress: 'UNKNOWN',
      remotePort: 65535,
      localAddress: 'UNKNOWN',
      localPort: 65535,
    };
    this.#connections.accept({ ...unknown, descriptor: input }, this.#service.pool, output);
  }

  #serve(worker: Worker): void {
    const { peer } = worker;
    const owned = (number: number) => worker.connections.get(number);
    const offences = new LineBudget(() => performance.now());
    /** One that ended a moment ago is no offence, anything else is: told, but not without end. */
    const stranger = (number: number, name: string): void => {
      const dropped = worker.ended.has(number) ? undefined : offences.take();
      if (dropped !== undefined) {
        const more = dropped === 0 ? '' : ` (${dropped} like it were dropped)`;
        this.#log.error(
          `monitor: refused ${name} of worker ${worker.number} for connection ${number}, which is not its own${more}`,
          { event: 'worker.refused', worker: worker.number, reason: name, count: dropped + 1 },
        );
      }
    };
    const noticed = (number: number, { name }: { readonly name: string }) => {
      const found = owned(number);
      if (found === undefined) {
        stranger(number, name);
      }
      return found;
    };
    const rowsOf = (connection: Connection): readonly AnyRow[] =>
      this.#serviceOf.get(connection)?.rows ?? [];
    serveRequests(peer, rowsByConnection(this.#service.rows, rowsOf), {
      connection: owned,
      stranger,
      refuse: (connection, refusal) => this.#connections.refuse(connection, refusal),
      broke: (connection, name, error) => this.#connections.broke(connection, name, error),
    });
    peer.onNotice(link.SessionClose, ({ connection, session }) => {
      const found = noticed(connection, link.SessionClose);
      const closing = found?.sessions.get(session);
      if (closing !== undefined && found?.closeSession(session) === true) {
        this.#connections.sessionClosed(found, closing);
      }
    });
    peer.onNotice(link.ConnectionClosed, ({ connection, why, initiator }) => {
      const found = noticed(connection, link.ConnectionClosed);
      if (found !== undefined) {
        this.#connections.closed(found, why, initiator);
      }
    });
    const budget = new LineBudget(() => performance.now());
    peer.onNotice(link.Log, ({ level, connection, line }) => {
      const dropped = budget.take();
      if (dropped === undefined) {
        return;
      }
      if (dropped > 0) {
        this.#log.error(`worker ${worker.number}: ${dropped} lines of it were dropped`);
      }
      // A worker's lines are its own account of things: marked, and never above ERROR.
      const known = level === 'ERROR' || level === 'INFO' || level === 'VERBOSE' ? level : 'DEBUG1';
      const log = owned(connection)?.log ?? this.#log;
      log.at(known, `worker ${worker.number}: ${line}`, {
        event: 'worker.line',
        worker: worker.number,
      });
    });
    this.#desktops.serveNotices(peer, noticed);
  }

  /** SIGTERM: no new connections; live logins go on. A second time: they end as well. */
  drain(signal = '15'): void {
    if (this.#isDraining) {
      this.endConnections();
      return;
    }
    this.#isDraining = true;
    this.#log.info(`Received signal ${signal}; terminating.`, {
      event: 'server.ending',
      reason: `signal ${signal}`,
    });
    setProcessTitle('sshdesk: monitor [draining]');
    this.#stopListening();
    this.#desktops.release();
    this.#logins.publish();
    this.#service.pool.drainAll();
    this.#endIfDone();
  }

  endConnections(): void {
    for (const connection of this.#connections.all) {
      connection.worker.closeConnection(connection.number, 11, 'The server is shut down');
    }
    // Workers send the farewell; the reports that come back end the monitor. Not for ever, though.
    const farewellMs = 2000;
    setTimeout(() => this.#end(0), farewellMs).unref();
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#isDraining && this.#connections.count === 0) {
      this.#end(0);
    }
  }

  #stopListening(): void {
    this.#isDraining = true;
    this.#listeners.close();
  }

  #end(code: number): void {
    if (this.#isOver) {
      return; // ending the last connection leads here again
    }
    this.#isOver = true;
    this.#stopListening();
    this.#connections.dropWaiting();
    for (const connection of this.#connections.all) {
      this.#connections.end(connection);
    }
    this.#service.pool.drainAll();
    this.#desktops.release();
    this.#logins.close();
    this.#zygote.onGone = () => {};
    this.#zygote.close();
    this.#ended.resolve(code);
  }
}
