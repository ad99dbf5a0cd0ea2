/**
 * The keys of smart cards for a login: modules started while the connection is made, PINs asked once
 * and only for a key that the server takes, everything given back after. Runs in: user.
 */
import { userInfo } from 'node:os';
import { env } from 'node:process';
import { setNotDumpable } from '../../base/confine.native.ts';
import { CardError } from '../../../keys/pkcs11/card-error.ts';
import type { CardKey } from '../../../keys/pkcs11/card-keys.ts';
import { CardModule } from '../../../keys/pkcs11/card-module.ts';
import { CardSession } from '../../../keys/pkcs11/card-session.ts';
import { type CardProcess, giveUpCardProcess } from '../../../keys/pkcs11/card-start.ts';
import { anyModule, knownModules } from '../../../keys/pkcs11/known-modules.ts';
import { publicLine } from '../../../keys/public-key.ts';
import { Reader } from '../../ssh/wire/reader.ts';
import { parseKey } from '../../ssh/client/identities.ts';
import type { Identity, Signer } from '../../ssh/client/identities.ts';
import type { Terminal } from './terminal.ts';

export interface CardChoice {
  /** A path, or `anyModule`. */
  readonly module: string;
  readonly isBatch: boolean;
  /** Begun before, for one module. */
  readonly process?: CardProcess | undefined;
  /** How long a module may take to start and to say what it has. */
  readonly listMs: number;
}

export class Cards {
  readonly #choice: CardChoice;
  readonly #terminal: Terminal;
  readonly #started: Promise<CardModule[]>;
  #isClosed = false;
  #hasFailed = false;

  /** Begins at once, so that it is done when the server has answered. */
  constructor(choice: CardChoice, terminal: Terminal) {
    this.#choice = choice;
    this.#terminal = terminal;
    // A PIN passes through this process: neither a core nor another process may show it.
    setNotDumpable();
    this.#started = this.#start();
  }

  async #start(): Promise<CardModule[]> {
    const { module } = this.#choice;
    // The account's, as for ssh_config: not that of $HOME, which sudo leaves.
    const home = userInfo().homedir;
    const paths = module === anyModule ? await knownModules(home) : [module];
    if (paths.length === 0) {
      this.#warn(
        'no PKCS#11 module is known here; install opensc-pkcs11, or name one: --pkcs11=/PATH',
      );
    }
    const [first] = paths;
    if (first === undefined && this.#choice.process) giveUpCardProcess(this.#choice.process);
    const started = await Promise.all(
      paths.map((path) => this.#startOne(path, path === first ? this.#choice.process : undefined)),
    );
    return started.flatMap((one) => one ?? []);
  }

  async #startOne(path: string, process?: CardProcess): Promise<CardModule | undefined> {
    const { listMs } = this.#choice;
    const deadlines = { startMs: listMs, answerMs: listMs };
    try {
      const module = await CardModule.start({ path, environment: env, deadlines, process });
      if (!this.#isClosed) return module;
      await module.close();
    } catch (error) {
      this.#warn(textOf(error));
    }
    return undefined;
  }

  /** Tokens of all modules; what fails is said, and is no reason to go without the others. */
  async sessions(): Promise<CardSession[]> {
    const modules = await this.#started;
    const lists = await Promise.all(
      modules.map((module) => this.#orWarn(CardSession.all(module), [])),
    );
    return lists.flat();
  }

  /** What each token has, for a listing; with `isLogin` after its PIN. */
  async read(
    isLogin: boolean,
  ): Promise<readonly { session: CardSession; keys: readonly CardKey[] }[]> {
    const read = [];
    for (const session of await this.sessions()) {
      const token = new TokenIdentities(session, this.#choice, this.#terminal);
      if (isLogin && !(await this.#orWarn(token.unlock(), false, session.name))) {
        this.#hasFailed = true;
      }
      const keys = await this.#orWarn(session.keys(), [], session.name);
      read.push({ session, keys });
    }
    return read;
  }

  async identities(): Promise<Identity[]> {
    const identities: Identity[] = [];
    for (const session of await this.sessions()) {
      const token = new TokenIdentities(session, this.#choice, this.#terminal);
      identities.push(...(await this.#orWarn(token.identities(), [], session.name)));
    }
    return identities;
  }

  async #orWarn<Value>(promise: Promise<Value>, otherwise: Value, whose?: string): Promise<Value> {
    try {
      return await promise;
    } catch (error) {
      this.#warn(whose === undefined ? textOf(error) : `${whose}: ${textOf(error)}`);
      return otherwise;
    }
  }

  /** Something was to be read and could not be; it has been said. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  #warn(text: string): void {
    this.#hasFailed = true;
    if (!this.#isClosed) this.#terminal.line(`Warning: ${text}`);
  }

  /** Safe to call at any time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const modules = await this.#started;
    await Promise.all(modules.map((module) => module.close()));
  }
}

/** Throws on what is no failure of a card. */
export function textOf(error: unknown): string {
  if (error instanceof CardError) return error.detail;
  throw error;
}

class TokenIdentities {
  readonly #session: CardSession;
  readonly #choice: CardChoice;
  readonly #terminal: Terminal;
  /** Its PIN was wrong, or nobody gave one: said, and not asked for again. */
  #isOut = false;

  constructor(session: CardSession, choice: CardChoice, terminal: Terminal) {
    this.#session = session;
    this.#choice = choice;
    this.#terminal = terminal;
  }

  /** False: without the PIN; why has been said. */
  async unlock(): Promise<boolean> {
    if (!this.#session.wantsPin) return true;
    const pin = await this.#unlockToken();
    pin?.fill(0);
    return pin !== undefined;
  }

  async identities(): Promise<Identity[]> {
    const session = this.#session;
    let keys = await session.keys();
    if (this.#choice.isBatch && session.wantsPin) {
      if (keys.length > 0) {
        this.#say('it wants its PIN, and --batch asks for nothing: its keys are not used');
      }
      return [];
    }
    // A token that hides its public halves too. Without a module that was asked for by name this
    // would ask for the PIN of every card that holds no keys.
    if (keys.length === 0 && session.wantsPin && this.#choice.module !== anyModule) {
      if (!(await this.unlock())) return [];
      keys = await session.keys();
    }
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
        const sign: Signer['sign'] = (data, hash) => this.#sign(key, data, hash, pin ?? null);
        return pin === undefined ? null : { publicKey, sign };
      },
    };
  }

  /**
   * Undefined: it cannot be had. A buffer: the PIN, for a key that wants it again with each signature.
   */
  async #unlockFor(key: CardKey): Promise<Buffer | null | undefined> {
    const session = this.#session;
    try {
      let pin: Buffer | null = null;
      if (session.wantsPin) {
        const given = await this.#unlockToken();
        if (given === undefined) return undefined;
        pin = given;
      }
      if (pin !== null && !(await session.isAlwaysAuthenticate(key))) {
        pin.fill(0);
        pin = null;
      }
      return pin;
    } catch (error) {
      this.#say(textOf(error));
      return undefined;
    }
  }

  /** The PIN that fits, or null where the pad took it; undefined: none was given, or it was wrong. */
  async #unlockToken(): Promise<Buffer | null | undefined> {
    if (this.#isOut) return undefined;
    const session = this.#session;
    await session.refresh();
    if (session.pinState === 'locked') {
      this.#isOut = true;
      this.#say('its PIN is locked: unlock it with the tools of the card (its PUK)');
      return undefined;
    }
    const pin = await this.#askPin();
    if (pin === undefined) {
      this.#isOut = true;
      return undefined;
    }
    const kept = pin && Buffer.from(pin);
    try {
      await session.logIn(pin);
      return kept;
    } catch (error) {
      kept?.fill(0);
      this.#isOut = true;
      this.#say(textOf(error));
      return undefined;
    }
  }

  async #askPin(): Promise<Buffer | null | undefined> {
    const session = this.#session;
    if (session.pinState === 'last') {
      this.#say('only one try is left: after another wrong PIN it is locked');
    } else if (session.pinState === 'low') {
      this.#say('a wrong PIN was given before: few tries are left');
    }
    if (session.hasPad) {
      this.#terminal.line(`Enter the PIN of ${session.name} on the pad of its reader.`);
      return null;
    }
    const pin = await this.#terminal.askSecret(`Enter PIN for ${session.name}: `);
    if (pin === null) this.#say('there is no terminal to ask its PIN on');
    // An empty one would count as wrong, and lock the card.
    return pin === null || pin.length === 0 ? undefined : pin;
  }

  async #sign(
    key: CardKey,
    data: Buffer,
    hash: string | undefined,
    pin: Buffer | null,
  ): Promise<Buffer> {
    const algorithm =
      key.type === 'ssh-rsa' ? `rsa-sha2-${hash === 'sha256' ? 256 : 512}` : key.type;
    try {
      const { blob } = await this.#session.sign(key, algorithm, data, async () => {
        const given = pin ?? (await this.#askPin());
        if (given === undefined) throw new CardError('no PIN was given', 0);
        return given;
      });
      const from = new Reader(blob);
      from.string();
      return from.string();
    } finally {
      pin?.fill(0);
    }
  }

  #say(text: string): void {
    this.#terminal.line(`Warning: ${this.#session.name}: ${text}`);
  }
}
