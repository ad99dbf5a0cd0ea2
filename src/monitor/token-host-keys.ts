/** All host keys in tokens that one configuration names (HostKey pkcs11:…). Runs in: monitor. */
import { parsePkcs11Uri } from '../../keys/pkcs11-uri.ts';
import type { HostKey } from './host-keys.ts';
import { type TokenHost, TokenHostKey } from './token-host-key.ts';

export class TokenHostKeys {
  readonly #host: TokenHost;
  /** `FILE:LINE` of each. */
  readonly #places: ReadonlyMap<string, string>;
  readonly #keys: TokenHostKey[] = [];

  constructor(host: TokenHost, places: ReadonlyMap<string, string> = new Map()) {
    this.#host = host;
    this.#places = places;
  }

  placeOf(text: string): string {
    return this.#places.get(text) ?? 'command-line';
  }

  /** Rejects with an SshdeskError whose `detail` says why it cannot be used. */
  async load(text: string): Promise<HostKey> {
    const key = new TokenHostKey(parsePkcs11Uri(text), this.#host);
    this.#keys.push(key);
    const { type, blob } = await key.check();
    return {
      type,
      publicBlob: blob,
      certificate: undefined,
      sign: (algorithm, data) => key.sign(algorithm, data),
    };
  }

  /** Another configuration holds: connections that are there may still exchange keys. */
  async retire(): Promise<void> {
    await Promise.all(this.#keys.map((key) => key.retire()));
  }

  async close(): Promise<void> {
    await Promise.all(this.#keys.map((key) => key.close()));
  }
}
