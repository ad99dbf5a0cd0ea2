/**
 * What the values of a key exchange must look like (RFC 4253 §8, RFC 5656 §4, RFC 8731 §3,
 * draft-ietf-sshm-mlkem-hybrid-kex), one row per method: lengths and ranges; whether a point lies on
 * its curve is found by whoever computes with it. Pure. Runs in: monitor, worker.
 */
import { getDiffieHellman } from 'node:crypto';
import { KexError } from '../../base/errors.ts';

interface ValueRow {
  isClientValue(value: Buffer): boolean;
  isServerValue(value: Buffer): boolean;
  isSecret(secret: Buffer): boolean;
}

/** Not zero, and no longer than `mostBytes` whatever zeros stand in front. */
function isSecretOf(mostBytes: number, secret: Buffer): boolean {
  const first = secret.findIndex((byte) => byte !== 0);
  return first >= 0 && secret.length - first <= mostBytes;
}

const isX25519 = (value: Buffer): boolean => value.length === 32;
const curve25519: ValueRow = {
  isClientValue: isX25519,
  isServerValue: isX25519,
  // RFC 8731 §3: a secret of zeros is a low-order point's.
  isSecret: (secret) => isSecretOf(32, secret),
};

function nist(coordinateBytes: number): ValueRow {
  // Uncompressed, as OpenSSH has them: any other form would be a second way to write one value.
  const isPoint = (value: Buffer): boolean =>
    value.length === 1 + 2 * coordinateBytes && value[0] === 4;
  return {
    isClientValue: isPoint,
    isServerValue: isPoint,
    isSecret: (secret) => isSecretOf(coordinateBytes, secret),
  };
}

function group(name: string): ValueRow {
  let prime: bigint | undefined;
  /** The number as it came, of at most the prime's length and a sign byte. */
  const isInRange = (value: Buffer): boolean => {
    prime ??= BigInt(`0x${getDiffieHellman(name).getPrime('hex')}`);
    const mostBytes = Math.ceil(prime.toString(16).length / 2) + 1;
    if (value.length === 0 || value.length > mostBytes) {
      return false;
    }
    const number = BigInt(`0x${value.toString('hex')}`);
    return number > 1n && number < prime - 1n;
  };
  return { isClientValue: isInRange, isServerValue: isInRange, isSecret: isInRange };
}

const rows: ReadonlyMap<string, ValueRow> = new Map([
  [
    'mlkem768x25519-sha256',
    {
      isClientValue: (value: Buffer) => value.length === 1184 + 32,
      isServerValue: (value: Buffer) => value.length === 1088 + 32,
      isSecret: (secret: Buffer) => secret.length === 32,
    },
  ],
  ['curve25519-sha256', curve25519],
  ['curve25519-sha256@libssh.org', curve25519],
  ['ecdh-sha2-nistp256', nist(32)],
  ['ecdh-sha2-nistp384', nist(48)],
  ['ecdh-sha2-nistp521', nist(66)],
  ['diffie-hellman-group14-sha256', group('modp14')],
  ['diffie-hellman-group16-sha512', group('modp16')],
  ['diffie-hellman-group18-sha512', group('modp18')],
]);

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Throws KexError for a value that no honest client sends, and for a method that has no row. */
export function checkClientValue(kexAlgorithm: string, value: Uint8Array): void {
  if (rows.get(kexAlgorithm)?.isClientValue(asBuffer(value)) !== true) {
    throw new KexError(`${kexAlgorithm}: the client's value is out of range`);
  }
}

/** Throws KexError. */
export function checkExchange(
  kexAlgorithm: string,
  values: {
    readonly clientValue: Uint8Array;
    readonly serverValue: Uint8Array;
    readonly sharedSecret: Uint8Array;
  },
): void {
  checkClientValue(kexAlgorithm, values.clientValue);
  const row = rows.get(kexAlgorithm);
  if (row?.isServerValue(asBuffer(values.serverValue)) !== true) {
    throw new KexError(`${kexAlgorithm}: the server's value is out of range`);
  }
  if (!row.isSecret(asBuffer(values.sharedSecret))) {
    throw new KexError(`${kexAlgorithm}: the secret is out of range`);
  }
}
