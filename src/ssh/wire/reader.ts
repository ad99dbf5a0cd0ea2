/**
 * A cursor over one payload (RFC 4251 §5). Every length is checked against what is left; the views
 * it returns share the payload's memory. Pure.
 */
import { ProtocolError } from '../../base/errors.ts';

export class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(count: number): number {
    if (count > this.left) {
      throw new ProtocolError(`truncated: ${count} bytes wanted, ${this.left} left`);
    }
    const from = this.#at;
    this.#at += count;
    return from;
  }

  byte(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  /** RFC 4251 §5: all non-zero values are TRUE. */
  bool(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }

  bytes(count: number): Buffer {
    const from = this.#take(count);
    return this.#bytes.subarray(from, from + count);
  }

  string(): Buffer {
    return this.bytes(this.uint32());
  }

  /** A string field decoded as UTF-8; bytes that are not UTF-8 are an error, never replaced. */
  text(): string {
    const bytes = this.string();
    const text = bytes.toString('utf8');
    if (Buffer.byteLength(text) !== bytes.length || !Buffer.from(text).equals(bytes)) {
      throw new ProtocolError('text is not UTF-8');
    }
    return text;
  }

  /** RFC 4251 §5 name-list: US-ASCII names without NUL, comma separated; may be empty. */
  nameList(): readonly string[] {
    const bytes = this.string();
    if (bytes.length === 0) {
      return [];
    }
    for (const byte of bytes) {
      if (byte < 0x21 || byte > 0x7e) {
        throw new ProtocolError('a name-list holds a byte that is not printable US-ASCII');
      }
    }
    return bytes.toString('latin1').split(',');
  }

  rest(): Buffer {
    return this.bytes(this.left);
  }

  /** Trailing bytes are an error. */
  end(): void {
    if (this.left !== 0) {
      throw new ProtocolError(`${this.left} bytes behind the end of the message`);
    }
  }
}
