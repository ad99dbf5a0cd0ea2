/**
 * The read end of a pipe, read into one buffer that is used again and again: at 800 MB/s a new one
 * for each read makes a third of the time garbage collection. Runs in: worker.
 */
import { Socket } from 'node:net';
import type { LendingSource } from '../ssh/connection/pump.ts';

/** What a pipe holds, and so what one read gives. */
const readBytes = 64 * 1024;

export class PipeSource implements LendingSource {
  readonly #descriptor: number;
  readonly #buffer: Buffer;
  #socket: Socket | undefined;
  #isDestroyed = false;

  /**
   * Owns `descriptor`. All sources of a process may share one buffer: a chunk is used up before
   * the next read, whoever reads.
   */
  constructor(descriptor: number, buffer: Buffer = Buffer.allocUnsafeSlow(readBytes)) {
    this.#descriptor = descriptor;
    this.#buffer = buffer;
  }

  start(take: (chunk: Buffer) => void, end: (error?: Error) => void): void {
    if (this.#isDestroyed) {
      end();
      return;
    }
    const buffer = this.#buffer;
    const socket = this.#open((byteCount) => take(buffer.subarray(0, byteCount)));
    let error: Error | undefined;
    socket.on('error', (cause) => {
      error = cause;
    });
    socket.on('close', () => end(error));
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Closes the descriptor, also when nobody ever started to read. */
  destroy(): void {
    if (!this.#isDestroyed) {
      this.#isDestroyed = true;
      (this.#socket ?? this.#open(() => {})).destroy();
    }
  }

  #open(take: (byteCount: number) => void): Socket {
    const socket = new Socket({
      fd: this.#descriptor,
      readable: true,
      writable: false,
      onread: {
        buffer: this.#buffer,
        callback: (byteCount) => {
          take(byteCount);
          return !socket.isPaused();
        },
      },
    });
    this.#socket = socket;
    return socket;
  }
}
