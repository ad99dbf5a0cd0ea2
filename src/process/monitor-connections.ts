/**
 * The connections of the daemon, from accept to end: MaxStartups, LoginGraceTime, which worker has
 * which, what is cleaned up. Runs in: monitor.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { writeSync } from 'node:fs';
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
import type { AuthenticationHost } from '../monitor/authentication.ts';
import { Connection, type Login, type Session } from '../monitor/connection.ts';
import { graceTimer, loginSettings } from '../monitor/login-settings.ts';
import { endReason, logEnded, logEnding } from '../monitor/ending-lines.ts';
import { endedBy } from '../monitor/link.ts';
import { cookieBytes } from '../monitor/requests/sign-exchange.ts';
import type { ServerConfig } from '../policy/config.ts';
import { endLogin } from './login-end.ts';
import type { MonitorPolicy } from './monitor-policy.ts';
import { leftoversOf, removeLeftovers } from './leader-leftovers.ts';
import type { Worker, WorkerPool } from './worker-pool.ts';

/** What is held only until the login is done. */
interface Unauthenticated {
  readonly leave: () => void;
  readonly duplicate: number;
  readonly graceTimer: NodeJS.Timeout | undefined;
}

/** Accepted, while no worker is ready. */
interface Waiting {
  readonly leave: () => void;
  readonly descriptor: number;
  readonly endpoints: Omit<Accepted, 'descriptor'>;
  readonly output: number | undefined;
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
  readonly #events: ConnectionEvents;
  readonly #unauthenticated = new Map<Connection, Unauthenticated>();
  readonly #leaders = new Map<Connection, LeaderClient>();
  readonly #workerOf = new Map<Connection, Worker>();
  readonly #waiting = new Set<Waiting>();
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
  }

  /** What authentication under this policy needs of the daemon. */
  hostUnder({
    config,
    configFor,
  }: Pick<MonitorPolicy, 'config' | 'configFor'>): AuthenticationHost {
    return {
      config,
      configFor,
      log: this.log,
      isRootless: this.isRootless,
      startLeader: (connection) => this.#startLeader(connection),
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
    return this.#workerOf.size + this.#waiting.size;
  }
  get all(): readonly Connection[] {
    return [...this.#workerOf.keys()];
  }

  #logAbout(endpoints: Omit<Accepted, 'descriptor'>): Log {
    const { pid } = process;
    return this.log.about({ id: newId(), processNumber: pid, endpoints, loggedUser: undefined });
  }

  /** Takes the descriptors over. `output`: stdout of -i, where stdin is no socket. */
  accept(accepted: Accepted, pool: WorkerPool, output?: number): void {
    const { descriptor, ...endpoints } = accepted;
    const admitted = this.#admission.admit(endpoints, this.log, () => this.#logAbout(endpoints));
    if ('refusal' in admitted) {
      this.#turnAway(descriptor, admitted.refusal);
      return;
    }
    const waiting: Waiting = {
      descriptor,
      endpoints,
      leave: admitted.leave,
      output,
      graceTimer: graceTimer(this.#config, () => this.#letGo(waiting)),
    };
    this.#waiting.add(waiting);
    this.giveWaiting(pool);
  }

  /**
   * Workers take what waits, in order. Between a worker that is spent and its successor nothing is
   * dropped; MaxStartups bounds how many may wait.
   */
  giveWaiting(pool: WorkerPool): void {
    for (const next of this.#waiting) {
      const worker = pool.choose();
      if (worker === undefined) {
        return;
      }
      this.#waiting.delete(next);
      clearTimeout(next.graceTimer);
      this.#give(worker, next);
      pool.retireIfSpent(worker);
    }
  }

  /** The daemon ends: those whom no worker has taken are let go. */
  dropWaiting(): void {
    for (const waiting of this.#waiting) {
      this.#letGo(waiting);
    }
  }

  #letGo(waiting: Waiting): void {
    const { descriptor, output, graceTimer } = waiting;
    clearTimeout(graceTimer);
    this.#waiting.delete(waiting);
    closeDescriptor(descriptor);
    if (output !== undefined) {
      closeDescriptor(output);
    }
    waiting.leave();
    if (this.count === 0) {
      this.onIdle();
    }
  }

  /** Before the identification string any line may be sent (RFC 4253 §4.2), as sshd does. */
  #turnAway(descriptor: number, line: string): void {
    try {
      writeSync(descriptor, line);
    } catch (error) {
      // The peer is not waiting for the reason; it is in the log.
      this.log.debug(`turning away: ${(error as Error).message}`);
    }
    closeDescriptor(descriptor);
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
      this.#turnAway(descriptor, 'Too many connections\r\n');
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

  async #startLeader(connection: Connection): Promise<LeaderClient> {
    const leader = await this.#events.startLeader();
    if (connection.closed) {
      leader.drop();
      throw new Error('the connection ended while its leader was started');
    }
    this.#leaders.set(connection, leader);
    leader.onExited = (report) => connection.exited(report);
    leader.onGone = () => {
      if (this.#leaders.get(connection) === leader && !connection.closed) {
        connection.log.error(`the leader of ${connection.from} (pid ${leader.pid}) is gone`);
        connection.penalty = 'crash';
        const left = leftoversOf(connection);
        this.#cut(connection);
        if (left !== undefined) {
          this.#events
            .startLeader()
            .then((other) => removeLeftovers(other, left))
            .catch((error: unknown) =>
              connection.log.info(`what the leader has left stays: ${String(error)}`),
            );
        }
      }
    };
    return leader;
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

  /** Of a connection that ends without a login. */
  #penalise({ login, penalty, authentication, endpoints, log }: Connection): void {
    const kind = penalty ?? authentication?.penalty ?? 'noauth';
    if (login === undefined && kind !== 'none') {
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
    const leader = this.#leaders.get(connection);
    this.#leaders.delete(connection);
    if (leader !== undefined) {
      leader.onGone = () => {};
      leader.onExited = () => {};
      if (connection.login === undefined) {
        // It may hang in a PAM module that waits for its network; nothing of it is worth waiting for.
        this.#events.killLeader(leader.pid);
        leader.drop();
      } else {
        void endLogin(connection, leader, (pid) => this.#events.killLeader(pid));
      }
    }
    if (this.count === 0) {
      this.onIdle();
    }
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

/** Beyond every pid (Linux: 2^22), so that it cannot be taken for that of a process. */
const leastLogNumber = 2 ** 22;
const logNumberSpread = 2 ** 30;

/** Two daemons at once, one of them draining, do not number their connections alike. */
function firstLogNumber(): number {
  return leastLogNumber + randomInt(logNumberSpread);
}

function newId(): string {
  return randomBytes(8).toString('hex');
}
