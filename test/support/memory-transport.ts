/**
 * A transport without a socket: what is sent is kept as payloads, congestion is switched by the
 * test, and payloads are delivered as the record layer would. For tests of what stands above it.
 */
import { EventEmitter, once } from 'node:events';
import { ProtocolError } from '../../src/base/errors.ts';
import type { Transport } from '../../src/ssh/transport/transport.ts';
import { ChannelData, ChannelExtendedData } from '../../src/ssh/connection/messages.ts';

export class MemoryTransport implements Transport {
  readonly sessionId: Buffer = Buffer.alloc(32, 1);
  peerVersion = 'SSH-2.0-OpenSSH_9.2p1';
  sent: Buffer[] = [];
  /** What `send` and `sendChannelData` return until `drain`. */
  isFull = false;
  /** With a number, the transport is full again as soon as that many payloads went out. */
  roomPayloads = Number.POSITIVE_INFINITY;
  isPaused = false;
  isAuthenticated = false;
  unimplementedCount = 0;
  /** Why the connection ended: a throw of `onPayload` or a call of `disconnect`. */
  error: Error | undefined;
  isClosed = false;
  readonly #changes = new EventEmitter();

  onPayload: (payload: Buffer) => void = () => {};
  onDrain: () => void = () => {};
  onReady: () => void = () => {};
  onClose: Transport['onClose'] = () => {};

  send(payload: Buffer): boolean {
    if (!this.isClosed) {
      this.sent.push(payload);
      this.#changes.emit('change');
    }
    if (--this.roomPayloads <= 0) {
      this.isFull = true;
    }
    return !this.isFull;
  }

  sendChannelData(recipient: number, data: Buffer, stderr = false): boolean {
    return this.send(
      stderr
        ? ChannelExtendedData.encode({ recipient, type: 1, data })
        : ChannelData.encode({ recipient, data }),
    );
  }

  limitKeys(): void {}

  /** The socket took everything. */
  drain(roomPayloads = Number.POSITIVE_INFINITY): void {
    this.isFull = false;
    this.roomPayloads = roomPayloads;
    this.onDrain();
  }

  /** A payload of the peer; what it throws ends the connection, as in the real transport. */
  deliver(...payloads: Buffer[]): void {
    for (const payload of payloads) {
      if (this.isClosed) {
        return;
      }
      try {
        this.onPayload(payload);
      } catch (error) {
        this.disconnect(error as Error);
      }
    }
  }

  /** The sent payloads so far, which are forgotten. */
  take(): Buffer[] {
    const sent = this.sent;
    this.sent = [];
    return sent;
  }

  /** The next sent payload with this number; other payloads before it are an error. */
  async next(number: number): Promise<Buffer> {
    while (this.sent.length === 0 && !this.isClosed) {
      await once(this.#changes, 'change', { signal: AbortSignal.timeout(2000) });
    }
    const payload = this.sent.shift();
    if (payload?.[0] !== number) {
      const end = this.error === undefined ? '' : `; the connection ended: ${this.error.message}`;
      throw new Error(`message ${payload?.[0]} where ${number} was expected${end}`);
    }
    return payload;
  }

  /** Resolves with the error that ended the connection. */
  async ended(): Promise<Error | undefined> {
    while (!this.isClosed) {
      await once(this.#changes, 'change', { signal: AbortSignal.timeout(2000) });
    }
    return this.error;
  }

  close(): void {
    if (!this.isClosed) {
      this.isClosed = true;
      this.onClose(this.error);
      this.#changes.emit('change');
    }
  }

  rekey(): void {}
  authenticated(): void {
    this.isAuthenticated = true;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  unimplemented(): void {
    this.unimplementedCount++;
  }
  disconnect(error: Error): void {
    this.error ??= error;
    this.close();
  }
  destroy(): void {
    this.close();
  }
}

export function isProtocolError(error: Error | undefined): boolean {
  return error instanceof ProtocolError;
}

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
