/**
 * One client connection over a connected socket: handshake, host key, login, then channels. The
 * socket comes from the caller. Runs in: user.
 */
import type { Duplex } from 'node:stream';
import ssh2 from 'ssh2';
import type { Client } from 'ssh2';
import { SshdeskError } from '../../base/errors.ts';
import type { GlobalRequestHandler } from '../connection/global-requests.ts';
import { Keepalive } from '../connection/keepalive.ts';
import { type ChannelOpenHandler, Connection, type Opened } from '../connection/mux.ts';
import type { ClientOffer } from './agreement.ts';
import { ClientFailure } from './failure.ts';
import { announcedKeys, announcementName, type Prover } from './host-key-update.ts';
import { type HostProof, KexWire } from './kex.seam.ts';
import { Program, type ProgramOptions, type ProgramStart } from './program.ts';
import { ProgramStream } from './program-stream.ts';
import { ClientTransport } from './transport.seam.ts';
import type { UserauthPlan } from './method.ts';
import { UserauthWire } from './userauth.seam.ts';
import { authenticate } from './userauth.ts';

export interface SessionOptions {
  readonly socket: Duplex;
  readonly offer: ClientOffer;
  /**
   * A key or a certificate, whose private key the server has shown to have. False or a rejection:
   * it is refused and the connection ends.
   */
  verifyHostKey(blob: Buffer): Promise<boolean>;
  /** Made once the host key is accepted, so that nothing is unlocked for a stranger. */
  planUserauth(): Promise<UserauthPlan>;
  onBanner(text: string): void;
  /** The server names its host keys, once, right behind the login (hostkeys-00@openssh.com). */
  onHostKeys?(prover: Prover, keys: readonly Buffer[]): void;
  readonly handshakeTimeoutMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveCountMax: number;
}

/** Longer than any second factor takes; the server's LoginGraceTime is what normally ends it. */
const userauthTimeoutMs = 10 * 60 * 1000;
const channelOpenTimeoutMs = 120 * 1000;
const maxBanners = 16;

/** Resolves when the login is complete; everything that fails before is a ClientFailure. */
export async function openSession(options: SessionOptions): Promise<ClientSession> {
  const opening = new Opening(options);
  try {
    await opening.run();
  } catch (error) {
    opening.client.destroy();
    options.socket.destroy();
    throw error;
  }
  if (!opening.session) throw new ClientFailure('connection', 'the login ended without a session');
  return opening.session;
}

class Opening {
  readonly client: Client = new ssh2.Client();
  session: ClientSession | null = null;
  readonly #options: SessionOptions;
  readonly #wire: UserauthWire;
  readonly #kex: KexWire;
  #phase: 'handshake' | 'login' = 'handshake';
  #banners = 0;
  #timer: NodeJS.Timeout | undefined;
  #hostKey: Buffer | null = null;
  #hostKeyFailure: Error | null = null;
  #hasEnded = false;
  #fail: (error: Error) => void = () => undefined;
  readonly #failed: Promise<never>;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#failed = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    // Whoever waits sees the failure; with nobody waiting it must not count as unhandled.
    this.#failed.catch(() => undefined);
    this.client.on('error', (error) => this.#onError(error));
    this.client.on('close', () => this.#onClose());
    this.client.on('banner', (text) => this.#onBanner(text));
    this.client.connect({
      sock: options.socket,
      username: '',
      readyTimeout: 0,
      // Ours begins with the session; until then the phases have limits of their own.
      keepaliveInterval: 0,
      hostVerifier: (_plain: Buffer, verified: (isValid: boolean) => void) => {
        this.#verify(this.#kex.presented, verified);
      },
    });
    this.#kex = new KexWire(this.client, options.offer);
    this.#wire = new UserauthWire(this.client, () => this.#onSuccess());
  }

  /** Within the handling of SUCCESS: what the server sends right behind it is a channel's affair. */
  #onSuccess(): void {
    clearTimeout(this.#timer);
    this.client.removeAllListeners();
    const { sessionId, hostProof } = this.#kex;
    if (!sessionId || !hostProof) throw new Error('a login without a key exchange');
    this.session = new ClientSession(this.client, this.#options, sessionId, hostProof);
  }

  async run(): Promise<void> {
    this.#arm(this.#options.handshakeTimeoutMs, 'the server does not complete the key exchange');
    await Promise.race([this.#wire.started, this.#failed]);
    this.#phase = 'login';
    this.#arm(userauthTimeoutMs, 'the login takes too long');
    const plan = await Promise.race([this.#options.planUserauth(), this.#failed]);
    await Promise.race([authenticate(this.#wire, plan), this.#failed]);
  }

  #arm(ms: number, text: string): void {
    clearTimeout(this.#timer);
    if (this.#hasEnded) return;
    this.#timer = setTimeout(() => this.#end(new ClientFailure('connection', text)), ms);
  }

  /**
   * The clock stands while a person reads a fingerprint. Every later key exchange of the connection
   * comes here too: the key is the accepted one then, or the connection ends.
   */
  #verify(blob: Buffer, verified: (isValid: boolean) => void): void {
    if (this.#hostKey) {
      const isSame = this.#hostKey.equals(blob);
      if (!isSame) {
        const text = 'the host key changes within the connection';
        this.#hostKeyFailure = new ClientFailure('host-key', text);
      }
      verified(isSame);
      return;
    }
    clearTimeout(this.#timer);
    this.#options.verifyHostKey(blob).then(
      (isValid) => {
        if (isValid) this.#hostKey = blob;
        this.#hostKeyFailure = isValid
          ? null
          : new ClientFailure('host-key', 'Host key verification failed.');
        this.#arm(
          this.#options.handshakeTimeoutMs,
          'the server does not complete the key exchange',
        );
        this.#answer(verified, isValid);
      },
      (error: unknown) => {
        this.#hostKeyFailure = error instanceof Error ? error : new Error(String(error));
        this.#answer(verified, false);
      },
    );
  }

  /** While the key was looked up the exchange may have failed: what is over takes no answer. */
  #answer(verified: (isValid: boolean) => void, isValid: boolean): void {
    if (this.#hasEnded) return;
    try {
      verified(isValid);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #onError(error: Error): void {
    this.#end(this.#hostKeyFailure ?? failureOf(error, this.#phase));
  }

  #onClose(): void {
    const text =
      this.#phase === 'handshake'
        ? 'the server closed the connection during the key exchange'
        : 'the server closed the connection during the login';
    this.#end(this.#hostKeyFailure ?? new ClientFailure('connection', text));
  }

  #end(error: Error): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#wire.fail(error);
    this.#fail(error);
  }

  #onBanner(text: string): void {
    this.#banners += 1;
    if (this.#banners > maxBanners) {
      this.#end(new ClientFailure('connection', 'the server sends too many banners'));
    } else {
      this.#options.onBanner(text);
    }
  }
}

/** A DISCONNECT carries its reason as a number; one that ends a login is about the login. */
function failureOf(error: Error & { level?: string; code?: unknown }, phase: string) {
  if (error instanceof ClientFailure) return error;
  if (error instanceof SshdeskError) {
    return new ClientFailure('connection', error.detail, { cause: error });
  }
  const isDisconnect = typeof error.code === 'number';
  const kind = phase === 'login' && isDisconnect ? 'authentication' : 'connection';
  const text = error.message.slice(0, 1024);
  return new ClientFailure(kind, isDisconnect ? `the server says: ${text}` : text, {
    cause: error,
  });
}

/** One program of a session: what came is read, what is written goes; `stderr` apart. */
export type Subsystem = ProgramStream;

/** An authenticated connection. */
export class ClientSession {
  readonly #client: Client;
  readonly #socket: Duplex;
  readonly #connection: Connection;
  readonly #keepalive: Keepalive | null;
  /** What the server may open, keyed by wire name; empty until somebody serves it. */
  readonly #channelTypes = new Map<string, ChannelOpenHandler>();
  /** RFC 4253 §7.2 */
  readonly sessionId: Buffer;
  /** Over it: for whoever else is to know which host this is, such as an agent. */
  readonly hostProof: HostProof;
  #isClosing = false;
  #failure: ClientFailure | null = null;
  /** It goes on all the same (StrictHostKeyChecking no), so nothing of the person's is to be lent. */
  isHostKeyChanged = false;
  /** Every program of the session asks for the agent (auth-agent-req@openssh.com). */
  isAgentForwarded = false;
  /** The server refuses what a program can do without, such as agent forwarding. */
  onRefused: (what: string) => void = () => undefined;
  /** Null: closed by this side; otherwise why the connection was lost. */
  readonly ended: Promise<ClientFailure | null>;

  constructor(client: Client, options: SessionOptions, sessionId: Buffer, hostProof: HostProof) {
    this.sessionId = sessionId;
    this.hostProof = hostProof;
    this.#client = client;
    this.#socket = options.socket;
    const transport = new ClientTransport(client, options.socket);
    this.#connection = new Connection(transport, {
      channelTypes: this.#channelTypes,
      globalRequests: new Map([[announcementName, this.#hostKeysAnnounced(options)]]),
      isClient: true,
    });
    this.#keepalive = this.#startKeepalive(options);
    transport.onPayload = (payload) => {
      this.#keepalive?.heard();
      this.#connection.receive(payload);
    };
    transport.onDrain = () => this.#connection.drained();
    transport.onFailure = (failure) => {
      this.#failure ??= failure;
    };
    client.on('error', (error) => {
      this.#failure ??= failureOf(error, 'open');
      options.socket.destroy();
    });
    this.ended = new Promise((resolve) => {
      const onClose = (): void => {
        this.#keepalive?.stop();
        resolve(this.#isClosing ? null : this.#lost());
        this.#connection.closed();
      };
      if (options.socket.closed) onClose();
      else options.socket.once('close', onClose);
    });
  }

  /** More than one list is a server that does not know its keys. */
  #hostKeysAnnounced({ onHostKeys }: SessionOptions): GlobalRequestHandler {
    let isFirst = true;
    return (fields) => {
      if (isFirst) onHostKeys?.(this, announcedKeys(fields));
      isFirst = false;
      return false;
    };
  }

  #startKeepalive(options: SessionOptions): Keepalive | null {
    const { keepaliveIntervalMs: intervalMs, keepaliveCountMax: countMax } = options;
    if (intervalMs === 0) return null;
    return new Keepalive({
      intervalMs,
      countMax,
      ask: () => void this.#connection.ask('keepalive@openssh.com', Buffer.alloc(0)),
      onSilent: () => {
        const seconds = (intervalMs * (countMax + 1)) / 1000;
        this.#failure ??= new ClientFailure(
          'connection',
          `the connection is lost: no answer from the server for ${seconds} seconds`,
        );
        this.#socket.destroy();
      },
    });
  }

  #lost(): ClientFailure {
    return this.#failure ?? new ClientFailure('connection', 'the server closed the connection');
  }

  /** What the server opens from now on under this wire name. */
  serve(channelType: string, handler: ChannelOpenHandler): void {
    this.#channelTypes.set(channelType, handler);
  }

  /** A refusal and the end of the connection are answers. */
  openChannel(type: string, data: Buffer): Promise<Opened> {
    return this.#connection.openChannel(type, data);
  }

  /** A global request; undefined: refused, or the connection has ended. */
  ask(name: string, data: Buffer): Promise<Buffer | undefined> {
    return this.#connection.ask(name, data);
  }

  /** Opens a session channel and starts a program on it. */
  async start(start: ProgramStart, options: ProgramOptions = {}): Promise<Program> {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_resolve, reject) => {
      const failure = new ClientFailure('desktop', `no answer to the request (${start.is})`);
      timer = setTimeout(() => reject(failure), channelOpenTimeoutMs);
    });
    const lost = this.ended.then((failure) => {
      throw failure ?? new ClientFailure('connection', 'the connection was closed');
    });
    try {
      const asked: ProgramOptions = {
        asksForAgent: this.isAgentForwarded,
        onRefused: (what) => this.onRefused(what),
        ...options,
      };
      return await Promise.race([Program.start(this.#connection, start, asked), lost, silence]);
    } catch (error) {
      // The loss answers every open question with a refusal, and is the reason of it.
      if (this.#socket.closed) await lost;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async subsystem(name: string): Promise<Subsystem> {
    return new ProgramStream(await this.start({ is: 'subsystem', name }));
  }

  /** Says goodbye and closes; the socket is cut when the peer does not follow. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#client.end();
    const cut = setTimeout(() => this.#socket.destroy(), 1000);
    await this.ended;
    clearTimeout(cut);
  }
}
