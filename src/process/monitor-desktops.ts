/**
 * The broker put together with this machine: engines, leaders, store, lock, control socket. One
 * monitor owns the desktops; a second one (the old one drains) waits for the lock. Runs in: monitor.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { lockExclusive } from '../base/socket.native.ts';
import type { Log } from '../audit/log.ts';
import { Broker } from '../broker/broker.ts';
import { sessionCommand } from '../broker/environment.ts';
import { processLeftovers } from '../broker/leftovers.ts';
import { brokerLimits } from '../broker/limits.ts';
import { DesktopDetach, desktopFailure } from '../broker/link.ts';
import { readReport } from '../broker/report.ts';
import { desktopRequests } from '../broker/requests/index.ts';
import { DesktopStore } from '../broker/store.ts';
import { prepareX11Directory, x11Directory } from '../broker/x-display.ts';
import type { Connection } from '../monitor/connection.ts';
import type { AnyRow } from '../monitor/request-table.ts';
import type { DesktopConfig, ServerConfig } from '../policy/config.ts';
import { CallFailure, type Peer } from '../ssh/wire/peer.ts';
import { displayEngines } from '../../subsystems/display/engines/index.ts';
import { ControlSocket } from './control-socket.ts';
import type { Leaders } from './leaders.ts';
import type { Places } from './places.ts';

export interface MonitorDesktopsOptions {
  readonly config: ServerConfig;
  readonly desktopConfig: DesktopConfig;
  readonly log: Log;
  readonly places: Places;
  readonly isRootless: boolean;
}

const lockRetryMs = 250;

export class MonitorDesktops {
  readonly #options: MonitorDesktopsOptions;
  readonly #leaders: Leaders;
  readonly #broker: Broker;
  readonly #control: ControlSocket;
  #lock: number | undefined;
  #isOwner = false;
  #isReleased = false;

  constructor(options: MonitorDesktopsOptions, leaders: Leaders) {
    this.#options = options;
    this.#leaders = leaders;
    this.#broker = this.#makeBroker();
    this.#control = new ControlSocket(this.#broker, options);
  }

  get rows(): readonly AnyRow[] {
    return desktopRequests({ broker: this.#broker }).map((row) => ({
      ...row,
      handle: (connection, values) => {
        if (!this.#isOwner) {
          throw new CallFailure(desktopFailure.refused, 'Another daemon owns the desktops now.');
        }
        return row.handle(connection, values);
      },
    }));
  }

  #makeBroker(): Broker {
    const { config, desktopConfig, log, places, isRootless } = this.#options;
    return new Broker({
      leaders: this.#leaders,
      pamService: config.usePam && !isRootless ? config.pamServiceName : '',
      sessionCommand: sessionCommand(desktopConfig.xSession ?? ''),
      x11Directory,
      log,
      readReport,
      sleepMs: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      store: new DesktopStore(places.storeFile),
      engines: displayEngines,
      limits: brokerLimits,
      leftovers: processLeftovers,
      desktopsDirectory: places.desktopsDirectory,
      nowMs: () => Date.now(),
      randomBytes,
    });
  }

  /** Resolves at once; where another monitor still owns the desktops, they come when it lets go. */
  async begin(): Promise<void> {
    const { places, isRootless } = this.#options;
    mkdirSync(places.desktopsDirectory, { recursive: true, mode: 0o711 });
    chmodSync(places.desktopsDirectory, isRootless ? 0o700 : 0o711);
    prepareX11Directory(x11Directory, !isRootless);
    this.#lock = openSync(join(places.runtimeDirectory, 'desktops.lock'), 'a', 0o600);
    await this.#own();
  }

  async #own(): Promise<void> {
    if (this.#isReleased || this.#lock === undefined) {
      return;
    }
    if (!lockExclusive(this.#lock)) {
      setTimeout(() => {
        this.#own().catch((error: unknown) =>
          this.#options.log.error(`desktops: ${String(error)}`),
        );
      }, lockRetryMs).unref();
      return;
    }
    await this.#broker.recover();
    this.#isOwner = true;
    this.#control.listen();
  }

  serveNotices(peer: Peer, owned: (connection: number) => Connection | undefined): void {
    peer.onNotice(DesktopDetach, ({ connection, viewer }) => {
      if (owned(connection) !== undefined) {
        this.#broker.detach(connection, viewer);
      }
    });
  }

  connectionEnded(connection: Connection): void {
    if (!this.#isReleased) {
      this.#broker.connectionClosed(connection.number);
    }
  }

  /** The desktops go on; whoever takes the lock next owns them. */
  release(): void {
    if (this.#isReleased) {
      return;
    }
    this.#isReleased = true;
    this.#isOwner = false;
    this.#control.close();
    this.#broker.close();
    if (this.#lock !== undefined) {
      closeSync(this.#lock);
    }
  }
}
