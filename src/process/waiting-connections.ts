/**
 * The connections between accept and a worker: who is turned away at once (MaxStartups, penalties),
 * and who waits while no worker is ready, no longer than LoginGraceTime. Runs in: monitor.
 */
import { writeSync } from 'node:fs';
import type { Log } from '../audit/log.ts';
import type { Accepted } from '../base/native.ts';
import { closeDescriptor } from '../base/socket.native.ts';
import type { Admission } from '../monitor/admission.ts';
import type { Endpoints } from '../monitor/connection.ts';
import { graceTimer } from '../monitor/login-settings.ts';
import type { ServerConfig } from '../policy/config.ts';
import { newId } from './connection-identity.ts';
import type { Worker, WorkerPool } from './worker-pool.ts';

/** Accepted, and in no worker's hands yet. */
export interface Waiting {
  /** Once it has logged in or ended. */
  readonly leave: () => void;
  readonly descriptor: number;
  readonly endpoints: Endpoints;
  readonly output: number | undefined;
}

export interface WaitingEvents {
  /** This worker takes it, with its descriptors. */
  taken(waiting: Waiting, worker: Worker): void;
  /** It was let go. */
  dropped(): void;
}

export class WaitingConnections {
  readonly #admission: Admission;
  readonly #log: Log;
  readonly #events: WaitingEvents;
  readonly #graceTimers = new Map<Waiting, NodeJS.Timeout | undefined>();

  constructor(admission: Admission, log: Log, events: WaitingEvents) {
    this.#admission = admission;
    this.#log = log;
    this.#events = events;
  }

  get count(): number {
    return this.#graceTimers.size;
  }

  #logAbout(endpoints: Endpoints): Log {
    const { pid } = process;
    return this.#log.about({ id: newId(), processNumber: pid, endpoints, loggedUser: undefined });
  }

  /** Takes the descriptors over. `output`: stdout of -i, where stdin is no socket. */
  accept(accepted: Accepted, config: ServerConfig, pool: WorkerPool, output?: number): void {
    const { descriptor, ...endpoints } = accepted;
    const admitted = this.#admission.admit(endpoints, this.#log, () => this.#logAbout(endpoints));
    if ('refusal' in admitted) {
      turnAway(descriptor, admitted.refusal, this.#log);
      return;
    }
    const waiting: Waiting = { descriptor, endpoints, leave: admitted.leave, output };
    this.#graceTimers.set(
      waiting,
      graceTimer(config, () => this.#letGo(waiting)),
    );
    this.giveTo(pool);
  }

  /**
   * Workers take what waits, in order. Between a worker that is spent and its successor nothing is
   * dropped; MaxStartups bounds how many may wait.
   */
  giveTo(pool: WorkerPool): void {
    for (const [next, timer] of this.#graceTimers) {
      const worker = pool.choose();
      if (worker === undefined) {
        return;
      }
      this.#graceTimers.delete(next);
      clearTimeout(timer);
      this.#events.taken(next, worker);
      pool.retireIfSpent(worker);
    }
  }

  /** The daemon ends: those whom no worker has taken are let go. */
  drop(): void {
    for (const waiting of this.#graceTimers.keys()) {
      this.#letGo(waiting);
    }
  }

  #letGo(waiting: Waiting): void {
    const { descriptor, output, leave } = waiting;
    clearTimeout(this.#graceTimers.get(waiting));
    this.#graceTimers.delete(waiting);
    closeDescriptor(descriptor);
    if (output !== undefined) {
      closeDescriptor(output);
    }
    leave();
    this.#events.dropped();
  }
}

/** Before the identification string any line may be sent (RFC 4253 §4.2), as sshd does. */
export function turnAway(descriptor: number, line: string, log: Log): void {
  try {
    writeSync(descriptor, line);
  } catch (error) {
    // The peer is not waiting for the reason; it is in the log.
    log.debug(`turning away: ${(error as Error).message}`);
  }
  closeDescriptor(descriptor);
}
