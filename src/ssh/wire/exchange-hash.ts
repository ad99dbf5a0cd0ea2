/**
 * The exchange hash H (RFC 4253 §8, RFC 5656 §4, RFC 8731 §3, draft-ietf-sshm-mlkem-hybrid-kex),
 * one row per key exchange method. Pure. Runs in: monitor (which signs nothing else), worker, tests.
 */
import { createHash } from 'node:crypto';
import { KexError } from '../../base/errors.ts';
import { Writer } from './writer.ts';

export interface ExchangeValues {
  /** Identification lines without CR LF. */
  readonly clientVersion: Uint8Array;
  readonly serverVersion: Uint8Array;
  /** Payloads of the KEXINITs, message number first. */
  readonly clientKexInit: Uint8Array;
  readonly serverKexInit: Uint8Array;
  /** Public host key blob. */
  readonly hostKey: Uint8Array;
  readonly clientValue: Uint8Array;
  readonly serverValue: Uint8Array;
  /** Raw big-endian number; for hybrid exchanges the hash that goes in as a string. */
  readonly sharedSecret: Uint8Array;
}

interface HashRow {
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  /** How the two public values go into the hash. */
  readonly values: 'mpint' | 'string';
  readonly secret: 'mpint' | 'string';
}

const curve: HashRow = { hash: 'sha256', values: 'string', secret: 'mpint' };

const rows: ReadonlyMap<string, HashRow> = new Map([
  ['mlkem768x25519-sha256', { hash: 'sha256', values: 'string', secret: 'string' }],
  ['curve25519-sha256', curve],
  ['curve25519-sha256@libssh.org', curve],
  ['ecdh-sha2-nistp256', { hash: 'sha256', values: 'string', secret: 'mpint' }],
  ['ecdh-sha2-nistp384', { hash: 'sha384', values: 'string', secret: 'mpint' }],
  ['ecdh-sha2-nistp521', { hash: 'sha512', values: 'string', secret: 'mpint' }],
  ['diffie-hellman-group14-sha256', { hash: 'sha256', values: 'mpint', secret: 'mpint' }],
  ['diffie-hellman-group16-sha512', { hash: 'sha512', values: 'mpint', secret: 'mpint' }],
  ['diffie-hellman-group18-sha512', { hash: 'sha512', values: 'mpint', secret: 'mpint' }],
]);

/** Throws KexError for a method that is not in the table. */
export function exchangeHash(kexAlgorithm: string, exchange: ExchangeValues): Buffer {
  const row = rows.get(kexAlgorithm);
  if (row === undefined) {
    throw new KexError(`no exchange hash for ${JSON.stringify(kexAlgorithm)}`);
  }
  const input = new Writer()
    .string(exchange.clientVersion)
    .string(exchange.serverVersion)
    .string(exchange.clientKexInit)
    .string(exchange.serverKexInit)
    .string(exchange.hostKey);
  input[row.values](exchange.clientValue)[row.values](exchange.serverValue);
  input[row.secret](exchange.sharedSecret);
  return createHash(row.hash).update(input.done()).digest();
}
