/**
 * The daemon as a service of systemd: what the environment says at the start (sd_listen_fds(3),
 * sd_watchdog_enabled(3)), and what is told in return (sd_notify(3)). Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { sendToUnix } from '../base/notify.native.ts';
import { descriptorKind, listeningAddress, setCloseOnExec } from '../base/socket.native.ts';
import type { Bound } from './listeners.ts';

type Environment = Record<string, string | undefined>;

/** None of them is for a process that the daemon starts. */
const ofServiceManager = [
  'NOTIFY_SOCKET',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
  'LISTEN_PID',
  'LISTEN_PIDFDID',
  'LISTEN_FDS',
  'LISTEN_FDNAMES',
] as const;

/** SD_LISTEN_FDS_START */
const firstPassed = 3;
const maxPassed = 256;

export interface FromServiceManager {
  readonly notifySocket: string | undefined;
  /** As WATCHDOG_USEC, where it is meant for this process. */
  readonly watchdogUsec: string | undefined;
  /** Descriptors that were passed, with their names; empty: none. */
  readonly passed: readonly { readonly descriptor: number; readonly name: string }[];
}

/** Reads the variables and removes them. Throws ConfigError: they make no sense. */
export function takeFromEnvironment(environment: Environment, pid: number): FromServiceManager {
  const taken = Object.fromEntries(ofServiceManager.map((name) => [name, environment[name]]));
  for (const name of ofServiceManager) {
    delete environment[name];
  }
  const { NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC } = taken;
  const isWatched = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid);
  return {
    notifySocket: NOTIFY_SOCKET === '' ? undefined : NOTIFY_SOCKET,
    watchdogUsec: isWatched ? WATCHDOG_USEC : undefined,
    passed: taken['LISTEN_PID'] === String(pid) ? passedBy(taken) : [],
  };
}

function passedBy({ LISTEN_FDS, LISTEN_FDNAMES }: Environment): FromServiceManager['passed'] {
  const count = Number(LISTEN_FDS);
  if (LISTEN_FDS === undefined || !/^\d+$/.test(LISTEN_FDS) || count > maxPassed) {
    throw new ConfigError(`LISTEN_FDS=${LISTEN_FDS ?? ''} is not a number of sockets`);
  }
  const names = LISTEN_FDNAMES?.split(':');
  if (names !== undefined && names.length !== count) {
    throw new ConfigError(`LISTEN_FDNAMES has ${names.length} names for ${count} sockets`);
  }
  return Array.from({ length: count }, (_, index) => ({
    descriptor: firstPassed + index,
    name: names?.[index] ?? 'unknown',
  }));
}

/** Where the passed sockets listen. Throws ConfigError for one that is no listening TCP socket. */
export function listenersOf(
  passed: FromServiceManager['passed'],
): readonly (Bound & { readonly address: string })[] {
  return passed.map(({ descriptor, name }) => {
    const what = `descriptor ${descriptor} (${name}) of the service manager`;
    let kind: string;
    try {
      kind = descriptorKind(descriptor);
    } catch (error) {
      throw new ConfigError(`${what} is not open: LISTEN_FDS is wrong`, { cause: error });
    }
    if (kind !== 'tcp-listener') {
      throw new ConfigError(
        `${what} is a ${kind}, not a listening TCP socket: the socket unit needs ListenStream= with a port, and Accept=no`,
      );
    }
    setCloseOnExec(descriptor, true);
    const { localAddress, localPort } = listeningAddress(descriptor);
    return { descriptor, address: localAddress, port: localPort };
  });
}

export interface ServiceManagerHost {
  /** Of a message that could not be sent. */
  debug(line: string): void;
  /** CLOCK_MONOTONIC */
  nowUsec(): bigint;
}

/** What the service manager is told; without NOTIFY_SOCKET nothing is. */
export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #watchdogUsec: string | undefined;
  readonly #host: ServiceManagerHost;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(
    { notifySocket, watchdogUsec }: Pick<FromServiceManager, 'notifySocket' | 'watchdogUsec'>,
    host: ServiceManagerHost,
  ) {
    this.#socket = notifySocket;
    this.#watchdogUsec = watchdogUsec;
    this.#host = host;
  }

  #tell(...lines: readonly string[]): void {
    if (this.#socket === undefined || this.#isOver) {
      return;
    }
    try {
      sendToUnix(this.#socket, `${lines.join('\n')}\n`);
    } catch (error) {
      // The daemon serves its users whether or not somebody keeps its books.
      this.#host.debug(`service manager: ${(error as Error).message}`);
    }
  }

  ready(status: string): void {
    this.#tell('READY=1', `STATUS=${status}`);
    this.watch();
  }

  /** The launcher's: the daemon is another process than the one that was started. */
  readyAs(pid: number, status: string): void {
    this.#tell(`MAINPID=${pid}`, 'READY=1', `STATUS=${status}`);
  }

  /** Followed by `ready`, whatever comes of it. */
  reloading(): void {
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${this.#host.nowUsec()}`);
  }

  /** The last word: of a daemon that drains its successor must not be told anything. */
  stopping(status: string): void {
    this.#tell('STOPPING=1', `STATUS=${status}`);
    this.#isOver = true;
    clearInterval(this.#timer);
  }

  /** Says that the loop turns, twice in the time in which it must be heard. */
  watch(): void {
    const everyMs = Math.floor(Number(this.#watchdogUsec) / 2000);
    if (this.#timer === undefined && this.#socket !== undefined && everyMs > 0) {
      this.#tell('WATCHDOG=1');
      this.#timer = setInterval(() => this.#tell('WATCHDOG=1'), everyMs);
      this.#timer.unref();
    }
  }
}
