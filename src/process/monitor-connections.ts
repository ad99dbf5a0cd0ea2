/**
 * The connections of the daemon that a worker has, or waits to have: LoginGraceTime, which worker has
 * which, how each ends, what is cleaned up. Runs in: monitor.
 */
import { randomBytes } from 'node:crypto';
import type { LeaderClient } from '../../pam/leader-client.ts';
import type { Log } from '../audit/log.ts';
import type { MonitorRefusal } from '../base/errors.ts';
import type { Accepted } from '../base/native.ts';
import {
  closeDescriptor,
  duplicate,
  setKeepAlive,
  setNoDelay,
  setQuickAck,
  shutdownDescriptor,
} from '../base/socket.native.ts';
import { Admission } from '../monitor/admission.ts';
import type { AuthenticationHost } from '../monitor/authentication-host.ts';
import { Connection, type Login, type Session } from '../monitor/connection.ts';
import { graceTimer, loginSettings } from '../monitor/login-settings.ts';
import { endReason, logEnded, logEnding } from '../monitor/ending-lines.ts';
import { endedBy } from '../monitor/link.ts';
import { cookieBytes } from '../monitor/requests/sign-exchange.ts';
import type { ServerConfig } from '../policy/config.ts';
import { firstLogNumber, newId } from './connection-identity.ts';
import { ConnectionLeaders } from './connection-leaders.ts';
import type { MonitorPolicy } from './monitor-policy.ts';
import { turnAway, type Waiting, WaitingConnections } from './waiting-connections.ts';
import type { Worker, WorkerPool } from './worker-pool.ts';

/** What is held only until the login is done. */
interface Unauthenticated {
  readonly leave: () => void;
  readonly duplicate: number;
  readonly graceTimer: NodeJS.Timeout | undefined;
}

export interface ConnectionEvents {
  /** A worker is about to be given it. */
  began(connection: Connection): void;
  startLeader(): Promise<LeaderClient>;
  killLeader(pid: number): void;
  /** Somebody has logged in. */
  authenticated(connection: Connection): void;
  /** The login is over: viewers of desktops and the like. */
  ended(connection: Connection): void;
}

export class MonitorConnections {
  readonly log: Log;
  readonly isRootless: boolean;
  readonly #admission: Admission;
  readonly #waiting: WaitingConnections;
  readonly #leaders: ConnectionLeaders;
  readonly #events: ConnectionEvents;
  readonly #unauthenticated = new Map<Connection, Unauthenticated>();
  readonly #workerOf = new Map<Connection, Worker>();
  /** For connections from here on. */
  #config: ServerConfig;
  #lastNumber = 0;
  readonly #logNumbers = firstLogNumber();
  /** Called whenever the number of connections falls to 0. */
  onIdle: () => void = () => {};

  constructor(config: ServerConfig, log: Log, isRootless: boolean, events: ConnectionEvents) {
    this.#config = config;
    this.log = log;
    this.isRootless = isRootless;
    this.#events = events;
    this.#admission = new Admission(config, () => performance.now(), Math.random);
    this.#waiting = new WaitingConnections(this.#admission, log, {
      taken: (waiting, worker) => this.#give(worker, waiting),
      dropped: () => this.#tellIfIdle(),
    });
    this.#leaders = new ConnectionLeaders({
      startLeader: () => events.startLeader(),
      killLeader: (pid) => events.killLeader(pid),
      cut: (connection) => this.#cut(connection),
    });
  }

  /** What authentication under this policy needs of the daemon. */
  hostUnder({
    config,
    configFor,
    desktopConfigFor,
  }: Pick<MonitorPolicy, 'config' | 'configFor' | 'desktopConfigFor'>): AuthenticationHost {
    return {
      config,
      configFor,
      cardsFor: desktopConfigFor,
      log: this.log,
      isRootless: this.isRootless,
      startLeader: (connection) => this.#leaders.startFor(connection),
      authenticated: (connection, login) => this.#authenticated(connection, login),
      cut: (connection) => this.#cut(connection),
      nowMs: () => performance.now(),
      sleepMs: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    };
  }

  /** Connections that come now are counted and timed by this; those that are there count on. */
  limitBy(config: ServerConfig): void {
    this.#config = config;
    this.#admission.limitBy(config);
  }

  get count(): number {
    return this.#workerOf.size + this.#waiting.count;
  }
  get all(): readonly Connection[] {
    return [...this.#workerOf.keys()];
  }

  #tellIfIdle(): void {
    if (this.count === 0) {
      this.onIdle();
    }
  }

  /** Takes the descriptors over. `output`: stdout of -i, where stdin is no socket. */
  accept(accepted: Accepted, pool: WorkerPool, output?: number): void {
    this.#waiting.accept(accepted, this.#config, pool, output);
  }

  giveWaiting(pool: WorkerPool): void {
    this.#waiting.giveTo(pool);
  }

  /** The daemon ends. */
  dropWaiting(): void {
    this.#waiting.drop();
  }

  #give(worker: Worker, { descriptor, endpoints, output, leave }: Waiting): void {
    const connection = new Connection(
      ++this.#lastNumber,
      endpoints,
      worker,
      randomBytes(cookieBytes),
      this.log,
      { id: newId(), processNumber: this.#logNumbers + this.#lastNumber },
    );
    const { log } = connection;
    let copy: number;
    try {
      copy = duplicate(descriptor);
    } catch (error) {
      // Out of descriptors: this one is turned away, the daemon goes on.
      leave();
      const reason = (error as Error).message;
      log.error(`drop connection from ${connection.from}: ${reason}`, {
        event: 'connection.dropped',
        reason,
      });
      turnAway(descriptor, 'Too many connections\r\n', this.log);
      if (output !== undefined) {
        closeDescriptor(output);
      }
      return;
    }
    this.#unauthenticated.set(connection, {
      leave,
      duplicate: copy,
      graceTimer: graceTimer(this.#config, () => this.#graceIsOver(connection)),
    });
    this.#workerOf.set(connection, worker);
    this.#events.began(connection);
    log.verbose(
      `Connection from ${connection.from} on ${endpoints.localAddress} port ${endpoints.localPort} rdomain ""`,
      { event: 'connection.opened' },
    );
    try {
      setNoDelay(descriptor);
      setQuickAck(descriptor);
      setKeepAlive(descriptor, this.#config.tcpKeepAlive);
    } catch (error) {
      // Not a TCP socket (-i on pipes of another kind) or already reset: the worker will see it.
      log.debug(`socket options: ${(error as Error).message}`);
    }
    worker.give(connection, output === undefined ? [descriptor] : [descriptor, output]);
  }

  #graceIsOver(connection: Connection): void {
    const { remoteAddress, localAddress } = connection.endpoints;
    const { log } = connection;
    log.fatal(`Timeout before authentication for ${connection.from}`, {
      event: 'connection.timeout',
    });
    log.debug(`LoginGraceTime: ${remoteAddress} to ${localAddress}`);
    connection.penalty = 'grace-exceeded';
    this.#cut(connection);
  }

  /** Ends the socket under the worker's hands; the worker's report ends the rest. */
  #cut(connection: Connection): void {
    if (connection.closed) {
      return;
    }
    const held = this.#unauthenticated.get(connection);
    if (held !== undefined) {
      try {
        shutdownDescriptor(held.duplicate);
      } catch (error) {
        // No socket (-i on pipes): the worker is told to close it.
        connection.log.debug(`ending a connection: ${(error as Error).message}`);
      }
    }
    connection.worker.closeConnection(connection.number, 0, '');
    this.end(connection);
  }

  /** A worker overstepped: its connection ends, and the log says what it tried. */
  refuse(connection: Connection, refusal: MonitorRefusal): void {
    if (!connection.closed) {
      connection.log.error(
        `monitor: refused ${refusal.detail}, connection from ${connection.from} ended`,
        { event: 'connection.refused', reason: refusal.detail },
      );
      connection.endReason = 'refused';
      this.#cut(connection);
    }
  }

  /** A fault of ours in a request ends the connection that it belongs to, and no other. */
  broke(connection: Connection, name: string, error: unknown): void {
    const text = (error as Error).stack ?? String(error);
    const { log } = connection;
    log.error(`internal error in ${name}, connection from ${connection.from} ended: ${text}`);
    connection.penalty = 'crash';
    connection.endReason = 'internal error';
    this.#cut(connection);
  }

  #authenticated(connection: Connection, login: Login): void {
    connection.phase = 'postauth';
    connection.login = login;
    this.#events.authenticated(connection);
    connection.worker.loginSettings(connection.number, loginSettings(login.config));
    this.#release(connection);
  }

  #release(connection: Connection): void {
    const held = this.#unauthenticated.get(connection);
    if (held !== undefined) {
      this.#unauthenticated.delete(connection);
      clearTimeout(held.graceTimer);
      closeDescriptor(held.duplicate);
      held.leave();
    }
  }

  /** The worker says how it ended; the lines are sshd's. */
  closed(connection: Connection, why: string, initiator: number): void {
    if (!connection.closed) {
      logEnding(connection, why, initiator);
      connection.endReason = endReason(why, initiator);
      if (initiator === endedBy.fault) {
        connection.penalty = 'crash';
      }
      this.end(connection);
      logEnded(connection, initiator);
    }
  }

  /** Of a connection that ends without a login, or was asked again and did not know. */
  #penalise(connection: Connection): void {
    const { login, penalty, authentication, endpoints, log } = connection;
    const asStranger = penalty ?? authentication?.penalty ?? 'noauth';
    const asUser = connection.failedReauthentications > 0 ? 'authfail' : 'none';
    const kind = login === undefined ? asStranger : asUser;
    if (kind !== 'none') {
      this.#admission.penalise(endpoints.remoteAddress, kind, log);
    }
  }

  sessionClosed(connection: Connection, { slot }: Session): void {
    connection.log.verbose(
      `Close session: user ${connection.login?.user ?? ''} from ${connection.from} id ${slot}`,
      { event: 'session.closed', session: slot },
    );
  }

  /** Everything that the monitor holds for a connection ends. */
  end(connection: Connection): void {
    if (connection.closed) {
      return;
    }
    connection.closed = true;
    this.#release(connection);
    this.#penalise(connection);
    const worker = this.#workerOf.get(connection);
    this.#workerOf.delete(connection);
    worker?.connections.delete(connection.number);
    worker?.ended.add(connection.number);
    try {
      this.#events.ended(connection);
    } catch (error) {
      // Such as a full disk under the store; the leader of the login must go all the same.
      connection.log.error(`end of ${connection.from}: ${(error as Error).stack ?? String(error)}`);
    }
    for (const session of connection.sessions.values().filter(({ isClosed }) => !isClosed)) {
      this.sessionClosed(connection, session);
    }
    connection.sessions.clear();
    this.#leaders.endOf(connection);
    this.#tellIfIdle();
  }

  /**
   * Its connections have ended with it. Whose fault that was is known only where one source alone was
   * still in front of its login: no other is made to wait for it.
   */
  workerDied(worker: Worker): void {
    const connections = [...worker.connections.values()];
    const suspects = connections.filter(({ login }) => login === undefined);
    const [first] = suspects;
    const isKnown = suspects.every(
      ({ endpoints }) => endpoints.remoteAddress === first?.endpoints.remoteAddress,
    );
    for (const connection of connections) {
      connection.penalty = isKnown ? 'crash' : 'none';
      connection.log.info(`Connection closed by ${connection.from}: its worker ended`, {
        event: 'connection.closed',
        reason: 'worker ended',
      });
      connection.endReason = 'worker ended';
      this.end(connection);
    }
  }
}
