/** Builds one payload (RFC 4251 §5). Pure. */
export class Writer {
  readonly #parts: Buffer[] = [];

  byte(value: number): this {
    this.#parts.push(Buffer.from([value]));
    return this;
  }

  bool(value: boolean): this {
    return this.byte(value ? 1 : 0);
  }

  uint32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32BE(value);
    this.#parts.push(part);
    return this;
  }

  uint64(value: bigint): this {
    const part = Buffer.allocUnsafe(8);
    part.writeBigUInt64BE(value);
    this.#parts.push(part);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#parts.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return this;
  }

  string(bytes: Uint8Array): this {
    return this.uint32(bytes.byteLength).raw(bytes);
  }

  text(value: string): this {
    return this.string(Buffer.from(value, 'utf8'));
  }

  nameList(names: readonly string[]): this {
    return this.string(Buffer.from(names.join(','), 'latin1'));
  }

  /** `magnitude` is an unsigned big-endian number; written as RFC 4251 §5 mpint (never negative). */
  mpint(magnitude: Uint8Array): this {
    let from = 0;
    while (from < magnitude.length && magnitude[from] === 0) {
      from++;
    }
    const bytes = magnitude.subarray(from);
    const needsZero = bytes.length > 0 && (bytes[0] as number) >= 0x80;
    this.uint32(bytes.length + (needsZero ? 1 : 0));
    if (needsZero) {
      this.byte(0);
    }
    return this.raw(bytes);
  }

  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
