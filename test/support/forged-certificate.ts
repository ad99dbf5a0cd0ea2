/**
 * Certificates that ssh-keygen would not make, field by field (PROTOCOL.certkeys), with a right
 * signature: what is wrong with them has to be found. Runs in: test.
 */
import { randomBytes } from 'node:crypto';
import type { PrivateKey } from '../../keys/private-key.ts';
import { Reader } from '../../src/ssh/wire/reader.ts';
import { Writer } from '../../src/ssh/wire/writer.ts';

export interface ForgedFields {
  /** The blob of the key that is certified. */
  readonly key: Buffer;
  readonly certificateType: string;
  readonly serial?: bigint;
  readonly subject?: number;
  readonly keyId?: Buffer | string;
  readonly principals?: readonly (Buffer | string)[];
  readonly validAfter?: bigint;
  readonly validBefore?: bigint;
  readonly criticalOptions?: readonly (readonly [name: string, data: Buffer])[];
  readonly extensions?: readonly (readonly [name: string, data: Buffer])[];
  /** In place of the authority's own key. */
  readonly authorityBlob?: Buffer;
  /** Bytes behind the signature. */
  readonly tail?: Buffer;
}

export const forever = (1n << 64n) - 1n;

function strings(values: readonly (Buffer | string)[]): Buffer {
  const to = new Writer();
  for (const value of values) {
    to.string(Buffer.from(value as string));
  }
  return to.done();
}

function options(rows: readonly (readonly [name: string, data: Buffer])[]): Buffer {
  return strings(rows.flat());
}

/** The data of an option that is a text. */
export function optionText(value: string): Buffer {
  return new Writer().text(value).done();
}

export function forge(
  fields: ForgedFields,
  authority: { readonly publicBlob: Buffer; sign(data: Buffer): Buffer },
): Buffer {
  const from = new Reader(fields.key);
  from.string();
  const body = new Writer()
    .text(fields.certificateType)
    .string(randomBytes(32))
    .raw(from.rest())
    .uint64(fields.serial ?? 1n)
    .uint32(fields.subject ?? 1)
    .string(Buffer.from((fields.keyId ?? 'id') as string))
    .string(strings(fields.principals ?? ['alice']))
    .uint64(fields.validAfter ?? 0n)
    .uint64(fields.validBefore ?? forever)
    .string(options(fields.criticalOptions ?? []))
    .string(options(fields.extensions ?? []))
    .text('')
    .string(fields.authorityBlob ?? authority.publicBlob)
    .done();
  return new Writer()
    .raw(body)
    .string(authority.sign(body))
    .raw(fields.tail ?? Buffer.alloc(0))
    .done();
}

/** An authority out of one of our keys. */
export function authorityOf(key: PrivateKey, algorithm: string) {
  return { publicBlob: key.publicBlob, sign: (data: Buffer) => key.sign(algorithm, data) };
}
