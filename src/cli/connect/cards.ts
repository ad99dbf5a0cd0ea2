/**
 * The keys of smart cards for a login: modules started while the connection is made, PINs asked once
 * and only for a key that the server takes, everything given back after. Runs in: user.
 */
import { userInfo } from 'node:os';
import { env } from 'node:process';
import { CardModule } from '../../../keys/pkcs11/card-module.ts';
import { CardSession } from '../../../keys/pkcs11/card-session.ts';
import type { CardProcess } from '../../../keys/pkcs11/card-start.ts';
import { anyModule, knownModules } from '../../../keys/pkcs11/known-modules.ts';
import { setNotDumpable } from '../../base/confine.native.ts';
import type { Identity } from '../../ssh/client/identities.ts';
import type { Terminal } from './terminal.ts';
import { type TokenChoice, TokenIdentities, type TokenKeys } from './token-identities.ts';
import { textOf, TokenPin } from './token-pin.ts';

export interface CardChoice extends TokenChoice {
  /** Begun before, for one module. */
  readonly process?: CardProcess | undefined;
  /** How long a module may take to start and to say what it has. */
  readonly listMs: number;
}

export class Cards {
  readonly #choice: CardChoice;
  readonly #terminal: Terminal;
  readonly #started: Promise<CardModule[]>;
  readonly #tokens: Promise<readonly TokenKeys[]>;
  readonly #closing = new AbortController();
  #hasFailed = false;

  /** Begins at once, so that it is done when the server has answered. */
  constructor(choice: CardChoice, terminal: Terminal) {
    this.#choice = choice;
    this.#terminal = terminal;
    // A PIN passes through this process: neither a core nor another process may show it.
    setNotDumpable();
    this.#started = this.#start();
    this.#tokens = this.#started.then((modules) => this.#look(modules));
    // Whoever asks for them sees the failure; with nobody asking it must not count as unhandled.
    this.#tokens.catch(() => undefined);
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
    if (first === undefined) this.#choice.process?.giveUp();
    const started = await Promise.all(
      paths.map((path) => this.#startOne(path, path === first ? this.#choice.process : undefined)),
    );
    return started.flatMap((one) => one ?? []);
  }

  async #startOne(path: string, process?: CardProcess): Promise<CardModule | undefined> {
    const { listMs } = this.#choice;
    const deadlines = { startMs: listMs, listMs };
    try {
      const { signal } = this.#closing;
      return await CardModule.start({ path, environment: env, deadlines, process, signal });
    } catch (error) {
      this.#warn(textOf(error));
      return undefined;
    }
  }

  /** Tokens of all modules; what fails is said, and is no reason to go without the others. */
  async #look(modules: readonly CardModule[]): Promise<readonly TokenKeys[]> {
    const lists = await Promise.all(
      modules.map(async (module) => {
        const sessions = await this.#orWarn(CardSession.all(module), []);
        return Promise.all(sessions.map((session) => this.#keysOf(session)));
      }),
    );
    return lists.flat();
  }

  async #keysOf(session: CardSession): Promise<TokenKeys> {
    return { session, keys: await this.#orWarn(session.keys(), [], session.name) };
  }

  /** What each token has, for a listing; with `isLogin` after its PIN. */
  async read(isLogin: boolean): Promise<readonly TokenKeys[]> {
    const tokens = await this.#tokens;
    if (!isLogin) return tokens;
    const read: TokenKeys[] = [];
    for (const { session } of tokens) {
      const pin = new TokenPin(session, this.#terminal);
      if (!(await this.#orWarn(pin.open(), false, session.name))) this.#hasFailed = true;
      read.push(await this.#keysOf(session));
    }
    return read;
  }

  async identities(): Promise<Identity[]> {
    const identities: Identity[] = [];
    for (const token of await this.#tokens) {
      const { session } = token;
      const ofToken = new TokenIdentities(token, this.#choice, this.#terminal);
      identities.push(...(await this.#orWarn(ofToken.identities(), [], session.name)));
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
    if (!this.#closing.signal.aborted) this.#terminal.line(`Warning: ${text}`);
  }

  /** Safe to call at any time. */
  async close(): Promise<void> {
    this.#closing.abort();
    const modules = await this.#started;
    await Promise.all(modules.map((module) => module.close()));
  }
}
