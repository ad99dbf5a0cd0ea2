/**
 * All host keys in tokens that one configuration names (HostKey pkcs11:…). At a reload a key whose token
 * is away just then stays the one that it was. Runs in: monitor.
 */
import { parsePkcs11Uri } from '../../keys/pkcs11-uri.ts';
import { SshdeskError } from '../base/errors.ts';
import type { HostKey } from './host-keys.ts';
import { type TokenHost, TokenHostKey } from './token-host-key.ts';

interface Held {
  readonly token: TokenHostKey;
  readonly hostKey: HostKey;
}

export interface TokenHostKeysOptions {
  /** `FILE:LINE` of each. */
  readonly places?: ReadonlyMap<string, string>;
  /** Those of the configuration that holds until now. */
  readonly before?: TokenHostKeys | undefined;
}

export class TokenHostKeys {
  readonly #host: TokenHost;
  readonly #places: ReadonlyMap<string, string>;
  readonly #before: TokenHostKeys | undefined;
  readonly #held: Held[] = [];

  constructor(host: TokenHost, { places = new Map(), before }: TokenHostKeysOptions = {}) {
    this.#host = host;
    this.#places = places;
    this.#before = before;
  }

  placeOf(text: string): string {
    return this.#places.get(text) ?? 'command-line';
  }

  /** Rejects with an SshdeskError whose `detail` says why it cannot be used. */
  async load(text: string): Promise<HostKey> {
    const token = new TokenHostKey(parsePkcs11Uri(text), this.#host);
    try {
      const { type, blob } = await token.check();
      const hostKey: HostKey = {
        type,
        publicBlob: blob,
        certificate: undefined,
        sign: (algorithm, data) => token.sign(algorithm, data),
      };
      this.#held.push({ token, hostKey });
      return hostKey;
    } catch (error) {
      await token.close();
      const known = this.#before?.find(text);
      if (known === undefined || !(error instanceof SshdeskError)) {
        throw error;
      }
      this.#held.push(known);
      this.#host.log.error(
        `${this.placeOf(text)}: HostKey ${token.uri.name}: ${error.detail}: the key that it was is still offered`,
      );
      return known.hostKey;
    }
  }

  find(text: string): Held | undefined {
    return this.#held.find(({ token }) => token.uri.text === text);
  }

  /** `next` holds: connections that are there may still exchange keys with the others. */
  async retire(next: TokenHostKeys): Promise<void> {
    const left = this.#held.filter((held) => !next.#held.includes(held));
    await Promise.all(left.map(({ token }) => token.retire()));
  }

  async close(): Promise<void> {
    await Promise.all(this.#held.map(({ token }) => token.close()));
  }
}
