/**
 * One token and what has been unlocked on it: its keys, its PIN, signatures in the form of SSH, each
 * checked before it leaves. Runs in: user (client), monitor (host keys).
 */
import { verify } from '../signature.ts';
import { CardError } from './card-error.ts';
import { type CardKey, cardKeys, hasPrivateHalf } from './card-keys.ts';
import type { CardModule, CardToken, PrivateHandle } from './card-module.ts';
import { signatureBlob, signingOf } from './card-signature.ts';
import { tokenFlag } from './cryptoki.ts';

/** For keys that want the PIN for each signature; null: it is typed on the reader's pad. */
export type ContextPin = () => Promise<Buffer | null>;

export interface CardSignature {
  /** `string algorithm · string signature` */
  readonly blob: Buffer;
  /** What the card itself took. */
  readonly microseconds: number;
}

export type PinState = 'good' | 'low' | 'last' | 'locked';

export class CardSession {
  readonly module: CardModule;
  #token: CardToken;
  #isLoggedIn = false;
  readonly #halves = new Map<string, PrivateHandle>();

  constructor(module: CardModule, token: CardToken) {
    this.module = module;
    this.#token = token;
  }

  /** The sessions of all tokens that are there. */
  static async all(module: CardModule): Promise<CardSession[]> {
    return (await module.tokens()).map((token) => new CardSession(module, token));
  }

  get token(): CardToken {
    return this.#token;
  }

  /** As a person knows it. */
  get name(): string {
    const { label, serial } = this.#token;
    return `card '${label}'${serial === '' ? '' : ` (serial ${serial})`}`;
  }

  get wantsPin(): boolean {
    return !this.#isLoggedIn && this.#has(tokenFlag.loginRequired);
  }

  /** The reader has a pad of its own, and asks there. */
  get hasPad(): boolean {
    return this.#has(tokenFlag.protectedAuthenticationPath);
  }

  get pinState(): PinState {
    if (this.#has(tokenFlag.userPinLocked)) return 'locked';
    if (this.#has(tokenFlag.userPinFinalTry)) return 'last';
    return this.#has(tokenFlag.userPinCountLow) ? 'low' : 'good';
  }

  #has(flag: number): boolean {
    return (this.#token.flags & flag) !== 0;
  }

  /** The flags say how many tries are left: as they are now, not as they were when it was listed. */
  async refresh(): Promise<void> {
    const { slot, serial, label } = this.#token;
    const now = (await this.module.tokens()).find(
      (token) => token.slot.equals(slot) && token.serial === serial && token.label === label,
    );
    if (now === undefined) throw new CardError('the card was removed');
    this.#token = now;
  }

  /** Those that are visible now, without public halves whose private one is known to be elsewhere. */
  async keys(): Promise<readonly CardKey[]> {
    const objects = await this.module.objects(this.#token);
    return cardKeys(objects).filter((key) => hasPrivateHalf(objects, key) !== false);
  }

  /** Erases the PIN. Null: asked on the pad. Tried once; rejects with CardError. */
  async logIn(pin: Buffer | null): Promise<void> {
    await this.module.logIn(this.#token, pin);
    this.#isLoggedIn = true;
  }

  async isAlwaysAuthenticate(key: CardKey): Promise<boolean> {
    return (await this.#half(key)).isAlwaysAuthenticate;
  }

  /** Kept: a handle is good for as long as the session that it was found in. */
  async #half(key: CardKey): Promise<PrivateHandle> {
    const name = key.blob.toString('base64');
    const known = this.#halves.get(name);
    if (known !== undefined) return known;
    const half = await this.module.findKey(this.#token, key);
    this.#halves.set(name, half);
    return half;
  }

  /** Rejects with CardError, also for a signature that is not one of this key. */
  async sign(
    key: CardKey,
    algorithm: string,
    data: Buffer,
    contextPin: ContextPin,
  ): Promise<CardSignature> {
    const how = signingOf(algorithm, data, this.#token.mechanisms);
    if (how === undefined) throw new CardError(`it has no mechanism for ${algorithm}`, 0);
    const { key: half, isAlwaysAuthenticate } = await this.#half(key);
    const pin = isAlwaysAuthenticate ? await contextPin() : undefined;
    const { signature, microseconds } = await this.module.sign(this.#token, half, how, pin);
    const blob = signatureBlob(algorithm, signature);
    if (!verify(algorithm, key.blob, blob, data)) {
      throw new CardError('its signature is not one of this key', 0);
    }
    return { blob, microseconds };
  }
}
