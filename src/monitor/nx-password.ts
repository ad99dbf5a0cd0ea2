/**
 * Passwords of the NX database: argon2id (RFC 9106), as PHC strings, which carry their own cost, so
 * that another cost can be chosen and old ones go on. Runs in: monitor, launcher (`sshdesk nxserver`).
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';

export interface Cost {
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
}

export const cost: Cost = { memoryKib: 19_456, passes: 2, lanes: 1 };
/** Bytes of S and T (RFC 9106 §3.1). */
const salted = 16;
const digested = 32;
/** Nobody is made to compute what somebody has written into the file. */
const mostMemoryKib = 1024 * 1024;
const mostPasses = 16;
const mostLanes = 16;
/** Each takes its memory. */
const mostAtOnce = 4;

interface Hash extends Cost {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}

function parse(text: string): Hash | undefined {
  const found =
    /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})$/.exec(
      text,
    );
  if (found === null) {
    return undefined;
  }
  const [memoryKib, passes, lanes] = found.slice(1, 4).map(Number) as [number, number, number];
  const isBounded =
    lanes >= 1 &&
    lanes <= mostLanes &&
    memoryKib >= 8 * lanes &&
    memoryKib <= mostMemoryKib &&
    passes >= 1 &&
    passes <= mostPasses;
  const [salt, hash] = found.slice(4, 6).map((part) => Buffer.from(part, 'base64')) as [
    Buffer,
    Buffer,
  ];
  return isBounded ? { memoryKib, passes, lanes, salt, hash } : undefined;
}

function derive(
  password: Buffer,
  salt: Buffer,
  { memoryKib, passes, lanes }: Cost,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const parameters = {
    message: password,
    nonce: salt,
    parallelism: lanes,
    tagLength: digested,
    memory: memoryKib,
    passes,
  };
  argon2('argon2id', parameters, (error, hash) => (error === null ? resolve(hash) : reject(error)));
  return promise;
}

/** Of one process: at most four at once, the others in their order. */
export class NxPasswords {
  readonly #cost: Cost;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(wanted: Cost = cost) {
    this.#cost = wanted;
  }

  async hash(password: Buffer): Promise<string> {
    const salt = randomBytes(salted);
    const { memoryKib, passes, lanes } = this.#cost;
    const hash = await this.#inTurn(() => derive(password, salt, this.#cost));
    const head = `$argon2id$v=19$m=${memoryKib},t=${passes},p=${lanes}`;
    return `${head}$${base64(salt)}$${base64(hash)}`;
  }

  /** undefined: there is none, or it is none; the same is computed, and the answer is no. */
  async verify(password: Buffer, stored: string | undefined): Promise<boolean> {
    const found = stored === undefined ? undefined : parse(stored);
    const wanted = found ?? {
      ...this.#cost,
      salt: Buffer.alloc(salted),
      hash: Buffer.alloc(digested),
    };
    const hash = await this.#inTurn(() => derive(password, wanted.salt, wanted));
    const isEqual = timingSafeEqual(hash, wanted.hash);
    hash.fill(0);
    return isEqual && found !== undefined && password.length > 0;
  }

  /** It was made at another cost than is wanted now. */
  isOutdated(stored: string): boolean {
    const found = parse(stored);
    const { memoryKib, passes, lanes } = this.#cost;
    return found?.memoryKib !== memoryKib || found.passes !== passes || found.lanes !== lanes;
  }

  async #inTurn<T>(act: () => Promise<T>): Promise<T> {
    if (this.#running >= mostAtOnce) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise; // whoever ends hands its place on
    } else {
      this.#running++;
    }
    try {
      return await act();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#running--;
      } else {
        next();
      }
    }
  }
}
