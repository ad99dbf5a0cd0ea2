/**
 * The peer's identification line (RFC 4253 §4.2), in whatever pieces it comes. Runs in: worker.
 */
import { VersionError } from '../../base/errors.ts';
import { limits } from './limits.ts';

export interface Identification {
  /** Without CR LF, as it came: it goes into the exchange hash. */
  readonly bytes: Buffer;
  readonly text: string;
}

export class IdentificationReader {
  #before: Buffer = Buffer.alloc(0);
  #isDone = false;

  get isDone(): boolean {
    return this.#isDone;
  }

  /** Where the rest of the chunk begins; `found` once the line is whole. Throws VersionError. */
  take(chunk: Buffer): { readonly end: number; readonly found: Identification | undefined } {
    const newline = chunk.indexOf(0x0a);
    const end = newline < 0 ? chunk.length : newline + 1;
    if (this.#before.length + end > limits.identificationBytes) {
      throw new VersionError('the identification line is too long');
    }
    const line = Buffer.concat([this.#before, chunk.subarray(0, end)]);
    if (newline < 0) {
      this.#before = line;
      return { end, found: undefined };
    }
    this.#isDone = true;
    const bytes = line.subarray(0, line.at(-2) === 0x0d ? -2 : -1);
    const text = bytes.toString('latin1');
    if (!/^SSH-[^- \0\r]+-[^ \0\r][^\0\r]*$/.test(text)) {
      throw new VersionError(`not an identification: ${JSON.stringify(text)}`);
    }
    if (!/^SSH-(2\.0|1\.99)-/.test(text)) {
      throw new VersionError(`the peer speaks another version: ${JSON.stringify(text)}`);
    }
    return { end, found: { bytes, text } };
  }
}
