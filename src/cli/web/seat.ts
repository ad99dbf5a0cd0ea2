/**
 * The right to look at a desktop through the local web door: a token that is good once and not for
 * long, and what it is exchanged for, a cookie of one browser below a path of its own. Runs in: user.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export const cookieName = 'sshdesk';
const secretBytes = 32;
const pathBytes = 16;

export type Admission = 'admitted' | 'used' | 'late' | 'wrong';

export class Seat {
  /** For the address that the browser is given; not kept here. */
  readonly #tokenDigest: Buffer;
  readonly #cookie = newSecret(secretBytes);
  readonly #cookieDigest = digest(this.#cookie);
  readonly #until: number;
  readonly #now: () => number;
  #isUsed = false;
  /**
   * Cookies know no ports: a server of another user on another port of 127.0.0.1 is sent them too,
   * unless they are for a path that it cannot guess.
   */
  readonly path = `/seat/${newSecret(pathBytes)}/`;

  constructor(token: string, validMs: number, now: () => number = () => performance.now()) {
    this.#tokenDigest = digest(token);
    this.#now = now;
    this.#until = now() + validMs;
  }

  static newToken(): string {
    return newSecret(secretBytes);
  }

  /** The first time that the token is shown, and in time. */
  admit(token: string): Admission {
    if (!timingSafeEqual(digest(token), this.#tokenDigest)) return 'wrong';
    if (this.#isUsed) return 'used';
    if (this.#now() > this.#until) return 'late';
    this.#isUsed = true;
    return 'admitted';
  }

  get isUsed(): boolean {
    return this.#isUsed;
  }

  get setCookie(): string {
    return `${cookieName}=${this.#cookie}; Path=${this.path}; HttpOnly; SameSite=Strict`;
  }

  /** Whether a Cookie header (RFC 6265 §4.2) has the one that was set. */
  isHeldBy(header: string | undefined): boolean {
    if (!this.#isUsed || header === undefined) return false;
    const values = header
      .split(';')
      .map((pair) => pair.trim())
      .filter((pair) => pair.startsWith(`${cookieName}=`))
      .map((pair) => pair.slice(cookieName.length + 1));
    return values.some((value) => timingSafeEqual(digest(value), this.#cookieDigest));
  }
}

function newSecret(bytes: number): string {
  return randomBytes(bytes).toString('base64url');
}

/** Texts of any length compare in the same time by their digests. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
