/**
 * When new keys are due: bytes, packets and time under the present ones (RFC 4253 §9, RFC 4344 §3).
 * Runs in: worker.
 */
import { cipherAlgorithms } from '../wire/algorithms.ts';
import { limits } from './limits.ts';
import type { ServerTransportSettings } from './settings.ts';

type Bounds = Pick<ServerTransportSettings, 'rekeyBytes' | 'rekeyMs' | 'rekeyPackets'>;

/** As sshd: 2^(L/4) blocks of L bits, for short blocks 2^30 bytes; less when configured. */
function bytesPerKey(cipher: string | undefined, configured: number): number {
  const blockBytes = cipherAlgorithms.find((row) => row.name === cipher)?.blockBytes ?? 8;
  const most = blockBytes >= 16 ? 2 ** (blockBytes * 2) * blockBytes : 2 ** 30;
  return configured > 0 ? Math.min(most, configured) : most;
}

export class RekeyClock {
  #bounds: Pick<Bounds, 'rekeyBytes' | 'rekeyMs'>;
  readonly #onTime: () => void;
  readonly #maxPackets: number;
  #ciphers: readonly [inbound: string | undefined, outbound: string | undefined] | undefined;
  #maxBytesIn = Number.POSITIVE_INFINITY;
  #maxBytesOut = Number.POSITIVE_INFINITY;
  #bytesIn = 0;
  #bytesOut = 0;
  #packetsIn = 0;
  #packetsOut = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `onTime`: the keys are as old as they may become; not after `stop`. */
  constructor(bounds: Bounds, onTime: () => void) {
    this.#bounds = bounds;
    this.#onTime = onTime;
    this.#maxPackets = bounds.rekeyPackets ?? limits.packetsPerKey;
  }

  /** What has passed under the present keys counts. */
  set bounds(bounds: Pick<Bounds, 'rekeyBytes' | 'rekeyMs'>) {
    this.#bounds = bounds;
    this.#bound();
  }

  #bound(): void {
    if (this.#ciphers !== undefined) {
      const [inbound, outbound] = this.#ciphers;
      this.#maxBytesIn = bytesPerKey(inbound, this.#bounds.rekeyBytes);
      this.#maxBytesOut = bytesPerKey(outbound, this.#bounds.rekeyBytes);
    }
  }

  received(bytes: number): void {
    this.#bytesIn += bytes;
  }

  receivedPacket(): void {
    this.#packetsIn++;
  }

  sentPacket(bytes: number): void {
    this.#bytesOut += bytes;
    this.#packetsOut++;
  }

  get isDue(): boolean {
    return (
      this.#bytesIn > this.#maxBytesIn ||
      this.#bytesOut > this.#maxBytesOut ||
      this.#packetsIn > this.#maxPackets ||
      this.#packetsOut > this.#maxPackets
    );
  }

  /** New keys are in use; ciphers by direction. */
  restart(inbound: string | undefined, outbound: string | undefined): void {
    this.#bytesIn = 0;
    this.#bytesOut = 0;
    this.#packetsIn = 0;
    this.#packetsOut = 0;
    this.#ciphers = [inbound, outbound];
    this.#bound();
  }

  /** From now on. */
  startTimer(): void {
    clearTimeout(this.#timer);
    if (this.#bounds.rekeyMs > 0) {
      // A longer delay would fire at once.
      const delayMs = Math.min(this.#bounds.rekeyMs, limits.timerMs);
      this.#timer = setTimeout(() => this.#onTime(), delayMs).unref();
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
