/**
 * How far an SFTP server is let fall behind (draft-ietf-secsh-filexfer-02). Debian's sftp-server reads
 * four times as fast as it answers small writes, keeps what it has not come to in one buffer and
 * copies that as it grows: an upload of PuTTY's 4 KiB at full speed ends at ten milliseconds a write.
 * So requests beyond a bound wait here, within the channel's window. Only the lengths of packets are
 * looked at; what does not look like SFTP is let through. Runs in: worker.
 */
import { sftpBehindBytes, sftpBehindRequests, sftpPacketBytes } from '../../src/base/limits.ts';
import type { SubsystemPace } from '../../src/session/host.ts';
import type { LendingSource } from '../../src/ssh/connection/pump.ts';

const initType = 1;
const versionType = 2;

export class SftpPace implements SubsystemPace {
  onRoom: () => void = () => {};
  readonly #requests: PacketScanner;
  readonly #responses: PacketScanner;
  /** Sizes of the requests without a response, oldest first from `#oldest` on. */
  #sizes: number[] = [];
  #oldest = 0;
  #bytes = 0;
  #isFull = false;
  #isOff = false;

  constructor() {
    this.#requests = new PacketScanner(initType, (byteCount) => {
      this.#sizes.push(byteCount);
      this.#bytes += byteCount;
    });
    this.#responses = new PacketScanner(versionType, () => this.#answered());
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** What goes to the server; false: no more for now, `onRoom` follows. */
  take(chunk: Buffer): boolean {
    if (!this.#isOff && !this.#requests.scan(chunk)) {
      this.#turnOff();
    }
    this.#isFull ||=
      !this.#isOff &&
      (this.#bytes >= sftpBehindBytes || this.#sizes.length - this.#oldest >= sftpBehindRequests);
    return !this.#isFull;
  }

  /** `source` as it is, seen. */
  watch(source: LendingSource): LendingSource {
    return {
      start: (take, end) =>
        source.start((chunk) => {
          this.#see(chunk);
          take(chunk);
        }, end),
      pause: () => source.pause(),
      resume: () => source.resume(),
      destroy: () => source.destroy(),
    };
  }

  #see(chunk: Buffer): void {
    if (this.#isOff) {
      return;
    }
    if (!this.#responses.scan(chunk)) {
      this.#turnOff();
    }
    const waiting = this.#sizes.length - this.#oldest;
    if (this.#bytes < sftpBehindBytes / 2 && waiting < sftpBehindRequests / 2) {
      this.#room();
    }
  }

  /** The oldest, whichever it was: the order differs, the sum does not. */
  #answered(): void {
    this.#bytes -= this.#sizes[this.#oldest] ?? 0;
    if (this.#oldest < this.#sizes.length) {
      this.#oldest++;
    }
    if (this.#oldest === this.#sizes.length) {
      this.#sizes = [];
      this.#oldest = 0;
    } else if (this.#oldest >= sftpBehindRequests) {
      this.#sizes = this.#sizes.slice(this.#oldest);
      this.#oldest = 0;
    }
  }

  #turnOff(): void {
    this.#isOff = true;
    this.#sizes = [];
    this.#oldest = 0;
    this.#bytes = 0;
    this.#room();
  }

  #room(): void {
    if (this.#isFull) {
      this.#isFull = false;
      this.onRoom();
    }
  }
}

/** Packets of one direction: uint32 length, byte type, the rest. */
class PacketScanner {
  readonly #onPacket: (byteCount: number) => void;
  /** Of the first packet; undefined once it was seen. */
  #wantedType: number | undefined;
  #length = 0;
  #lengthBytes = 0;
  #restBytes = 0;

  constructor(firstType: number, onPacket: (byteCount: number) => void) {
    this.#wantedType = firstType;
    this.#onPacket = onPacket;
  }

  /** false: this is not SFTP. */
  scan(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#restBytes > 0) {
        const skipped = Math.min(this.#restBytes, chunk.length - at);
        this.#restBytes -= skipped;
        at += skipped;
      } else if (this.#lengthBytes < 4) {
        this.#length = this.#length * 256 + (chunk[at++] as number);
        this.#lengthBytes++;
        if (this.#lengthBytes === 4 && (this.#length < 1 || this.#length > sftpPacketBytes)) {
          return false;
        }
      } else {
        const type = chunk[at++];
        if (this.#wantedType !== undefined && type !== this.#wantedType) {
          return false;
        }
        this.#wantedType = undefined;
        this.#onPacket(4 + this.#length);
        this.#restBytes = this.#length - 1;
        this.#length = 0;
        this.#lengthBytes = 0;
      }
    }
    return true;
  }
}
