/**
 * The workers: at least two, replaced when they die or have held their share of connections. A
 * worker that overstepped loses its connection, one that died all of its. Runs in: monitor.
 */
import { SeqpacketLink } from '../base/link.native.ts';
import { closeDescriptor } from '../base/socket.native.ts';
import type { Log } from '../audit/log.ts';
import type { Connection, LoginSettings, WorkerPort } from '../monitor/connection.ts';
import * as link from '../monitor/link.ts';
import { RecentNumbers } from '../monitor/recent-numbers.ts';
import { Peer } from '../ssh/wire/peer.ts';
import { WorkerStartError } from './worker-start-error.ts';
import type { Zygote, WorkerOrder } from './zygote.ts';

export interface WorkerPoolSettings {
  readonly count: number;
  /** A worker drains after this many in its life (WorkerConnections). */
  readonly connectionsPerWorker: number;
  readonly order: WorkerOrder;
  readonly settings: Omit<link.WorkerSettings, 'worker'>;
}

/** A worker that dies younger than this is replaced after the same time, not at once. */
const minLifeMs = 1000;
const readyTimeoutMs = 20_000;
const sigkill = 9;

export class Worker implements WorkerPort {
  readonly number: number;
  readonly pid: number;
  readonly peer: Peer;
  readonly connections = new Map<number, Connection>();
  /** That were in it. */
  readonly ended = new RecentNumbers();
  given = 0;
  isDraining = false;
  isReady = false;

  constructor(number: number, pid: number, peer: Peer) {
    this.number = number;
    this.pid = pid;
    this.peer = peer;
  }

  /** Takes the descriptors over: a socket, or input and output. */
  give(connection: Connection, descriptors: readonly number[]): void {
    this.given++;
    this.connections.set(connection.number, connection);
    this.peer.notify(
      link.Connection,
      { connection: connection.number, ...connection.endpoints, cookie: connection.cookie },
      descriptors,
    );
  }

  drain(): void {
    if (!this.isDraining) {
      this.isDraining = true;
      this.peer.notify(link.Drain, {});
    }
  }

  closeConnection(connection: number, reason: number, peerText: string): void {
    this.peer.notify(link.CloseConnection, { connection, reason, peerText });
  }
  sessionExit(
    connection: number,
    session: number,
    exit: { readonly status: number; readonly signalName: string; readonly coreDumped: boolean },
  ): void {
    this.peer.notify(link.SessionExit, { connection, session, ...exit });
  }
  x11End(connection: number, session: number): void {
    this.peer.notify(link.X11End, { connection, session });
  }
  loginSettings(connection: number, settings: LoginSettings): void {
    this.peer.notify(link.LoginSettings, { connection, ...settings });
  }
  viewerEnd(connection: number, viewer: number, why: string, status: number): void {
    this.peer.notify(link.ViewerEnd, { connection, viewer, why, status });
  }
  viewerWarning(connection: number, viewer: number, line: string): void {
    this.peer.notify(link.ViewerWarning, { connection, viewer, line });
  }
  desktopAgentSocket(connection: number, socket: number, descriptor: number): void {
    this.peer.notify(link.DesktopAgentSocket, { connection, socket }, [descriptor]);
  }
}

export interface WorkerEvents {
  /** No number twice in the life of a daemon. */
  nextNumber(): number;
  /** Registers the request table and the notices on a fresh worker's link. */
  serve(worker: Worker): void;
  /** A worker takes connections from here on. */
  ready(): void;
  /** Called once per worker, after its last frame. */
  died(worker: Worker): void;
}

export class WorkerPool {
  readonly #zygote: Zygote;
  readonly #settings: WorkerPoolSettings;
  readonly #events: WorkerEvents;
  readonly #log: Log;
  readonly #workers = new Set<Worker>();
  #isEnding = false;

  constructor(zygote: Zygote, settings: WorkerPoolSettings, events: WorkerEvents, log: Log) {
    this.#zygote = zygote;
    this.#settings = settings;
    this.#events = events;
    this.#log = log;
  }

  get pids(): readonly number[] {
    return [...this.#workers].map(({ pid }) => pid);
  }

  async start(): Promise<void> {
    try {
      await Promise.all(Array.from({ length: this.#settings.count }, () => this.#add()));
    } catch (error) {
      throw new WorkerStartError(error as Error);
    }
  }

  /** The worker with the fewest connections that still takes any. */
  choose(): Worker | undefined {
    let best: Worker | undefined;
    for (const worker of this.#workers) {
      if (
        !worker.isDraining &&
        (best === undefined || worker.connections.size < best.connections.size)
      ) {
        best = worker;
      }
    }
    return best;
  }

  /** After `give`: a worker that has had its share is drained and another one started. */
  retireIfSpent(worker: Worker): void {
    if (worker.given >= this.#settings.connectionsPerWorker && !worker.isDraining) {
      worker.drain();
      this.#replace(0);
    }
  }

  drainAll(): void {
    this.#isEnding = true;
    for (const worker of this.#workers) {
      worker.drain();
    }
  }

  #replace(delayMs: number): void {
    if (this.#isEnding) {
      return;
    }
    setTimeout(() => {
      this.#add().catch((error: unknown) => {
        this.#log.error(`cannot start a worker: ${String(error)}`);
        this.#replace(minLifeMs);
      });
    }, delayMs);
  }

  #kill(pid: number): void {
    this.#zygote
      .kill(pid, sigkill)
      .catch((error: unknown) => this.#log.debug(`worker ${pid}: ${String(error)}`));
  }

  async #add(): Promise<void> {
    const number = this.#events.nextNumber();
    const { pid, skipped, peerDescriptor } = await this.#zygote.startWorker(this.#settings.order);
    for (const step of skipped) {
      this.#log.info(`worker ${number}: confinement without ${step}`);
    }
    const peer = new Peer(new SeqpacketLink(peerDescriptor), {
      closeDescriptor,
      rejectDescriptors: true,
      onFault: (error, name) =>
        this.#log.error(`internal error in ${name}: ${(error as Error).stack ?? String(error)}`),
    });
    const worker = new Worker(number, pid, peer);
    const startedMs = performance.now();
    const ready = Promise.withResolvers<void>();
    const tooLate = setTimeout(
      () => ready.reject(new Error('it does not get ready')),
      readyTimeoutMs,
    );
    peer.onNotice(link.Ready, ({ skipped: more }) => {
      if (worker.isReady) {
        return;
      }
      worker.isReady = true;
      for (const step of more) {
        this.#log.info(`worker ${number}: confinement without ${step}`);
      }
      this.#workers.add(worker);
      ready.resolve();
      if (this.#isEnding) {
        worker.drain(); // it was being started when the end came
      } else {
        this.#events.ready();
      }
    });
    this.#events.serve(worker);
    peer.onEnd = (error) => {
      this.#workers.delete(worker);
      ready.reject(new Error('it ended before it was ready, the log says why'));
      this.#events.died(worker);
      // One that has let go of its link alone would live on with its connections' sockets.
      this.#kill(pid);
      // Before it was ready, whoever started it starts the next.
      if (!worker.isDraining && worker.isReady) {
        this.#log.error(
          `worker ${number} (pid ${pid}) ended${error === undefined ? '' : `: ${error.message}`}`,
        );
        this.#replace(performance.now() - startedMs < minLifeMs ? minLifeMs : 0);
      }
    };
    const settings: link.WorkerSettings = { ...this.#settings.settings, worker: number };
    peer.notify(link.Settings, { json: Buffer.from(JSON.stringify(settings)) });
    try {
      await ready.promise;
    } catch (error) {
      worker.isDraining = true;
      peer.close();
      this.#kill(pid);
      throw error;
    } finally {
      clearTimeout(tooLate);
    }
  }
}
