/**
 * The PIN of a token with host keys, out of a file that is root's alone or a credential of systemd: it
 * is never asked for, and never stays here. Runs in: monitor.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import type { PinSource } from '../../keys/pkcs11-uri.ts';
import { ConfigError } from '../base/errors.ts';

export interface ReadPin {
  /** To be erased by whoever uses it. */
  readonly pin: Buffer;
  /** Changes with the file. */
  readonly identity: string;
}

const maxPinBytes = 256;
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** Throws ConfigError: there is no such credential. */
export function pinFile(
  source: PinSource,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  if (source.kind === 'file') {
    return source.path;
  }
  const directory = environment.CREDENTIALS_DIRECTORY;
  if (directory === undefined || !directory.startsWith('/')) {
    throw new ConfigError(
      `pin-source=credential:${source.name}: $CREDENTIALS_DIRECTORY is not set; in the unit: LoadCredential=${source.name}:/etc/sshdesk/hsm.pin`,
    );
  }
  return path.join(directory, source.name);
}

function open(file: string): number {
  try {
    return openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'no such file' : code === 'ELOOP' ? 'a link' : String(code);
    throw new ConfigError(`${file}: the PIN cannot be read: ${why}`);
  }
}

/** Throws ConfigError, which names the file and what helps. */
export function readPin(file: string, ownUid: number): ReadPin {
  const descriptor = open(file);
  const bytes = Buffer.alloc(maxPinBytes + 2);
  try {
    const status = fstatSync(descriptor);
    const { dev, ino, size, mtimeMs, ctimeMs, uid, mode } = status;
    if (!status.isFile()) {
      throw new ConfigError(`${file}: not a file with a PIN`);
    }
    if ((uid !== 0 && uid !== ownUid) || (mode & 0o077) !== 0) {
      throw new ConfigError(
        `${file}: others can read or change the PIN: chown root ${file}; chmod 600 ${file}`,
      );
    }
    const length = readSync(descriptor, bytes, 0, bytes.length, 0);
    const end = bytes.subarray(0, length).findIndex((byte) => byte === 0x0a || byte === 0x0d);
    const pin = Buffer.from(bytes.subarray(0, end < 0 ? length : end));
    if (pin.length === 0 || pin.length > maxPinBytes) {
      pin.fill(0);
      throw new ConfigError(`${file}: the first line is not a PIN of 1 to ${maxPinBytes} bytes`);
    }
    return { pin, identity: `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}` };
  } finally {
    bytes.fill(0);
    closeSync(descriptor);
  }
}
