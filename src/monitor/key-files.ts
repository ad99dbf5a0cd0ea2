/**
 * The files of keys that are root's: TrustedUserCAKeys and RevokedKeys (sshd_config(5)), and those of
 * cards (sshdesk_config). They are looked at in every attempt, and read anew whenever they have
 * changed. Runs in: monitor.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { type CardSubjects, readCardSubjects } from '../../keys/card-mapping.ts';
import type { RevocationList } from '../../keys/crl.ts';
import { hasKey } from '../../keys/key-list.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { parseRevokedKeys, type RevokedKeys } from '../../keys/revoked-keys.ts';
import { type Authority, readAuthorities, readRevocationLists } from '../../keys/x509-path.ts';

/** sshd's bound is 128 MiB; a list of a million serial numbers has 5. */
const maxKeyFileBytes = 32 * 1024 * 1024;
/** Paths may differ between Match blocks. */
const maxRemembered = 16;
/** A file that was changed so lately may change again without its times telling. */
const settledMs = 2000;

interface Remembered<T> {
  readonly identity: string;
  /** Gives the value, or throws why there is none: a malformed list is not read in each attempt. */
  readonly outcome: () => T;
}

interface Read {
  readonly identity: string;
  readonly isSettled: boolean;
  readonly content: Buffer;
}

/** Content of one kind of file, parsed, for as long as the file stays as it was. */
class Reading<T> {
  readonly #parse: (content: Buffer) => T;
  readonly #nowMs: () => number;
  readonly #remembered = new Map<string, Remembered<T>>();

  constructor(parse: (content: Buffer) => T, nowMs: () => number) {
    this.#parse = parse;
    this.#nowMs = nowMs;
  }

  /** Rejects when the file cannot be read or parsed. */
  async get(path: string): Promise<T> {
    const known = this.#remembered.get(path);
    const read = await readKeyFile(path, known?.identity, this.#nowMs());
    if (read === 'unchanged') {
      return (known as Remembered<T>).outcome();
    }
    const outcome = this.#outcomeOf(read.content);
    this.#remembered.delete(path);
    if (read.isSettled) {
      const [oldest] = this.#remembered.keys();
      if (this.#remembered.size >= maxRemembered && oldest !== undefined) {
        this.#remembered.delete(oldest);
      }
      this.#remembered.set(path, { identity: read.identity, outcome });
    }
    return outcome();
  }

  #outcomeOf(content: Buffer): () => T {
    try {
      const value = this.#parse(content);
      return () => value;
    } catch (error) {
      return () => {
        throw error;
      };
    }
  }
}

/** One that changes while it is read is not settled, and so read again in the next attempt. */
async function readKeyFile(
  path: string,
  known: string | undefined,
  nowMs: number,
): Promise<Read | 'unchanged'> {
  // A FIFO in the file's place must not hold the monitor up.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = await file.stat({ bigint: true });
    if (!status.isFile()) {
      throw new Error('not a regular file');
    }
    if (status.size > BigInt(maxKeyFileBytes)) {
      throw new Error(`larger than ${maxKeyFileBytes} bytes`);
    }
    const { dev, ino, size, mtimeNs, ctimeNs } = status;
    const identity = `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
    if (identity === known) {
      return 'unchanged';
    }
    const isSettled = Number(ctimeNs / 1_000_000n) < nowMs - settledMs;
    return { identity, isSettled, content: await file.readFile() };
  } finally {
    await file.close();
  }
}

export class KeyFiles {
  readonly #trusted: Reading<Buffer>;
  readonly #revoked: Reading<RevokedKeys>;
  readonly #cardAuthorities: Reading<readonly Authority[]>;
  readonly #cardRevocations: Reading<readonly RevocationList[]>;
  readonly #cardSubjects: Reading<CardSubjects>;

  constructor(nowMs: () => number = Date.now) {
    this.#trusted = new Reading((content) => content, nowMs);
    this.#revoked = new Reading(parseRevokedKeys, nowMs);
    this.#cardAuthorities = new Reading(readAuthorities, nowMs);
    this.#cardRevocations = new Reading(readRevocationLists, nowMs);
    this.#cardSubjects = new Reading(readCardSubjects, nowMs);
  }

  /** Whether the file lists this key, alone in its line or with a comment. Rejects if unreadable. */
  async trusts(path: string, authority: PublicKey): Promise<boolean> {
    return hasKey(await this.#trusted.get(path), authority.blob);
  }

  /** Rejects when the file cannot be read or is malformed: then every key counts as revoked. */
  async revoked(path: string): Promise<RevokedKeys> {
    return this.#revoked.get(path);
  }

  /** CardCertificates. Rejects when the file cannot be read or has one that cannot be used. */
  async cardAuthorities(path: string): Promise<readonly Authority[]> {
    return this.#cardAuthorities.get(path);
  }

  /** CardRevocationList. Rejects when the file cannot be read or is malformed. */
  async cardRevocations(path: string): Promise<readonly RevocationList[]> {
    return this.#cardRevocations.get(path);
  }

  /** The file of `CardMapping subject`. Rejects when it cannot be read or is malformed. */
  async cardSubjects(path: string): Promise<CardSubjects> {
    return this.#cardSubjects.get(path);
  }
}
