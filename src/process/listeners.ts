/**
 * The ports that the daemon listens on. A change of configuration keeps the sockets that are in the
 * old one and the new one alike, so that nobody is refused meanwhile. Runs in: monitor.
 */
import { isIPv6 } from 'node:net';
import type { Log } from '../audit/log.ts';
import { ConfigError } from '../base/errors.ts';
import type { Accepted } from '../base/native.ts';
import { Acceptor, closeDescriptor, shutdownDescriptor } from '../base/socket.native.ts';
import type { ListenAddress } from '../policy/config.ts';

/** A port that is taken and the like: the launcher says it and exits 255. */
export class BindError extends ConfigError {
  readonly listen: ListenAddress;
  constructor(listen: ListenAddress, cause: Error) {
    super(`Bind to port ${listen.port} on ${listen.address} failed: ${cause.message}.`, { cause });
    this.listen = listen;
  }
}

export interface Bound {
  readonly descriptor: number;
  readonly port: number;
}

interface Listener extends Bound {
  readonly listen: ListenAddress;
  /** Once connections are accepted from it. */
  acceptor: Acceptor | undefined;
}

/** What `commit` puts in force. */
export interface Prepared {
  readonly kept: readonly Listener[];
  readonly fresh: readonly Listener[];
  readonly leaving: readonly Listener[];
}

export interface ListenersHost {
  readonly log: Log;
  /** By the zygote, which may bind any port. */
  bind(address: string, port: number): Promise<Bound>;
  accept(accepted: Accepted): void;
  /** Already bound by a service manager: there are no others then, and they stay. */
  readonly passed: readonly (Bound & { readonly address: string })[];
}

const isSame = (one: ListenAddress, other: ListenAddress): boolean =>
  one.address === other.address && one.port === other.port;

export class Listeners {
  readonly #host: ListenersHost;
  #open: readonly Listener[] = [];

  constructor(host: ListenersHost) {
    this.#host = host;
  }

  /**
   * Binds what is new. At least one must be there in the end, or nothing is changed and the first
   * failure thrown; of the others that fail the log tells. An address family that the host lacks is
   * so skipped, as sshd does.
   */
  async prepare(addresses: readonly ListenAddress[]): Promise<Prepared> {
    if (this.#host.passed.length > 0) {
      const isFirst = this.#open.length === 0;
      return { kept: this.#open, fresh: isFirst ? this.#passed() : [], leaving: [] };
    }
    const kept = this.#open.filter(({ listen }) => addresses.some((one) => isSame(one, listen)));
    const left = this.#open.filter((listener) => !kept.includes(listener));
    const missing = addresses.filter((one) => !kept.some(({ listen }) => isSame(one, listen)));
    const fresh: Listener[] = [];
    const failures: BindError[] = [];
    /** They are in the way of another address with the same port, and were closed for it. */
    const gaveWay = new Set<Listener>();
    for (const listen of missing) {
      try {
        fresh.push(await this.#bind(listen, left, gaveWay));
      } catch (error) {
        failures.push(new BindError(listen, error as Error));
      }
    }
    const leaving = left.filter((listener) => !gaveWay.has(listener));
    const [first] = failures;
    if (kept.length + fresh.length === 0) {
      await this.#bindAgain(gaveWay);
      throw first ?? new ConfigError('Cannot bind any address.');
    }
    for (const { detail } of failures) {
      this.#host.log.error(detail);
    }
    return { kept, fresh, leaving };
  }

  #passed(): readonly Listener[] {
    return this.#host.passed.map(({ address, port, descriptor }) => ({
      listen: { address, port, family: isIPv6(address) ? 6 : 4 },
      port,
      descriptor,
      acceptor: undefined,
    }));
  }

  async #bind(
    listen: ListenAddress,
    left: readonly Listener[],
    gaveWay: Set<Listener>,
  ): Promise<Listener> {
    const { address, port } = listen;
    try {
      return { ...(await this.#host.bind(address, port)), listen, acceptor: undefined };
    } catch (error) {
      const inTheWay = left.filter((one) => one.listen.port === port && !gaveWay.has(one));
      if (inTheWay.length === 0) {
        throw error;
      }
      // Such as 0.0.0.0 that becomes 127.0.0.1: the kernel does not let both listen.
      for (const one of inTheWay) {
        gaveWay.add(one);
        this.#end(one);
        if (one.acceptor !== undefined) {
          // Its descriptor is closed at the end of this turn, which the zygote does not wait for.
          shutdownDescriptor(one.descriptor);
        }
      }
      return { ...(await this.#host.bind(address, port)), listen, acceptor: undefined };
    }
  }

  async #bindAgain(gaveWay: ReadonlySet<Listener>): Promise<void> {
    const again: Listener[] = [];
    for (const { listen } of gaveWay) {
      try {
        const bound = await this.#host.bind(listen.address, listen.port);
        again.push({ ...bound, listen, acceptor: undefined });
      } catch (error) {
        this.#host.log.error(new BindError(listen, error as Error).detail);
      }
    }
    this.#open = [...this.#open.filter((one) => !gaveWay.has(one)), ...again];
    again.forEach((one) => this.#accept(one));
  }

  /** From here on connections are accepted from the new ones, and no longer from those that leave. */
  commit({ kept, fresh, leaving }: Prepared): void {
    this.#open = [...kept, ...fresh];
    for (const { listen, port } of fresh) {
      this.#host.log.info(`Server listening on ${listen.address} port ${port}.`, {
        event: 'server.listening',
        listenAddress: listen.address,
        listenPort: port,
      });
    }
    fresh.forEach((one) => this.#accept(one));
    leaving.forEach((one) => this.#end(one));
  }

  #accept(listener: Listener): void {
    const acceptor = new Acceptor(listener.descriptor, (accepted) => this.#host.accept(accepted));
    acceptor.onTrouble = (error) => this.#host.log.error(`accept: ${error.message}`);
    listener.acceptor = acceptor;
  }

  #end({ acceptor, descriptor }: Listener): void {
    if (acceptor === undefined) {
      closeDescriptor(descriptor);
    } else {
      // Whoever is in its queue came in time.
      acceptor.finish();
    }
  }

  get places(): readonly string[] {
    return this.#open.map(({ listen, port }) => `${listen.address} port ${port}`);
  }

  /** No connection is accepted any more. */
  close(): void {
    const open = this.#open;
    this.#open = [];
    for (const { acceptor, descriptor } of open) {
      if (acceptor === undefined) {
        closeDescriptor(descriptor);
      } else {
        acceptor.close();
      }
    }
  }
}
