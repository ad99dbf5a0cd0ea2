/**
 * The host's private keys: loaded once, never leaving the monitor. A key file that others may read
 * is skipped with sshd's warning; no usable key means no start. Runs in: monitor.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { ConfigError } from '../base/errors.ts';
import type { Log } from '../audit/log.ts';
import { loadPrivateKey, type PrivateKey } from '../../keys/private-key.ts';

export class HostKeys {
  readonly #keys: readonly PrivateKey[];

  constructor(keys: readonly PrivateKey[]) {
    this.#keys = keys;
  }

  get publicBlobs(): readonly Buffer[] {
    return this.#keys.map((key) => key.publicBlob);
  }

  find(publicBlob: Buffer): PrivateKey | undefined {
    return this.#keys.find((key) => key.publicBlob.equals(publicBlob));
  }
}

const maxKeyFileBytes = 64 * 1024;

function readKeyFile(path: string): { readonly bytes: Buffer } | { readonly refused: string } {
  const descriptor = openSync(path, 'r');
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > maxKeyFileBytes) {
      return { refused: `${path}: not a key file` };
    }
    if (status.uid === process.getuid?.() && (status.mode & 0o077) !== 0) {
      const mode = (status.mode & 0o777).toString(8).padStart(4, '0');
      return {
        refused: `Permissions ${mode} for '${path}' are too open: UNPROTECTED PRIVATE KEY FILE, the key is skipped`,
      };
    }
    return { bytes: readFileSync(descriptor) };
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Throws ConfigError with one line per file when none can be used. isDefault: the list is the
 * built-in one, of which a host may have some.
 */
export function loadHostKeys(paths: readonly string[], isDefault: boolean, log: Log): HostKeys {
  const keys: PrivateKey[] = [];
  const problems: string[] = [];
  for (const path of paths) {
    try {
      const read = readKeyFile(path);
      if ('refused' in read) {
        problems.push(read.refused);
        continue;
      }
      keys.push(loadPrivateKey(read.bytes));
      read.bytes.fill(0);
    } catch (error) {
      if (isDefault && (error as NodeJS.ErrnoException).code === 'ENOENT') {
        log.debug(`no host key ${path}`);
        continue;
      }
      problems.push(`Unable to load host key: ${path}: ${(error as Error).message}`);
    }
  }
  for (const problem of problems) {
    log.error(problem);
  }
  if (keys.length === 0) {
    throw new ConfigError([...problems, 'sshdesk: no hostkeys available -- exiting.'].join('\n'));
  }
  return new HostKeys(keys);
}
