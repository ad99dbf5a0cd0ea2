/**
 * The transport behind a loopback port, with just enough above it for a stock client: everybody may
 * log in, and a session channel offers `source BYTES`, `sink` (stderr answers with the SHA-256 of
 * what came) and `both BYTES`.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServerTransport } from '../../src/ssh/transport/server-transport.ts';
import type { ServerTransportSettings } from '../../src/ssh/transport/settings.ts';
import type { Transport } from '../../src/ssh/transport/transport.ts';
import {
  cipherAlgorithms,
  compressionAlgorithms,
  hostKeyAlgorithms,
  kexAlgorithms,
  macAlgorithms,
} from '../../src/ssh/wire/algorithms.ts';
import { Reader } from '../../src/ssh/wire/reader.ts';
import { Writer } from '../../src/ssh/wire/writer.ts';
import { PacketMemory } from '../../src/ssh/transport/packet-memory.ts';
import { LocalSigner, type TestHostKey } from './exchange-signer.ts';

const windowBytes = 2 * 1024 * 1024;
const packetBytes = 32 * 1024;

/** The same bytes for everybody who asks, and cheap to make. */
export class Pattern {
  readonly #cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
  next(bytes: number): Buffer {
    return this.#cipher.update(Buffer.alloc(bytes));
  }
}

export function patternDigest(bytes: number): string {
  const pattern = new Pattern();
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= packetBytes) {
    hash.update(pattern.next(Math.min(packetBytes, left)));
  }
  return hash.digest('hex');
}

export const everyAlgorithm: ServerTransportSettings['algorithms'] = {
  kex: kexAlgorithms.map((row) => row.name),
  serverHostKey: hostKeyAlgorithms.map((row) => row.name),
  cipher: cipherAlgorithms.map((row) => row.name),
  mac: macAlgorithms.map((row) => row.name),
  compress: compressionAlgorithms.map((row) => row.name),
};

export function settingsFor(
  keys: readonly TestHostKey[],
  changes: Partial<ServerTransportSettings> = {},
): ServerTransportSettings {
  return {
    version: 'SSH-2.0-sshdesk_test',
    algorithms: everyAlgorithm,
    hostKeys: keys.map((key) => key.blob),
    rekeyBytes: 0,
    rekeyMs: 0,
    ...changes,
  };
}

/** One logged-in connection with one session channel at a time. */
export class TinySession {
  readonly #transport: Transport;
  #peerChannel = 0;
  #peerWindow = 0;
  #peerPacketBytes = 0;
  #ownWindow = windowBytes;
  #left = 0;
  readonly #pattern = new Pattern();
  #sink = createHash('sha256');
  #verb: 'source' | 'sink' | 'both' | undefined;
  #isAtEnd = false;
  sunkBytes = 0;

  constructor(transport: Transport) {
    this.#transport = transport;
    transport.onPayload = (payload) => this.#onPayload(payload);
    transport.onDrain = () => this.#pump();
  }

  #onPayload(payload: Buffer): void {
    const from = new Reader(payload, 1);
    switch (payload[0]) {
      case 5:
        this.#transport.send(new Writer().byte(6).string(from.string()).done());
        return;
      case 50:
        this.#transport.send(Buffer.from([52]));
        this.#transport.authenticated();
        return;
      case 80:
        from.string();
        if (from.bool()) {
          this.#transport.send(Buffer.from([82]));
        }
        return;
      case 90:
        this.#open(from);
        return;
      case 93:
        from.uint32();
        this.#peerWindow += from.uint32();
        this.#pump();
        return;
      case 94:
        this.#onData(from);
        return;
      case 96:
        this.#isAtEnd = true;
        this.#finishWhenDone();
        return;
      case 97:
        return;
      case 98:
        this.#onRequest(from);
        return;
      default:
        this.#transport.unimplemented();
    }
  }

  #open(from: Reader): void {
    from.string();
    this.#peerChannel = from.uint32();
    this.#peerWindow = from.uint32();
    this.#peerPacketBytes = from.uint32();
    this.#ownWindow = windowBytes;
    this.#transport.send(
      new Writer()
        .byte(91)
        .uint32(this.#peerChannel)
        .uint32(0)
        .uint32(windowBytes)
        .uint32(packetBytes)
        .done(),
    );
  }

  #onData(from: Reader): void {
    from.uint32();
    const data = from.string();
    this.#sink.update(data);
    this.sunkBytes += data.length;
    this.#ownWindow -= data.length;
    if (this.#ownWindow < windowBytes / 2) {
      const more = windowBytes - this.#ownWindow;
      this.#ownWindow += more;
      this.#transport.send(new Writer().byte(93).uint32(this.#peerChannel).uint32(more).done());
    }
  }

  #onRequest(from: Reader): void {
    from.uint32();
    const name = from.text();
    if (from.bool()) {
      this.#transport.send(new Writer().byte(99).uint32(this.#peerChannel).done());
    }
    if (name !== 'exec') {
      return;
    }
    const [verb, count] = from.text().split(' ');
    if (verb === 'source' || verb === 'both' || verb === 'sink') {
      this.#verb = verb;
      this.#left = Number(count ?? 0);
      this.#pump();
    } else {
      this.#finish(Buffer.alloc(0));
    }
  }

  #pump(): void {
    while (this.#left > 0 && this.#peerWindow > 0) {
      const bytes = Math.min(this.#left, this.#peerWindow, this.#peerPacketBytes, packetBytes);
      this.#left -= bytes;
      this.#peerWindow -= bytes;
      const hasRoom = this.#transport.sendChannelData(this.#peerChannel, this.#pattern.next(bytes));
      if (!hasRoom) {
        break;
      }
    }
    this.#finishWhenDone();
  }

  #finishWhenDone(): void {
    if (this.#verb === undefined || this.#left > 0 || (this.#verb !== 'source' && !this.#isAtEnd)) {
      return;
    }
    this.#finish(Buffer.from(this.#verb === 'source' ? '' : `${this.#sink.digest('hex')}\n`));
    this.#verb = undefined;
  }

  /** stderr carries the digest, so that stdout is the pattern alone. */
  #finish(text: Buffer): void {
    this.#transport.sendChannelData(this.#peerChannel, text, true);
    const exitStatus = new Writer()
      .byte(98)
      .uint32(this.#peerChannel)
      .text('exit-status')
      .bool(false)
      .uint32(0)
      .done();
    this.#transport.send(exitStatus);
    this.#transport.send(new Writer().byte(96).uint32(this.#peerChannel).done());
    this.#transport.send(new Writer().byte(97).uint32(this.#peerChannel).done());
  }
}

export interface Served {
  readonly socket: Socket;
  readonly transport: Transport;
  readonly signer: LocalSigner;
  readonly session: TinySession;
  error: Error | undefined;
  peerReason: { reason: number; text: string } | undefined;
  readonly closed: Promise<void>;
}

const lentBytes = 64 * 1024;

/**
 * What the socket reads, cut anywhere, always in the same memory and gone after the call: whoever
 * keeps a view of it gets other bytes.
 */
function lend(
  socket: Socket,
  take: (chunk: Buffer) => void,
  isTaken: (chunk: Buffer) => void,
): void {
  const shared = Buffer.allocUnsafeSlow(lentBytes);
  let cut = 1;
  socket.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      // Prime steps: a cut falls into each part of a packet sooner or later.
      cut = chunk.length > 4096 ? 16_411 + ((cut * 7919) % 24_593) : 1 + ((cut * 31) % 211);
      const size = Math.min(cut, chunk.length - at);
      chunk.copy(shared, 0, at, at + size);
      take(shared.subarray(0, size));
      isTaken(shared.subarray(0, size));
      shared.fill(0xee, 0, size);
      at += size;
    }
  });
}

export class TransportServer {
  readonly #server: Server;
  readonly served: Served[] = [];
  readonly bugs: unknown[] = [];
  readonly #memory = new PacketMemory();
  /** What a transport has left of the memory that it was lent. */
  onTaken: (chunk: Buffer) => void = () => {};

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(
    keys: readonly TestHostKey[],
    settings: ServerTransportSettings,
    signDelayMs = 20,
  ): Promise<TransportServer> {
    const server = createServer({ noDelay: true });
    const self = new TransportServer(server);
    server.on('connection', (socket) => self.#serve(socket, keys, settings, signDelayMs));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return self;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #serve(
    socket: Socket,
    keys: readonly TestHostKey[],
    settings: ServerTransportSettings,
    signDelayMs: number,
  ): void {
    const signer = new LocalSigner(keys, signDelayMs);
    const transport = createServerTransport({
      stream: socket,
      settings,
      signer,
      memory: this.#memory,
      read: (take) => lend(socket, take, (chunk) => this.onTaken(chunk)),
      onBug: (error) => this.bugs.push(error),
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    const one: Served = {
      socket,
      transport,
      signer,
      session: new TinySession(transport),
      error: undefined,
      peerReason: undefined,
      closed: promise,
    };
    transport.onClose = (error, peerReason) => {
      one.error = error;
      one.peerReason = peerReason;
      resolve();
    };
    this.served.push(one);
  }

  async close(): Promise<void> {
    for (const { socket } of this.served) {
      socket.destroy();
    }
    this.#server.close();
    await once(this.#server, 'close');
  }
}
