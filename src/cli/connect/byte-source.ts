/**
 * Reads exact numbers of bytes, or as much as a parser wants, from a stream that may stall or end.
 * Holds no more than the stream's own buffer and what was asked for. Runs in: user.
 */
import type { Readable } from 'node:stream';
import { ClientFailure } from '../../ssh/client/failure.ts';

const empty = Buffer.alloc(0);

export class ByteSource {
  readonly #stream: Readable;
  readonly #name: string;
  #held: Buffer = empty;
  #hasEnded = false;
  #isDry = false;
  #error: Error | null = null;
  #wake: () => void = () => undefined;

  constructor(stream: Readable, name: string) {
    this.#stream = stream;
    this.#name = name;
    const wake = (): void => this.#wake();
    const end = (): void => {
      this.#hasEnded = true;
      wake();
    };
    stream.on('readable', wake).on('end', end).on('close', end);
    stream.on('error', (error) => {
      this.#error = error;
      end();
    });
    if (stream.readableEnded || stream.destroyed) this.#hasEnded = true;
  }

  /**
   * True: what the stream can give without further input has been given, so that whoever waits for
   * more fails as at its end.
   */
  set isDry(isDry: boolean) {
    this.#isDry = isDry;
    if (isDry) this.#wake();
  }

  /** Resolves once it is dry; a byte that nobody has asked for is a failure, and so is the end. */
  async rest(): Promise<void> {
    if (this.#held.length > 0 || (await this.#fill()) || this.#hasEnded) {
      throw new ClientFailure('desktop', `${this.#name} does not end where it should`);
    }
  }

  /** Exactly `bytes`; the end before is a failure. */
  async take(bytes: number): Promise<Buffer> {
    while (this.#held.length < bytes) await this.#more(bytes - this.#held.length);
    const taken = this.#held.subarray(0, bytes);
    this.#held = this.#held.subarray(bytes);
    return taken;
  }

  /** Calls `parse` until it has had enough; it gives the bytes it used, or null for "more". */
  async parse<Value>(
    parse: (held: Buffer) => { value: Value; used: number } | null,
  ): Promise<Value> {
    for (;;) {
      const parsed = this.#held.length === 0 ? null : parse(this.#held);
      if (parsed) {
        this.#held = this.#held.subarray(parsed.used);
        return parsed.value;
      }
      await this.#more(1);
    }
  }

  /** What is here or comes next; null at the end. */
  async chunk(): Promise<Buffer | null> {
    if (this.#held.length === 0 && !(await this.#fill())) return null;
    const chunk = this.#held;
    this.#held = empty;
    return chunk;
  }

  /** Gives the stream back to others, with the bytes that were read and not used. */
  release(): void {
    this.#stream.removeAllListeners('readable');
    if (this.#held.length > 0) this.#stream.unshift(this.#held);
    this.#held = empty;
  }

  async #more(wanted: number): Promise<void> {
    let left = wanted;
    while (left > 0) {
      const before = this.#held.length;
      if (!(await this.#fill())) {
        throw new ClientFailure('desktop', `${this.#name} ended`, { cause: this.#error });
      }
      left -= this.#held.length - before;
    }
  }

  async #fill(): Promise<boolean> {
    for (;;) {
      const chunk = this.#stream.read() as Buffer | null;
      if (chunk !== null) {
        this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
        return true;
      }
      if (this.#hasEnded || this.#isDry) return false;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
