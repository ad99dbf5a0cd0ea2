/**
 * `sshdesk: monitor`. Accepts connections, holds the host keys, decides every authentication and
 * grant, starts and orders leaders, owns the desktops. It never parses a byte of a client.
 * Runs in: monitor.
 */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Log } from '../audit/log.ts';
import { setNotDumpable, setProcessTitle } from '../base/confine.native.ts';
import { ConfigError } from '../base/errors.ts';
import {
  Acceptor,
  closeDescriptor,
  isDescriptorOfKind,
  localRemoteAddress,
  readMemfd,
} from '../base/socket.native.ts';
import type { HostKeys } from '../monitor/host-keys.ts';
import { LineBudget } from '../monitor/line-budget.ts';
import * as link from '../monitor/link.ts';
import { type AnyRow, serveRequests } from '../monitor/request-table.ts';
import { agentForward } from '../monitor/requests/agent-forward.ts';
import { checkPassword } from '../monitor/requests/check-password.ts';
import { tryNone } from '../monitor/requests/try-none.ts';
import { closeForward } from '../monitor/requests/close-forward.ts';
import { directStreamLocal } from '../monitor/requests/direct-streamlocal.ts';
import { directTcpip } from '../monitor/requests/direct-tcpip.ts';
import {
  answerKeyboardInteractive,
  startKeyboardInteractive,
} from '../monitor/requests/keyboard-interactive.ts';
import { CommandPace } from '../monitor/failure-delay.ts';
import { KeyFiles } from '../monitor/key-files.ts';
import { announcedSignatures } from '../monitor/offered-key.ts';
import { proveHostKeys } from '../monitor/requests/prove-host-keys.ts';
import { checkKey, queryKey } from '../monitor/requests/publickey.ts';
import { refuseMethod } from '../monitor/requests/refuse-method.ts';
import { sessionEnv } from '../monitor/requests/session-env.ts';
import { sessionOpen } from '../monitor/requests/session-open.ts';
import { sessionPty } from '../monitor/requests/session-pty.ts';
import { sessionSignal } from '../monitor/requests/session-signal.ts';
import { sessionStart } from '../monitor/requests/session-start.ts';
import { signExchange } from '../monitor/requests/sign-exchange.ts';
import { streamLocalForward } from '../monitor/requests/streamlocal-forward.ts';
import { tcpipForward } from '../monitor/requests/tcpip-forward.ts';
import { userauthBegin } from '../monitor/requests/userauth-begin.ts';
import { x11Forward } from '../monitor/requests/x11-forward.ts';
import type { DesktopConfig, ListenAddress, ServerConfig } from '../policy/config.ts';
import type { MatchSubject } from '../policy/match.ts';
import { compressionAlgorithms, defaultNames, hostKeyAlgorithms } from '../ssh/wire/algorithms.ts';
import { Reader } from '../ssh/wire/reader.ts';
import { Leaders } from './leaders.ts';
import { hardFileLimit } from './file-limit.ts';
import { MonitorConnections } from './monitor-connections.ts';
import { MonitorDesktops } from './monitor-desktops.ts';
import { installDirectory, leaderExecutable, type Places, workerReadOnly } from './places.ts';
import { type Worker, WorkerPool } from './worker-pool.ts';
import { Zygote } from './zygote.ts';

export interface MonitorOptions {
  readonly config: ServerConfig;
  readonly configFor: (subject: MatchSubject) => ServerConfig;
  readonly desktopConfig: DesktopConfig;
  readonly hostKeys: HostKeys;
  readonly log: Log;
  readonly places: Places;
  readonly version: string;
  readonly isRootless: boolean;
  /** uid and gid of the account `sshdesk`; unused when rootless. */
  readonly workerAccount: { readonly uid: number; readonly gid: number };
  /** -i: the one connection is on these descriptors, nothing is bound. */
  readonly inherited?: { readonly input: number; readonly output: number };
  /** -d: one connection, then the daemon ends. */
  readonly servesOne: boolean;
  /** Soft limit of open files before Node raised it, for users' programs. */
  readonly softFiles?: number;
  /** What a worker runs; the tests put a hostile one in its place. */
  readonly workerProgram?: string;
}

const defaultWorkerProgram = join(installDirectory, 'src/process/worker.ts');
const sigkill = 9;

interface Bound {
  readonly descriptor: number;
  readonly address: string;
  readonly port: number;
}

/** A port that is taken and the like: the launcher says it and exits 255. */
export class BindError extends ConfigError {
  readonly listen: ListenAddress;
  constructor(listen: ListenAddress, cause: Error) {
    super(`Bind to port ${listen.port} on ${listen.address} failed: ${cause.message}.`, { cause });
    this.listen = listen;
  }
}

/** Of HostKeyAlgorithms those that there is a key or a certificate for. Throws ConfigError: none. */
export function offeredHostKeyAlgorithms(
  hostKeys: HostKeys,
  config: Pick<ServerConfig, 'hostKeyAlgorithms'>,
): readonly string[] {
  const { names } = config.hostKeyAlgorithms;
  const types = new Set(
    hostKeys.offeredBlobs.map((blob) => new Reader(blob).string().toString('latin1')),
  );
  const offered = names.filter((name) =>
    hostKeyAlgorithms.some((row) => row.name === name && types.has(row.keyType)),
  );
  if (offered.length === 0) {
    throw new ConfigError(
      `no host key can serve an algorithm of HostKeyAlgorithms (${names.join(',')}); there are keys of ${[...types].join(', ')}`,
    );
  }
  return offered;
}

/** The plain keys that an enabled algorithm can use; a certificate proves itself. */
function announcedHostKeys(
  hostKeys: HostKeys,
  config: Pick<ServerConfig, 'hostKeyAlgorithms'>,
): readonly Buffer[] {
  const { names } = config.hostKeyAlgorithms;
  return hostKeys.publicBlobs.filter((blob) => {
    const type = new Reader(blob).string().toString('latin1');
    return hostKeyAlgorithms.some((row) => row.keyType === type && names.includes(row.name));
  });
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #log: Log;
  readonly #zygote: Zygote;
  readonly #leaders: Leaders;
  readonly #connections: MonitorConnections;
  readonly #pool: WorkerPool;
  readonly #desktops: MonitorDesktops;
  readonly #rows: readonly AnyRow[];
  readonly #acceptors: Acceptor[] = [];
  readonly #ended = Promise.withResolvers<number>();
  #isDraining = false;
  #isOver = false;

  private constructor(options: MonitorOptions, zygote: Zygote) {
    const { config, log } = options;
    this.#options = options;
    this.#log = log;
    this.#zygote = zygote;
    this.#leaders = new Leaders(zygote, log);
    this.#connections = new MonitorConnections(options, log, options.isRootless, {
      startLeader: () => this.#leaders.startLogin(),
      killLeader: (pid) => {
        zygote
          .kill(pid, sigkill)
          .catch((error: unknown) => log.debug(`leader ${pid}: ${String(error)}`));
      },
      ended: (connection) => this.#desktops.connectionEnded(connection),
    });
    this.#desktops = new MonitorDesktops(options, this.#leaders);
    this.#pool = new WorkerPool(
      zygote,
      this.#poolSettings(),
      {
        serve: (worker) => this.#serve(worker),
        ready: () => this.#connections.giveWaiting(this.#pool),
        died: (worker) => this.#connections.workerDied(worker),
      },
      log,
    );
    const userKeys = {
      readMemfd: readMemfdOnce,
      keyFiles: new KeyFiles(),
      pace: new CommandPace(),
    };
    this.#rows = [
      signExchange({
        hostKeys: options.hostKeys,
        version: options.version,
        algorithms: this.#poolSettings().settings.algorithms,
        log,
      }),
      proveHostKeys({
        hostKeys: options.hostKeys,
        announced: announcedHostKeys(options.hostKeys, config),
        log,
      }),
      userauthBegin(this.#connections),
      checkPassword(),
      tryNone(),
      startKeyboardInteractive(),
      answerKeyboardInteractive(),
      queryKey(userKeys),
      checkKey(userKeys),
      refuseMethod(),
      sessionOpen(),
      sessionPty(),
      sessionEnv(),
      sessionStart({ config, log, readMemfd: readMemfdOnce }),
      sessionSignal(),
      agentForward(log),
      x11Forward(log),
      directTcpip(log),
      tcpipForward(log),
      directStreamLocal(log, options.places.runtimeDirectory),
      streamLocalForward(log, options.places.runtimeDirectory),
      closeForward(log),
      ...this.#desktops.rows,
    ];
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

  /** The exit code, once everything has ended. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }

  #poolSettings() {
    const { config, desktopConfig, hostKeys, isRootless, workerAccount, version } = this.#options;
    const isolated = desktopConfig.workerIsolation === 'connection';
    const blobs = hostKeys.offeredBlobs;
    const confinement = isRootless ? ('relaxed' as const) : desktopConfig.workerConfinement;
    return {
      count: this.#options.inherited === undefined ? desktopConfig.workers : 1,
      connectionsPerWorker: isolated ? 1 : desktopConfig.workerConnections,
      order: {
        arguments: [
          process.execPath,
          '--permission',
          '--allow-addons',
          `--allow-fs-read=${installDirectory}`,
          '--disable-sigusr1',
          '--no-warnings',
          // Bulk data makes little but external garbage, collected every 64 MiB by default. An upload of
          // 2 GiB on a busy machine took 1.5 to 1.8 s of CPU without these two, 1.0 to 1.3 s with them.
          '--external-memory-accounted-in-global-limit',
          '--max-semi-space-size=1',
          this.#options.workerProgram ?? defaultWorkerProgram,
        ],
        environment: [],
        readOnly: workerReadOnly(process.execPath),
        directory: '/',
        uid: isRootless ? 0 : workerAccount.uid,
        gid: isRootless ? 0 : workerAccount.gid,
        relaxed: confinement === 'relaxed',
      },
      settings: {
        version,
        algorithms: {
          kex: config.kexAlgorithms.names,
          serverHostKey: offeredHostKeyAlgorithms(hostKeys, config),
          cipher: config.ciphers.names,
          mac: config.macs.names,
          compress: config.compression ? defaultNames(compressionAlgorithms) : ['none'],
        },
        hostKeys: blobs.map((blob) => blob.toString('base64')),
        announcedHostKeys: announcedHostKeys(hostKeys, config).map((blob) =>
          blob.toString('base64'),
        ),
        confinement,
        descriptorLimit: hardFileLimit(),
        rekeyBytes: config.rekeyLimit.bytes,
        rekeyMs: config.rekeyLimit.ms,
        acceptedUserKeyAlgorithms: announcedSignatures(config),
      },
    };
  }

  async #begin(): Promise<void> {
    const { config, inherited } = this.#options;
    this.#zygote.onGone = () => {
      this.#log.fatal('the zygote is gone');
      this.#end(255);
    };
    this.#connections.onIdle = () => this.#endIfDone();
    const bound = inherited === undefined ? await this.#bindAll(config.listenAddresses) : [];
    await this.#pool.start();
    await this.#desktops.begin();
    // Said last: whoever waits for these lines may use the control socket at once as well.
    for (const { address, port } of bound) {
      this.#log.info(`Server listening on ${address} port ${port}.`);
    }
    for (const { descriptor } of bound) {
      const acceptor = new Acceptor(descriptor, (accepted) => {
        this.#connections.accept(accepted, this.#pool);
        if (this.#options.servesOne) {
          this.#stopListening();
        }
      });
      acceptor.onTrouble = (error) => this.#log.error(`accept: ${error.message}`);
      this.#acceptors.push(acceptor);
    }
    if (inherited !== undefined) {
      this.#acceptInherited(inherited);
    }
  }

  /** All or none. An address family that the host lacks is skipped, as sshd does. */
  async #bindAll(addresses: readonly ListenAddress[]): Promise<readonly Bound[]> {
    const bound: Bound[] = [];
    const failures: BindError[] = [];
    for (const listen of addresses) {
      try {
        const { descriptor, port } = await this.#zygote.bind(listen.address, listen.port);
        bound.push({ descriptor, address: listen.address, port });
      } catch (error) {
        failures.push(new BindError(listen, error as Error));
      }
    }
    const [first] = failures;
    if (bound.length === 0) {
      throw first ?? new ConfigError('Cannot bind any address.');
    }
    for (const { detail } of failures) {
      this.#log.error(detail);
    }
    return bound;
  }

  #acceptInherited({ input, output }: { readonly input: number; readonly output: number }): void {
    // A Unix socket has no addresses to speak of, and may be one of two as pipes are.
    const addresses = isDescriptorOfKind(input, 'tcp') ? localRemoteAddress(input) : undefined;
    this.#isDraining = true;
    if (addresses !== undefined) {
      this.#connections.accept({ ...addresses, descriptor: input }, this.#pool);
      return;
    }
    // sshd's words for a connection that is no socket.
    const unknown = {
      remoteAddress: 'UNKNOWN',
      remotePort: 65535,
      localAddress: 'UNKNOWN',
      localPort: 65535,
    };
    this.#connections.accept({ ...unknown, descriptor: input }, this.#pool, output);
  }

  #serve(worker: Worker): void {
    const { peer } = worker;
    const owned = (number: number) => worker.connections.get(number);
    const offences = new LineBudget(() => performance.now());
    serveRequests(peer, this.#rows, {
      connection: owned,
      stranger: (number, name) => {
        if (!worker.ended.has(number) && offences.take() !== undefined) {
          this.#log.error(
            `monitor: refused ${name} of worker ${worker.number} for connection ${number}, which is not its own`,
          );
        }
      },
      refuse: (connection, refusal) => this.#connections.refuse(connection, refusal),
      broke: (connection, name, error) => this.#connections.broke(connection, name, error),
    });
    peer.onNotice(link.SessionClose, ({ connection, session }) => {
      const found = owned(connection);
      if (found?.closeSession(session) === true) {
        this.#log.verbose(
          `Close session: user ${found.login?.user ?? ''} from ${found.from} id ${session}`,
        );
      }
    });
    peer.onNotice(link.ConnectionClosed, ({ connection, why, initiator }) => {
      const found = owned(connection);
      if (found !== undefined) {
        this.#connections.closed(found, why, initiator);
      }
    });
    const budget = new LineBudget(() => performance.now());
    peer.onNotice(link.Log, ({ level, line }) => {
      const dropped = budget.take();
      if (dropped === undefined) {
        return;
      }
      if (dropped > 0) {
        this.#log.error(`worker ${worker.number}: ${dropped} lines of it were dropped`);
      }
      // A worker's lines are its own account of things: marked, and never above ERROR.
      const known = level === 'ERROR' || level === 'INFO' || level === 'VERBOSE' ? level : 'DEBUG1';
      this.#log.at(known, `worker ${worker.number}: ${line}`);
    });
    this.#desktops.serveNotices(peer, owned);
  }

  /** SIGTERM: no new connections; live logins go on. A second time: they end as well. */
  drain(signal = '15'): void {
    if (this.#isDraining) {
      this.endConnections();
      return;
    }
    this.#isDraining = true;
    this.#log.info(`Received signal ${signal}; terminating.`);
    setProcessTitle('sshdesk: monitor [draining]');
    this.#stopListening();
    this.#desktops.release();
    this.#pool.drainAll();
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
    for (const acceptor of this.#acceptors.splice(0)) {
      acceptor.close();
    }
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
    this.#pool.drainAll();
    this.#desktops.release();
    this.#zygote.onGone = () => {};
    this.#zygote.close();
    this.#ended.resolve(code);
  }
}

function readMemfdOnce(descriptor: number, maxBytes: number): Buffer {
  try {
    return readMemfd(descriptor, maxBytes);
  } finally {
    closeDescriptor(descriptor);
  }
}
