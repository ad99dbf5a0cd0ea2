/**
 * Takes the connection protocol over from ssh2's `Client` once the login is complete: payloads from
 * 80 on go to our own channels, whose windows, half-close and bounds hold. With kex.seam.ts and
 * userauth.seam.ts the only file of this folder that touches names of ssh2 that are not public.
 * Runs in: user.
 */
import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import { DisconnectError } from '../../base/errors.ts';
import { destroyWhenWritten } from '../connection/pump.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import { ClientFailure } from './failure.ts';

interface PacketWriter {
  readonly allocStart: number;
  alloc(payloadBytes: number): Buffer;
  finalize(packet: Buffer): Buffer;
}

interface Decipher {
  inSeqno: number;
  _onPayload: PayloadHandler;
}

type PayloadHandler = (payload: Buffer) => unknown;

interface Protocol {
  /** Set while a key exchange runs. */
  readonly _kexinit: Buffer | undefined;
  readonly _remoteIdentRaw: Buffer;
  readonly _cipher: { encrypt(packet: Buffer): void };
  _decipher: Decipher;
  _onPayload: PayloadHandler;
  readonly _packetRW: { readonly write: PacketWriter; read: { read(payload: Buffer): Buffer } };
  disconnect(reason: number): void;
  rekey(): void;
}

/** SSH_MSG_DISCONNECT and SSH_MSG_UNIMPLEMENTED (RFC 4253 §12). */
const disconnectNumber = 1;
const unimplementedNumber = 3;
const firstConnectionNumber = 80;
const byApplication = 11;
/** More than this waits for the socket: whoever sends waits too. */
const highWaterBytes = 256 * 1024;
/** Payloads that wait for the end of a key exchange; replies to what still comes are among them. */
const maxHeldBytes = 64 * 1024 * 1024;
/** RFC 4344 §3.1 asks for new keys before 2^32 packets; the server's own limit comes first. */
const rekeyPackets = 2 ** 28;
const maxReasonChars = 1024;

/** The part of a transport that channels need (`Connection` of ../connection/mux.ts). */
export class ClientTransport {
  readonly #protocol: Protocol;
  readonly #socket: Duplex;
  readonly #packagePayload: PayloadHandler;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #packets = 0;
  #isCorked = false;
  #isAwaitingDrain = false;
  #isOver = false;
  onPayload: (payload: Buffer) => void = () => undefined;
  onDrain: () => void = () => undefined;
  /** Why this side or the other has ended the connection; once, before the socket closes. */
  onFailure: (failure: ClientFailure) => void = () => undefined;

  /** Called when the login is complete, before another chunk of the socket is read. */
  constructor(client: Client, socket: Duplex) {
    this.#protocol = protocolOf(client);
    this.#socket = socket;
    this.#packagePayload = this.#protocol._onPayload;
    const take: PayloadHandler = (payload) => this.#take(payload);
    // The one that the next keys are made with, and the one of the keys at hand.
    this.#protocol._onPayload = take;
    this.#protocol._decipher._onPayload = take;
    client.on('handshake', () => this.#exchanged());
    socket.on('drain', () => {
      this.#isAwaitingDrain = false;
      this.#announceRoom();
    });
    socket.once('close', () => {
      this.#isOver = true;
      this.#held = [];
    });
  }

  get peerVersion(): string {
    return this.#protocol._remoteIdentRaw.toString('latin1');
  }

  send(payload: Buffer): boolean {
    if (this.#isOver) return true;
    if (this.#protocol._kexinit !== undefined) {
      this.#hold(payload);
      return false;
    }
    const { write } = this.#protocol._packetRW;
    const at = write.allocStart;
    const packet = write.alloc(payload.length);
    payload.copy(packet, at);
    return this.#sendPacket(write.finalize(packet));
  }

  sendChannelData(recipient: number, data: Buffer, isStderr = false): boolean {
    if (this.#isOver) return true;
    if (isStderr || this.#protocol._kexinit !== undefined) {
      return this.send(new Writer().byte(94).uint32(recipient).string(data).done());
    }
    const { write } = this.#protocol._packetRW;
    let at = write.allocStart;
    const packet = write.alloc(9 + data.length);
    at = packet.writeUInt8(94, at);
    at = packet.writeUInt32BE(recipient, at);
    at = packet.writeUInt32BE(data.length, at);
    data.copy(packet, at);
    return this.#sendPacket(write.finalize(packet));
  }

  /** UNIMPLEMENTED for the payload at hand (RFC 4253 §11.4). */
  unimplemented(): void {
    const sequence = (this.#protocol._decipher.inSeqno - 1) >>> 0;
    this.send(new Writer().byte(unimplementedNumber).uint32(sequence).done());
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** What the server has done is wrong: it is told, and the connection ends at once. */
  disconnect(error: Error): void {
    if (this.#isOver) return;
    const text = error instanceof DisconnectError ? error.detail : error.message;
    this.onFailure(
      new ClientFailure('connection', `the server breaks the protocol: ${text}`, { cause: error }),
    );
    this.#end(error instanceof DisconnectError ? error.reason : byApplication);
  }

  #end(reason: number): void {
    this.#isOver = true;
    try {
      this.#protocol.disconnect(reason);
    } finally {
      this.#leave();
    }
  }

  #sendPacket(packet: Buffer): boolean {
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    this.#protocol._cipher.encrypt(packet);
    this.#count();
    if (this.#socket.writableLength < highWaterBytes) return true;
    this.#isAwaitingDrain = true;
    return false;
  }

  #count(): void {
    this.#packets += 1;
    if (this.#packets >= rekeyPackets) {
      this.#packets = 0;
      this.#protocol.rekey();
    }
  }

  #hold(payload: Buffer): void {
    this.#held.push(payload);
    this.#heldBytes += payload.length;
    if (this.#heldBytes > maxHeldBytes) {
      this.disconnect(new Error('it asks and asks while keys are exchanged'));
    }
  }

  #exchanged(): void {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const payload of held) this.send(payload);
    this.#announceRoom();
  }

  #announceRoom(): void {
    const hasRoom = !this.#isAwaitingDrain && this.#protocol._kexinit === undefined;
    if (hasRoom && !this.#isOver) this.onDrain();
  }

  #take(payload: Buffer): unknown {
    const number = payload[0];
    if (number === undefined || number < firstConnectionNumber) {
      if (number === disconnectNumber) return this.#disconnected(payload);
      return this.#packagePayload(payload);
    }
    if (this.#isOver) return undefined;
    this.#count();
    try {
      this.onPayload(payload);
    } catch (error) {
      this.disconnect(error instanceof Error ? error : new Error(String(error)));
    }
    return undefined;
  }

  /** The text is the server's, which the package would drop for reason 11. */
  #disconnected(payload: Buffer): void {
    let text = '';
    try {
      const fields = new Reader(payload, 1);
      fields.uint32();
      text = fields.string().toString('utf8').slice(0, maxReasonChars);
    } catch {
      // A goodbye that does not parse is a goodbye.
    }
    const why = text === '' ? 'the server closed the connection' : `the server says: ${text}`;
    this.onFailure(new ClientFailure('connection', why));
    this.#isOver = true;
    this.#leave();
  }

  /** What was written goes out, within a limit; a peer that does not read is not waited for. */
  #leave(): void {
    destroyWhenWritten(this.#socket.end());
  }
}

/** Checks the shape of what is relied on, so that another version fails clearly and at once. */
function protocolOf(client: Client): Protocol {
  const protocol = (client as unknown as { _protocol?: Partial<Protocol> })._protocol;
  const isWhole =
    protocol !== undefined &&
    typeof protocol._onPayload === 'function' &&
    typeof protocol._decipher?._onPayload === 'function' &&
    typeof protocol._decipher.inSeqno === 'number' &&
    typeof protocol._cipher?.encrypt === 'function' &&
    typeof protocol._packetRW?.write.alloc === 'function' &&
    typeof protocol._packetRW.write.allocStart === 'number' &&
    Buffer.isBuffer(protocol._remoteIdentRaw) &&
    typeof protocol.rekey === 'function';
  if (!isWhole) throw new Error('ssh2 is not the version that this client was written for');
  return protocol as Protocol;
}
