/**
 * The leaders of connections: one for each, from the first request of its authentication to its end;
 * a leader that goes before takes its connection with it. Runs in: monitor.
 */
import type { LeaderClient } from '../../pam/leader-client.ts';
import type { Connection } from '../monitor/connection.ts';
import { leftoversOf, removeLeftovers } from './leader-leftovers.ts';
import { endLogin } from './login-end.ts';

export interface ConnectionLeadersHost {
  startLeader(): Promise<LeaderClient>;
  killLeader(pid: number): void;
  cut(connection: Connection): void;
}

export class ConnectionLeaders {
  readonly #host: ConnectionLeadersHost;
  readonly #leaders = new Map<Connection, LeaderClient>();

  constructor(host: ConnectionLeadersHost) {
    this.#host = host;
  }

  async startFor(connection: Connection): Promise<LeaderClient> {
    const leader = await this.#host.startLeader();
    if (connection.closed) {
      leader.drop();
      throw new Error('the connection ended while its leader was started');
    }
    this.#leaders.set(connection, leader);
    leader.onExited = (report) => connection.exited(report);
    leader.onGone = () => {
      if (this.#leaders.get(connection) === leader && !connection.closed) {
        this.#gone(connection, leader);
      }
    };
    return leader;
  }

  #gone(connection: Connection, { pid }: LeaderClient): void {
    const { from, log } = connection;
    log.error(`the leader of ${from} (pid ${pid}) is gone`);
    connection.penalty = 'crash';
    const left = leftoversOf(connection);
    this.#host.cut(connection);
    if (left !== undefined) {
      this.#host
        .startLeader()
        .then((other) => removeLeftovers(other, left))
        .catch((error: unknown) => log.info(`what the leader has left stays: ${String(error)}`));
    }
  }

  /** Its connection has ended. */
  endOf(connection: Connection): void {
    const leader = this.#leaders.get(connection);
    this.#leaders.delete(connection);
    if (leader === undefined) {
      return;
    }
    leader.onGone = () => {};
    leader.onExited = () => {};
    if (connection.login === undefined) {
      // It may hang in a PAM module that waits for its network; nothing of it is worth waiting for.
      this.#host.killLeader(leader.pid);
      leader.drop();
    } else {
      void endLogin(connection, leader, (pid) => this.#host.killLeader(pid));
    }
  }
}
