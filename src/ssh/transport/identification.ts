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

/** sshd's lines, and as much as it shows of what came. */
const shownBytes = 256;
const shownVersionBytes = 100;

function invalid(what: string): VersionError {
  return new VersionError(`kex_exchange_identification: ${what}`);
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
      throw invalid('banner line too long');
    }
    const line = Buffer.concat([this.#before, chunk.subarray(0, end)]);
    if (/\0|\r[^\n]/.test(line.toString('latin1'))) {
      throw invalid('banner line contains invalid characters');
    }
    if (newline < 0) {
      this.#before = line;
      return { end, found: undefined };
    }
    this.#isDone = true;
    const bytes = line.subarray(0, line.at(-2) === 0x0d ? -2 : -1);
    const text = bytes.toString('latin1');
    if (!text.startsWith('SSH-')) {
      const shown = bytes.subarray(0, shownBytes).toString();
      throw invalid(`client sent invalid protocol identifier "${shown}"`);
    }
    const [, major] = /^SSH-(\d+)\.\d+-[^ ]/.exec(text) ?? [];
    if (major === undefined) {
      const shown = bytes.subarray(0, shownVersionBytes).toString();
      throw new VersionError(`Bad remote protocol version identification: "${shown}"`);
    }
    if (!/^SSH-(2\.0|1\.99)-/.test(text)) {
      throw new VersionError(`Protocol major versions differ: 2 vs. ${major}`, true);
    }
    return { end, found: { bytes, text } };
  }
}
