/**
 * The tunnels of one connection: `-L` and `-D` listen here, `-R` there; each connection is a channel
 * with its own flow control, and each direction ends on its own. Runs in: user.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { forwardConnectMs } from '../../base/limits.ts';
import { socksOutcome } from '../../forwarding/socks.ts';
import { ClientFailure } from '../../ssh/client/failure.ts';
import {
  describeListen,
  describeTarget,
  type Forward,
  type ForwardKind,
  type Listen,
  type Target,
} from '../../ssh/client/forward-spec.ts';
import type { ClientSession } from '../../ssh/client/session.ts';
import { openFailure } from '../../ssh/connection/messages.ts';
import type { Opened, OpenOutcome } from '../../ssh/connection/mux.ts';
import { splice } from '../../ssh/connection/pump.ts';
import type { Reader } from '../../ssh/wire/reader.ts';
import { Writer } from '../../ssh/wire/writer.ts';
import { type ListenOptions, LocalListener } from './listen-local.ts';
import { socksOnChannel, socksOnSocket } from './socks-listener.ts';
import type { Terminal } from './terminal.ts';

export interface ForwardSettings extends ListenOptions {
  readonly forwards: readonly (Forward & { readonly kind: ForwardKind })[];
  /** A forward that cannot be had ends the connection (ExitOnForwardFailure, `--batch`). */
  readonly isEachNeeded: boolean;
}

type FixedTarget = Exclude<Target, { is: 'socks' }>;
type TcpListen = Extract<Listen, { is: 'tcp' }>;

interface RemoteForward {
  readonly listen: Listen;
  /** The one that the server has taken. */
  port: number;
  readonly target: Target;
}

export class Forwards {
  readonly #session: ClientSession;
  readonly #settings: ForwardSettings;
  readonly #terminal: Terminal;
  readonly #listeners: LocalListener[] = [];
  readonly #remote: RemoteForward[] = [];
  readonly #sockets = new Set<Socket>();
  #onIdle: () => void = () => undefined;

  constructor(session: ClientSession, settings: ForwardSettings, terminal: Terminal) {
    this.#session = session;
    this.#settings = settings;
    this.#terminal = terminal;
  }

  /** ClientFailure `connection` for the first one that cannot be had, where each is needed. */
  async start(): Promise<void> {
    this.#session.serve('forwarded-tcpip', (fields) => this.#openedTcp(fields));
    this.#session.serve('forwarded-streamlocal@openssh.com', (fields) =>
      this.#openedStreamLocal(fields),
    );
    for (const forward of this.#settings.forwards) {
      try {
        if (forward.kind === 'remote') await this.#listenThere(forward);
        else await this.#listenHere(forward);
      } catch (error) {
        if (this.#settings.isEachNeeded || !(error instanceof ClientFailure)) throw error;
        this.#terminal.line(`Warning: ${error.detail}`);
      }
    }
  }

  /** Listens no more, and resolves when the last connection has ended. */
  async idle(): Promise<void> {
    this.stopListening();
    if (this.#sockets.size === 0) return;
    this.#terminal.line(`Waiting for ${this.#sockets.size} forwarded connections to end.`);
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  stopListening(): void {
    for (const listener of this.#listeners.splice(0)) listener.close();
    this.#remote.length = 0;
  }

  /** The connection is over. */
  close(): void {
    this.stopListening();
    for (const socket of this.#sockets) socket.destroy();
  }

  // ---- listening here ----

  async #listenHere({ listen, target, kind }: Forward & { readonly kind: ForwardKind }) {
    const listener = await LocalListener.open(listen, this.#settings, (socket) => {
      this.#own(socket);
      this.#connectThere(socket, target).catch((error: unknown) => {
        this.#terminal.line(String(error));
        socket.destroy();
      });
    });
    this.#listeners.push(listener);
    if (listen.is === 'tcp' && listen.port === 0) {
      const to = kind === 'dynamic' ? '' : ` to ${describeTarget(target)}`;
      this.#terminal.line(`Allocated port ${listener.port} for ${kind} forward${to}`);
    }
  }

  /** Until it closes; nothing of what a socket does ends the program. */
  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#onIdle();
    });
  }

  async #connectThere(socket: Socket, target: Target): Promise<void> {
    const origin = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
    if (target.is !== 'socks') {
      const outcome = await this.#openChannel(target, origin);
      if ('opened' in outcome) join(outcome, socket);
      else socket.destroy();
      return;
    }
    const request = await socksOnSocket(socket);
    if (!request) return;
    const outcome = await this.#openChannel({ is: 'tcp', ...request.target }, origin);
    if (!('opened' in outcome)) {
      socket.end(request.reply(socksOutcome(outcome.refused)), () => socket.destroy());
      return;
    }
    socket.write(request.reply('granted'));
    if (request.rest.length > 0) socket.unshift(request.rest);
    join(outcome, socket);
  }

  async #openChannel(
    target: FixedTarget,
    origin: { readonly address: string; readonly port: number },
  ): Promise<Opened> {
    const outcome =
      target.is === 'tcp'
        ? await this.#session.openChannel(
            'direct-tcpip',
            new Writer()
              .text(target.host)
              .uint32(target.port)
              .text(origin.address || '127.0.0.1')
              .uint32(origin.port)
              .done(),
          )
        : await this.#session.openChannel(
            'direct-streamlocal@openssh.com',
            new Writer().text(target.path).text('').uint32(0).done(),
          );
    if (!('opened' in outcome)) {
      this.#terminal.line(`Warning: ${describeTarget(target)}: open failed: ${outcome.text}`);
    }
    return outcome;
  }

  // ---- listening there ----

  async #listenThere({ listen, target }: Forward): Promise<void> {
    const forward: RemoteForward = {
      listen,
      port: listen.is === 'tcp' ? listen.port : 0,
      target,
    };
    // Known before the answer: the first connection may come right behind it.
    this.#remote.push(forward);
    const answer =
      listen.is === 'tcp'
        ? await this.#session.ask(
            'tcpip-forward',
            new Writer().text(this.#remoteBind(listen)).uint32(listen.port).done(),
          )
        : await this.#session.ask(
            'streamlocal-forward@openssh.com',
            new Writer().text(listen.path).done(),
          );
    if (answer === undefined) {
      this.#remote.splice(this.#remote.indexOf(forward), 1);
      throw new ClientFailure(
        'connection',
        `the server does not listen on ${describeListen(listen)} for us: it refuses, or it is in use there`,
      );
    }
    if (listen.is === 'tcp' && listen.port === 0) {
      if (answer.length !== 4) {
        throw new ClientFailure('connection', 'the server does not say which port it listens on');
      }
      forward.port = answer.readUInt32BE(0);
      this.#terminal.line(
        `Allocated port ${forward.port} for remote forward to ${describeTarget(target)}`,
      );
    }
  }

  /** RFC 4254 §7.1: `localhost` is the loopback, `` every address. */
  #remoteBind({ bind }: TcpListen): string {
    if (bind === null) return 'localhost';
    return bind === '*' ? '' : bind;
  }

  #openedTcp(fields: Reader): OpenOutcome | Promise<OpenOutcome> {
    const address = fields.text();
    const port = fields.uint32();
    fields.text();
    fields.uint32();
    fields.end();
    const ofPort = this.#remote.filter(({ listen, port: taken }) => {
      return listen.is === 'tcp' && taken === port;
    });
    const exact = ofPort.find(({ listen }) => {
      return listen.is === 'tcp' && this.#remoteBind(listen) === address;
    });
    return this.#connectHere(exact ?? ofPort[0]);
  }

  #openedStreamLocal(fields: Reader): OpenOutcome | Promise<OpenOutcome> {
    const path = fields.text();
    fields.string();
    fields.end();
    return this.#connectHere(
      this.#remote.find(({ listen }) => listen.is === 'unix' && listen.path === path),
    );
  }

  /** A server opens what we have asked it to listen for, and nothing else. */
  #connectHere(forward: RemoteForward | undefined): OpenOutcome | Promise<OpenOutcome> {
    if (forward === undefined) {
      return { refused: openFailure.administrativelyProhibited, text: 'nobody asked for that' };
    }
    const { target } = forward;
    if (target.is !== 'socks') return this.#dialOutcome(target);
    return {
      opened: (channel) => {
        void socksOnChannel(channel).then(async (request) => {
          if (!request) return;
          const socket = await this.#dial({ is: 'tcp', ...request.target });
          channel.out.write(request.reply(socket === null ? 'failed' : 'granted'));
          if (socket === null || channel.isClosed) {
            socket?.destroy();
            channel.close();
          } else {
            splice(channel, socket, request.rest);
          }
        });
      },
      abandoned: () => undefined,
    };
  }

  async #dialOutcome(target: FixedTarget): Promise<OpenOutcome> {
    const socket = await this.#dial(target);
    if (socket === null) return { refused: openFailure.connectFailed, text: 'connect failed' };
    return {
      opened: (channel) => splice(channel, socket),
      abandoned: () => void socket.destroy(),
    };
  }

  /** Null: it cannot be had; that is said here, too. */
  async #dial(target: FixedTarget): Promise<Socket | null> {
    const place = target.is === 'tcp' ? { host: target.host, port: target.port } : target;
    const socket = connect({ ...place, allowHalfOpen: true, noDelay: true });
    this.#sockets.add(socket);
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(forwardConnectMs) });
      this.#own(socket);
      return socket;
    } catch (error) {
      this.#sockets.delete(socket);
      socket.on('error', () => undefined).destroy();
      const { code, message } = error as NodeJS.ErrnoException;
      this.#terminal.line(`Warning: ${describeTarget(target)}: ${code ?? message}`);
      return null;
    }
  }
}

/** It may have gone while the channel was being opened. */
function join({ opened: channel }: Extract<Opened, { opened: unknown }>, socket: Socket): void {
  if (socket.destroyed) {
    channel.abort();
    return;
  }
  splice(channel, socket);
  socket.resume();
}
