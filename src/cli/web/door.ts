/**
 * The local web door: HTTP/1.1 (RFC 9112) on 127.0.0.1 for the browser of the person who runs
 * `connect --web`, and nobody else's. Serves the page, exchanges a seat's token for its cookie, and
 * hands over WebSockets of browsers that hold one. Runs in: user.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { listenTroubles } from '../connect/listen.ts';
import { assetTable, readAsset } from './assets.ts';
import type { Asset } from './assets.ts';
import { allowedUsers, isAllowedPeer } from './peer-user.ts';
import { json, refuseSocket, send, sentence } from './reply.ts';
import type { Reply } from './reply.ts';
import type { Seat } from './seat.ts';
import { ViewerSocket } from './viewer-socket.ts';

/** A browser keeps six to one host, and a reload may overlap. */
const maxSockets = 48;
const maxHeaderBytes = 8 * 1024;
const maxHeaders = 64;
const maxTokenBytes = 128;
/** noVNC sends 10 KiB at most; a clipboard's text goes in pieces of that. */
const maxFrameBytes = 64 * 1024;
const maxRequestsPerSocket = 1000;

export interface DoorTimes {
  /** Until the head of a request is whole. */
  readonly headMs: number;
  /** Until the whole request is; and how long a socket may be idle. */
  readonly requestMs: number;
}
const defaultTimes: DoorTimes = { headMs: 5000, requestMs: 10_000 };

export interface DoorEvents {
  onViewer(seat: Seat, socket: ViewerSocket): void;
  /** A browser has taken its seat: the address is of no use any more. */
  onAdmitted(): void;
  onSecondUse(): void;
}

/** What the page is told once it is let in. */
export interface PageSettings {
  readonly title: string;
  /** Whether the desktop takes the size of the window. */
  readonly isResized: boolean;
}

const words = {
  address: 'This is not the address of the desktop: use the one that sshdesk gave.',
  path: 'There is nothing here.',
  origin: 'Only the page of this desktop may ask for this.',
  wrong: 'This address opens nothing.',
  used: 'This address has been used already: it is good for one browser, once. If that was not you, end sshdesk (Ctrl-C in its terminal).',
  late: 'This address is too old. End sshdesk and start it again.',
  seat: 'This browser may not see the desktop: open the address that sshdesk gave, in the browser that opened it first.',
} as const;

export class WebDoor {
  readonly #server: Server;
  readonly #sockets: WebSocketServer;
  readonly #assets = assetTable();
  readonly #allowed = allowedUsers(process.env);
  /** Whether a socket is of one of them; looked up when it comes, waited for before any answer. */
  readonly #peers = new WeakMap<Duplex, Promise<boolean>>();
  readonly #seats: readonly Seat[];
  readonly #settings: PageSettings;
  readonly #events: DoorEvents;
  #host = '';

  constructor(
    seats: readonly Seat[],
    settings: PageSettings,
    events: DoorEvents,
    { headMs, requestMs } = defaultTimes,
  ) {
    this.#seats = seats;
    this.#settings = settings;
    this.#events = events;
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: maxFrameBytes,
      perMessageDeflate: false,
    });
    this.#server = createServer(
      {
        maxHeaderSize: maxHeaderBytes,
        headersTimeout: headMs,
        requestTimeout: requestMs,
        keepAliveTimeout: requestMs,
        connectionsCheckingInterval: Math.min(1000, headMs),
        noDelay: true,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxHeadersCount = maxHeaders;
    this.#server.maxConnections = maxSockets;
    this.#server.maxRequestsPerSocket = maxRequestsPerSocket;
    this.#server.setTimeout(requestMs, (socket) => socket.destroy());
    this.#server.on('connection', (socket) => this.#meet(socket));
    this.#server.on('upgrade', (request, socket, head) => {
      void this.#upgrade(request, socket, head);
    });
    this.#server.on('connect', (_request, socket) => refuseSocket(socket, 405));
    this.#server.on('checkContinue', (_request, response) => this.#refuse(response, 417));
    this.#server.on('clientError', (_error, socket) => {
      if (socket.writable) refuseSocket(socket, 400);
      else socket.destroy();
    });
  }

  /** Gives the port. Only ever 127.0.0.1. */
  async open(port: number): Promise<number> {
    this.#server.listen(port, '127.0.0.1');
    try {
      await once(this.#server, 'listening');
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException;
      const why = listenTroubles[code] ?? message;
      throw new ClientFailure('desktop', `127.0.0.1 port ${port}: ${why}`, { cause: error });
    }
    const bound = (this.#server.address() as AddressInfo).port;
    this.#host = new URL(`http://127.0.0.1:${bound}`).host;
    return bound;
  }

  #meet(socket: Socket): void {
    const looked = isAllowedPeer(this.#allowed, socket);
    this.#peers.set(socket, looked);
    void looked.then((isAllowed) => {
      if (!isAllowed) socket.destroy();
    });
  }

  get origin(): string {
    return `http://${this.#host}`;
  }

  /** WebSockets are closed by whoever has them. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #refuse(response: ServerResponse, status: number): void {
    send(response, sentence(status, words.path), this.#host, false);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let reply: Reply;
    try {
      reply = await this.#replyTo(request);
    } catch {
      // A file that cannot be read, or a request that broke off: neither is for the browser to know.
      reply = sentence(500, 'sshdesk cannot answer this.');
    }
    if (response.destroyed) return;
    send(response, reply, this.#host, request.method === 'HEAD');
  }

  /** A name that a stranger's DNS points at 127.0.0.1 is not ours, whatever the browser thinks. */
  #isOurHost(request: IncomingMessage): boolean {
    const names = request.rawHeaders.filter((name, at) => at % 2 === 0 && /^host$/i.test(name));
    return names.length === 1 && request.headers.host === this.#host;
  }

  async #replyTo(request: IncomingMessage): Promise<Reply> {
    if (!(await this.#peers.get(request.socket))) return sentence(403, words.path);
    if (!this.#isOurHost(request)) return sentence(421, words.address);
    const { method, url = '' } = request;
    if (url === '/token') {
      return method === 'POST' ? this.#admit(request) : sentence(405, words.path);
    }
    if (method !== 'GET' && method !== 'HEAD') return sentence(405, words.path);
    const asset = this.#assets.get(url);
    if (asset) return assetReply(asset);
    const seat = this.#seats.find(({ path }) => url.startsWith(path));
    if (!seat) return sentence(404, words.path);
    if (!seat.isHeldBy(request.headers.cookie)) return sentence(403, words.seat);
    const page = this.#assets.get('/');
    if (url === seat.path && page) return assetReply(page);
    if (url === `${seat.path}settings`) return json(this.#settings);
    return sentence(404, words.path);
  }

  async #admit(request: IncomingMessage): Promise<Reply> {
    if (request.headers.origin !== this.origin) return sentence(403, words.origin);
    const token = await readBody(request);
    if (token === null) return sentence(413, words.wrong);
    const answers = this.#seats.map((seat) => ({ seat, outcome: seat.admit(token) }));
    const known = answers.find(({ outcome }) => outcome !== 'wrong');
    if (!known) return sentence(403, words.wrong);
    const { seat, outcome } = known;
    if (outcome === 'admitted') {
      this.#events.onAdmitted();
      return json({ path: seat.path }, { 'Set-Cookie': seat.setCookie });
    }
    if (outcome === 'used') this.#events.onSecondUse();
    return sentence(403, outcome === 'used' ? words.used : words.late);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    if (!(await this.#peers.get(socket)) || socket.destroyed) {
      socket.destroy();
      return;
    }
    const seat = this.#seats.find(({ path }) => request.url === `${path}rfb`);
    if (!this.#isOurHost(request)) refuseSocket(socket, 421);
    else if (request.headers.origin !== this.origin) refuseSocket(socket, 403);
    else if (!seat) refuseSocket(socket, 404);
    else if (!seat.isHeldBy(request.headers.cookie)) refuseSocket(socket, 403);
    else {
      // What bounds requests would end a desktop that nobody touches for a while.
      (socket as Socket).setTimeout(0);
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.#events.onViewer(seat, new ViewerSocket(webSocket));
      });
    }
  }
}

async function assetReply(asset: Asset): Promise<Reply> {
  return { status: 200, contentType: asset.contentType, body: await readAsset(asset) };
}

/** Null: too long. The rest of it is not read. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxTokenBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('latin1');
}
