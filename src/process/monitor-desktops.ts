/**
 * The broker put together with this machine: engines, leaders, store, lock, control socket. One
 * monitor owns the desktops; a second one (the old one drains) waits for the lock. Runs in: monitor.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import {
  closeDescriptor,
  duplicate,
  lockExclusive,
  shutdownDescriptor,
} from '../base/socket.native.ts';
import type { Log } from '../audit/log.ts';
import { AgentHolds } from '../broker/agent-holds.ts';
import { Broker } from '../broker/broker.ts';
import { sessionCommand } from '../broker/environment.ts';
import { processLeftovers } from '../broker/leftovers.ts';
import { brokerLimits } from '../broker/limits.ts';
import { DesktopDetach } from '../broker/link.ts';
import { readReport } from '../broker/report.ts';
import type { Logins } from '../broker/control-logins.ts';
import type { Owner } from '../broker/outcome.ts';
import { DesktopHello, RemoteDesktops } from '../broker/remote.ts';
import {
  type DesktopHolds,
  type DesktopRequest,
  type Onlooker,
  openerOf,
  ownerOf,
} from '../broker/requests/context.ts';
import { underForcedCommand } from '../broker/forced-desktop.ts';
import type { Ask } from '../broker/resume-guard.ts';
import { desktopRequests, desktopRows } from '../broker/requests/index.ts';
import { DesktopStore } from '../broker/store.ts';
import { type DescriptorPort, ViewerHolds } from '../broker/viewer-holds.ts';
import { prepareX11Directory, x11Directory } from '../broker/x-display.ts';
import type { Connection } from '../monitor/connection.ts';
import { DesktopAgentClosed } from '../monitor/link.ts';
import type { Answer, AnyRow } from '../monitor/request-table.ts';
import type { ServerConfig } from '../policy/config.ts';
import type { AnyFields, Values } from '../ssh/wire/field.ts';
import type { Peer } from '../ssh/wire/peer.ts';
import { displayEngines } from '../../subsystems/display/engines/index.ts';
import { ControlSocket } from './control-socket.ts';
import { DesktopReauth } from './desktop-reauth.ts';
import { DesktopsElsewhere } from './desktops-elsewhere.ts';
import { DesktopsSocket } from './desktops-socket.ts';
import type { Leaders } from './leaders.ts';
import type { Visit } from './logins.ts';
import { LocalSocket } from './local-socket.ts';
import type { MonitorPolicy } from './monitor-policy.ts';
import type { Places } from './places.ts';

/** What of a policy holds for desktops that are started. */
export interface DesktopPolicy extends Pick<MonitorPolicy, 'desktopConfigFor'> {
  readonly config: Pick<
    ServerConfig,
    | 'usePam'
    | 'pamServiceName'
    | 'gssapiAuthentication'
    | 'allowAgentForwarding'
    | 'disableForwarding'
  >;
}

export interface MonitorDesktopsOptions {
  readonly policy: DesktopPolicy;
  readonly log: Log;
  readonly places: Places;
  readonly isRootless: boolean;
  /** Whether one of these processes is the leader of a login here that may open no desktop. */
  readonly isBarred?: (processes: ReadonlySet<number>) => boolean;
  /** A leader that asks again who somebody is, and does not end by itself. */
  readonly killLeader?: (pid: number) => void;
}

const lockRetryMs = 250;
/** A leader or a file system that hangs keeps its desktop from being found, not the others. */
const recoverTimeoutMs = 10_000;

export class MonitorDesktops {
  readonly #options: MonitorDesktopsOptions;
  readonly #leaders: Leaders;
  readonly #broker: Broker;
  readonly #holds: ViewerHolds;
  readonly #agents: AgentHolds;
  readonly #requests: readonly DesktopRequest[];
  /** They look at desktops, or did. */
  readonly #onlookers = new Map<Onlooker, Owner>();
  readonly #control: ControlSocket;
  readonly #socket: DesktopsSocket;
  readonly #local: LocalSocket;
  readonly #elsewhere: DesktopsElsewhere;
  readonly #reauth: DesktopReauth;
  #policy: DesktopPolicy;
  #locks: readonly number[] = [];
  #hasSaidWhy = false;
  #isOwner = false;
  #isReleased = false;
  /** What there was when the daemon started has been found again, or another one owns it. */
  #settled: Promise<void> = Promise.resolve();

  constructor(options: MonitorDesktopsOptions, leaders: Leaders) {
    this.#options = options;
    this.#policy = options.policy;
    this.#leaders = leaders;
    this.#broker = this.#makeBroker();
    const port: DescriptorPort = {
      duplicate,
      shutdown: shutdownDescriptor,
      close: closeDescriptor,
    };
    this.#holds = new ViewerHolds(port, (error) =>
      options.log.debug(`end of a viewer: ${String(error)}`),
    );
    this.#agents = new AgentHolds(port, (error) =>
      options.log.debug(`end of an agent's connection: ${String(error)}`),
    );
    this.#requests = desktopRequests({ broker: this.#broker });
    this.#control = new ControlSocket(this.#broker, options);
    const { places, log } = options;
    this.#reauth = new DesktopReauth(
      {
        isRootless: options.isRootless,
        isWanted: ({ user, groups = [] }) =>
          this.#policy.desktopConfigFor({ user, groups }).desktopReauth.includes('resume'),
        viewedBy: (connection) => this.desktopsOf(connection),
        killLeader: options.killLeader ?? (() => {}),
      },
      leaders,
    );
    const remote = new RemoteDesktops(this.#broker, this.#requests, this.#reauth.local);
    this.#socket = new DesktopsSocket(places.desktopsSocket, remote, log);
    this.#local = new LocalSocket(remote, leaders, {
      ...options,
      isBarred: options.isBarred ?? (() => false),
      configFor: (owner) => this.#policy.desktopConfigFor(owner),
    });
    const door = {
      path: places.desktopsSocket,
      servedBy: process.getuid?.() ?? 0,
      hello: (peer: Peer, owner: Owner) => peer.call(DesktopHello, owner),
    };
    this.#elsewhere = new DesktopsElsewhere(door, this.#allHolds, log);
  }

  /** `who` and `last`, on the control socket. */
  tellOf(logins: Logins): void {
    this.#control.tellOf(logins);
  }

  /** Ids of the desktops that a login looks at, one for each viewer. */
  desktopsOf(connection: number): readonly string[] {
    return this.#holds.of(connection).map(({ id }) => id);
  }

  /** Empty: it is not known here. */
  nameOf(id: string): string {
    const found = this.#isOwner ? this.#broker.lookUp('everybody', id) : undefined;
    return found?.is === 'done' ? found.value.name : '';
  }

  /** Processes of another sshd that ask for desktops here. */
  get visits(): readonly Visit[] {
    return this.#local.visits.map(({ owner, from, startedAtMs, number }) => ({
      ...owner,
      from,
      startedAtMs,
      desktops: this.#broker.viewedBy(number),
    }));
  }

  /** For desktops that are started from here on. */
  limitBy(policy: DesktopPolicy): void {
    this.#policy = policy;
  }

  get #allHolds(): DesktopHolds {
    return { viewers: this.#holds, agents: this.#agents };
  }

  /** Where another monitor owns the desktops, it is asked. Who its logins are is this one's to know. */
  get rows(): readonly AnyRow[] {
    const rows = desktopRows(this.#requests, this.#allHolds);
    const rowOf = new Map(rows.map((row) => [row.schema.name, row]));
    const askFor =
      (connection: Connection): Ask =>
      (schema, values) =>
        this.#answer(
          schema,
          connection,
          values,
          () => ownerOf(connection, Number(values['session'])),
          async () => (rowOf.get(schema.name) as AnyRow).handle(connection, values),
        );
    return this.#reauth.rows(rows, askFor).map(underForcedCommand);
  }

  async #answer(
    schema: AnyRow['schema'],
    onlooker: Onlooker,
    values: Values<AnyFields>,
    ownerOfAll: () => Owner,
    answer: () => Promise<Answer<AnyFields>> | Answer<AnyFields>,
  ): Promise<Answer<AnyFields>> {
    await this.#settled;
    if (onlooker.closed) {
      return answer();
    }
    const owner = ownerOfAll();
    this.#onlookers.set(onlooker, owner);
    return this.#isOwner ? answer() : this.#elsewhere.ask(schema, onlooker, values, owner);
  }

  /** For a user who is no login of this process: `sshdesk subsystem` without a daemon. */
  serveUser(peer: Peer, onlooker: Onlooker, owner: Owner): void {
    const caller = { opener: openerOf(onlooker, this.#allHolds), owner: () => owner };
    const handlers = new Map(this.#requests.map(({ schema, handle }) => [schema.name, handle]));
    const ask: Ask = (schema, values) =>
      this.#answer(
        schema,
        onlooker,
        values,
        () => owner,
        async () => (handlers.get(schema.name) as DesktopRequest['handle'])(caller, values),
      );
    for (const { schema } of this.#requests) {
      peer.onCall(schema, async (values) => {
        const answer = await this.#reauth.local(onlooker, owner, schema, values, ask);
        return { values: answer.values, descriptors: answer.descriptors ?? [] };
      });
    }
    peer.onNotice(DesktopDetach, ({ viewer }) => this.#detach(onlooker, viewer));
  }

  #makeBroker(): Broker {
    const { log, places, isRootless } = this.#options;
    return new Broker({
      leaders: this.#leaders,
      pamService: () => {
        const { usePam, pamServiceName } = this.#policy.config;
        return usePam && !isRootless ? pamServiceName : '';
      },
      takesTickets: () => this.#policy.config.gssapiAuthentication && !isRootless,
      takesAgents: () => {
        const { allowAgentForwarding, disableForwarding } = this.#policy.config;
        return allowAgentForwarding && !disableForwarding;
      },
      sessionCommand: (owner) =>
        sessionCommand(this.#policy.desktopConfigFor(owner).xSession ?? ''),
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

  /**
   * Resolves when what there was has been found again, or at once where another monitor still owns
   * the desktops: they come when it lets go.
   */
  begin(): Promise<void> {
    const { places, isRootless } = this.#options;
    mkdirSync(places.desktopsDirectory, { recursive: true, mode: 0o711 });
    chmodSync(places.desktopsDirectory, isRootless ? 0o700 : 0o711);
    try {
      prepareX11Directory(x11Directory, !isRootless);
    } catch (error) {
      // Whoever put something else there keeps desktops from starting, but not the daemon.
      this.#options.log.error(`${x11Directory}: ${(error as Error).message}`);
    }
    this.#locks = [
      openSync(join(places.runtimeDirectory, 'desktops.lock'), 'a', 0o600),
      // A daemon with other places for its sockets may have the same store.
      openSync(`${places.storeFile}.lock`, 'a', 0o600),
    ];
    const own = this.#own().catch((error: unknown) =>
      this.#options.log.error(`desktops: ${String(error)}`),
    );
    const tooLong = new Promise<void>((resolve) => setTimeout(resolve, recoverTimeoutMs).unref());
    this.#settled = Promise.race([own, tooLong]);
    return this.#settled;
  }

  async #own(): Promise<void> {
    if (this.#isReleased) {
      return;
    }
    const taken = this.#locks.findIndex((lock) => !lockExclusive(lock));
    if (taken >= 0) {
      this.#sayWhyNot(taken);
      setTimeout(() => {
        this.#own().catch((error: unknown) =>
          this.#options.log.error(`desktops: ${String(error)}`),
        );
      }, lockRetryMs).unref();
      return;
    }
    await this.#broker.recover();
    if (this.#isReleased) {
      return; // another one owns the desktops and the paths of the sockets by now
    }
    this.#isOwner = true;
    this.#control.listen();
    this.#socket.listen();
    this.#local.listen();
  }

  /** Of a successor that waits for the old daemon nothing need be said: it is asked meanwhile. */
  #sayWhyNot(taken: number): void {
    if (taken > 0 && !this.#hasSaidWhy) {
      this.#hasSaidWhy = true;
      const { storeFile } = this.#options.places;
      this.#options.log.error(
        `no desktops here: another daemon has ${storeFile}, with its sockets elsewhere (another XDG_RUNTIME_DIR?); they come when it ends`,
      );
    }
  }

  serveNotices(
    peer: Peer,
    owned: (
      connection: number,
      notice: typeof DesktopDetach | typeof DesktopAgentClosed,
    ) => Connection | undefined,
  ): void {
    peer.onNotice(DesktopDetach, ({ connection, viewer }) => {
      const found = owned(connection, DesktopDetach);
      if (found !== undefined) {
        this.#detach(found, viewer);
      }
    });
    peer.onNotice(DesktopAgentClosed, ({ connection, socket }) => {
      if (owned(connection, DesktopAgentClosed) !== undefined) {
        this.#agents.ended(connection, socket);
      }
    });
  }

  #detach(onlooker: Onlooker, viewer: number): void {
    onlooker.log?.verbose(`viewer ${viewer} of a desktop left`, { event: 'desktop.left' });
    const left = this.#holds.of(onlooker.number).find((held) => held.viewer === viewer);
    if (left !== undefined) {
      this.#reauth.left(onlooker, left.id);
    }
    this.#holds.end(onlooker.number, viewer);
    if (this.#isOwner) {
      this.#broker.detach(onlooker.number, viewer);
    }
    // It may be from a time when another one owned them.
    this.#elsewhere.detach(onlooker, viewer);
  }

  connectionEnded(connection: Onlooker): void {
    this.#onlookers.delete(connection);
    this.#reauth.connectionEnded(connection);
    this.#holds.endAll(connection.number);
    this.#agents.endAll(connection.number);
    this.#elsewhere.connectionEnded(connection);
    if (this.#isOwner) {
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
    this.#socket.close();
    this.#local.close();
    this.#broker.close();
    this.#locks.forEach(closeSync);
    for (const [onlooker, owner] of this.#onlookers) {
      this.#elsewhere.rejoin(onlooker, owner);
    }
  }
}
