/**
 * The keys of one token as a client offers them: the PIN is wanted, and the card touched, for a key
 * that the server takes. Runs in: user.
 */
import type { CardKey } from '../../../keys/pkcs11/card-keys.ts';
import type { CardSession } from '../../../keys/pkcs11/card-session.ts';
import { anyModule } from '../../../keys/pkcs11/known-modules.ts';
import { publicLine } from '../../../keys/public-key.ts';
import { parseKey } from '../../ssh/client/identities.ts';
import type { Identity, Signer } from '../../ssh/client/identities.ts';
import { Reader } from '../../ssh/wire/reader.ts';
import type { Terminal } from './terminal.ts';
import { type GivenPin, textOf, TokenPin } from './token-pin.ts';

export interface TokenKeys {
  readonly session: CardSession;
  /** As far as they are visible without the PIN. */
  readonly keys: readonly CardKey[];
}

export interface TokenChoice {
  /** A path, or `anyModule`. */
  readonly module: string;
  readonly isBatch: boolean;
}

export class TokenIdentities {
  readonly #session: CardSession;
  readonly #keys: readonly CardKey[];
  readonly #choice: TokenChoice;
  readonly #pin: TokenPin;

  constructor({ session, keys }: TokenKeys, choice: TokenChoice, terminal: Terminal) {
    this.#session = session;
    this.#keys = keys;
    this.#choice = choice;
    this.#pin = new TokenPin(session, terminal);
  }

  async identities(): Promise<Identity[]> {
    const session = this.#session;
    if (this.#choice.isBatch && session.wantsPin) {
      if (this.#keys.length > 0 || this.#choice.module !== anyModule) {
        this.#pin.say('it wants its PIN, and --batch asks for nothing: its keys are not used');
      }
      return [];
    }
    // A token may hide its public halves too. Where no module was asked for by name, this would ask
    // for the PIN of every card that holds no keys.
    const isHidden = this.#keys.length === 0 && session.wantsPin;
    if (!isHidden || this.#choice.module === anyModule) return this.#offer(this.#keys);
    return (await this.#pin.open()) ? this.#offer(await session.keys()) : [];
  }

  #offer(keys: readonly CardKey[]): Identity[] {
    return keys.flatMap((key) => this.#identity(key) ?? []);
  }

  #identity(key: CardKey): Identity | null {
    const publicKey = parseKey(publicLine(key.blob));
    if (!publicKey) return null;
    const label = `${this.#session.name}: ${key.label || key.id.toString('hex')}`;
    return {
      label,
      publicKey,
      unlock: async () => {
        const pin = await this.#unlockFor(key);
        if (pin === undefined) return null;
        const sign: Signer['sign'] = (data, hash) => this.#sign(key, data, hash, pin);
        return { publicKey, sign };
      },
    };
  }

  /** A buffer: the PIN, for a key that wants it again with each signature; null: none, or the pad's. */
  async #unlockFor(key: CardKey): Promise<GivenPin> {
    const session = this.#session;
    let pin: GivenPin = null;
    try {
      if (!session.wantsPin) {
        return (await session.isAlwaysAuthenticate(key)) ? await this.#pin.ask() : null;
      }
      pin = await this.#pin.unlock();
      if (!pin || (await session.isAlwaysAuthenticate(key))) return pin;
      pin.fill(0);
      return null;
    } catch (error) {
      pin?.fill(0);
      this.#pin.say(textOf(error));
      return undefined;
    }
  }

  async #sign(
    key: CardKey,
    data: Buffer,
    hash: string | undefined,
    pin: Buffer | null,
  ): Promise<Buffer> {
    const rsa = hash === 'sha256' ? 'rsa-sha2-256' : 'rsa-sha2-512';
    const algorithm = key.type === 'ssh-rsa' ? rsa : key.type;
    try {
      const { blob } = await this.#session.sign(key, algorithm, data, () => Promise.resolve(pin));
      const from = new Reader(blob);
      from.string();
      return from.string();
    } finally {
      pin?.fill(0);
    }
  }
}
