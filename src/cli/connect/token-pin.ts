/**
 * The PIN of one token: asked once, by name, on the terminal or the reader's pad, with what is known of
 * the tries that are left. Never tried again by itself. Runs in: user.
 */
import { CardError } from '../../../keys/pkcs11/card-error.ts';
import type { CardSession } from '../../../keys/pkcs11/card-session.ts';
import type { Terminal } from './terminal.ts';

/** Null: the reader asks on its pad. Undefined: none was given, and why has been said. */
export type GivenPin = Buffer | null | undefined;

/** Throws on what is no failure of a card. */
export function textOf(error: unknown): string {
  if (error instanceof CardError) return error.detail;
  throw error;
}

export class TokenPin {
  readonly #session: CardSession;
  readonly #terminal: Terminal;
  /** It was wrong, or nobody gave one: said, and not asked for again. */
  #isOut = false;

  constructor(session: CardSession, terminal: Terminal) {
    this.#session = session;
    this.#terminal = terminal;
  }

  say(text: string): void {
    this.#terminal.line(`Warning: ${this.#session.name}: ${text}`);
  }

  /** False: without the PIN; why has been said. */
  async open(): Promise<boolean> {
    if (!this.#session.wantsPin) return true;
    const pin = await this.unlock();
    pin?.fill(0);
    return pin !== undefined;
  }

  /** Logs in; the PIN that fitted, for a key that wants it once more. The caller erases it. */
  async unlock(): Promise<GivenPin> {
    if (this.#isOut) return undefined;
    // Until it is known to fit: a failure on the way is no reason to ask again, either.
    this.#isOut = true;
    const session = this.#session;
    await session.refresh();
    if (session.pinState === 'locked') {
      this.say('its PIN is locked: unlock it with the tools of the card (its PUK)');
      return undefined;
    }
    const pin = await this.ask();
    if (pin === undefined) return undefined;
    const kept = pin && Buffer.from(pin);
    try {
      await session.logIn(pin);
      this.#isOut = false;
      return kept;
    } catch (error) {
      kept?.fill(0);
      this.say(textOf(error));
      return undefined;
    }
  }

  async ask(): Promise<GivenPin> {
    const session = this.#session;
    if (session.pinState === 'last') {
      this.say('only one try is left: after another wrong PIN it is locked');
    } else if (session.pinState === 'low') {
      this.say('a wrong PIN was given before: few tries are left');
    }
    if (session.hasPad) {
      this.#terminal.line(`Enter the PIN of ${session.name} on the pad of its reader.`);
      return null;
    }
    const pin = await this.#terminal.askSecret(`Enter PIN for ${session.name}: `);
    if (pin === null) this.say('there is no terminal to ask its PIN on');
    // An empty one would count as wrong, and lock the card.
    return pin === null || pin.length === 0 ? undefined : pin;
  }
}
