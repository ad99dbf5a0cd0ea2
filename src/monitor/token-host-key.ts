/**
 * A host key in a token (HostKey pkcs11:…): the PKCS#11 module runs in a process of its own as another
 * account, which is asked for each signature and started anew when it or the token was away. A PIN
 * that was refused is not tried again, since that would lock the token. Runs in: monitor.
 */
import type { KeyType } from '../../keys/algorithms.ts';
import { CardError } from '../../keys/pkcs11/card-error.ts';
import type { CardKey } from '../../keys/pkcs11/card-keys.ts';
import { type CardDeadlines, CardModule } from '../../keys/pkcs11/card-module.ts';
import { CardSession } from '../../keys/pkcs11/card-session.ts';
import { result } from '../../keys/pkcs11/cryptoki.ts';
import type { Pkcs11Uri } from '../../keys/pkcs11-uri.ts';
import type { Log } from '../audit/log.ts';
import { ConfigError, SshdeskError } from '../base/errors.ts';
import { pinFile, readPin } from './token-pin.ts';

/** As whom modules run; undefined: as the daemon, which is not root. */
export interface ModuleUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface TokenHost {
  readonly log: Log;
  readonly user: ModuleUser | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly deadlines?: CardDeadlines;
  readonly nowMs?: () => number;
}

/** The log has said it once, for all logins that it concerns. */
export class TokenAway extends SshdeskError {
  readonly code = 'SSHDESK_TOKEN_AWAY';
}

/** A key exchange waits for all of them together; LoginGraceTime is longer. */
const deadlines: CardDeadlines = {
  startMs: 15_000,
  listMs: 10_000,
  answerMs: 10_000,
  padMs: 10_000,
  signMs: 10_000,
};
/** Whoever connects again and again has no module started each time. */
const retryMs = 1000;
const refusedPins: readonly (number | undefined)[] = [
  result.pinIncorrect,
  result.pinInvalid,
  result.pinLengthRange,
  result.pinExpired,
  result.pinLocked,
];
/** Of what modules find their configuration by, and the service manager's own words. */
const keptFromModules =
  /^(?:NODE_|LD_|LISTEN_|NOTIFY_|CREDENTIALS_|SSHDESK_|SSH_AUTH_SOCK$|WATCHDOG_)/;

interface Opened {
  readonly module: CardModule;
  readonly session: CardSession;
  readonly key: CardKey;
}

/** `rsa-sha2-512` of RSA: for the signature that shows that all is well. */
function algorithmOf(type: KeyType): string {
  return type === 'ssh-rsa' ? 'rsa-sha2-512' : type;
}

function hex(id: Buffer): string {
  return id.toString('hex').replace(/../g, '%$&');
}

/** For a person who has to choose: as they are written in a URI. */
function listed(keys: readonly CardKey[]): string {
  return keys.length === 0
    ? 'it has none that SSH can use'
    : `it has ${keys.map(({ id, label, type }) => `object=${label};id=${hex(id)} (${type})`).join(', ')}`;
}

export class TokenHostKey {
  readonly uri: Pkcs11Uri;
  readonly #host: TokenHost;
  readonly #nowMs: () => number;
  #opened: Opened | undefined;
  #opening: Promise<Opened> | undefined;
  /** Known from the first time on; another key under its name is not this one. */
  #blob: Buffer | undefined;
  #why: string | undefined;
  #retryAtMs = 0;
  /** Of the file whose PIN was given last, and of the one whose PIN was refused. */
  #givenPin: string | undefined;
  #refusedPin: string | undefined;
  #isRetired = false;

  constructor(uri: Pkcs11Uri, host: TokenHost) {
    this.uri = uri;
    this.#host = host;
    this.#nowMs = host.nowMs ?? (() => performance.now());
  }

  /** The key, after a signature of it was tried. Rejects with CardError or ConfigError. */
  async check(): Promise<CardKey> {
    const opened = await this.#open();
    try {
      await this.#signWith(opened, algorithmOf(opened.key.type), Buffer.from('sshdesk'));
    } catch (error) {
      await this.#drop(opened);
      throw error;
    }
    return opened.key;
  }

  /** `string algorithm · string value`. Rejects with TokenAway while it cannot. */
  async sign(algorithm: string, data: Buffer): Promise<Buffer> {
    const before = this.#opened;
    if (before !== undefined) {
      try {
        return await this.#signWith(before, algorithm, data);
      } catch (error) {
        if (!isLoss(error)) throw error;
        // It may be the module's process only, or a card that was put back.
        await this.#drop(before);
      }
    }
    let opened: Opened | undefined;
    try {
      opened = await this.#open();
      const signature = await this.#signWith(opened, algorithm, data);
      this.#back();
      return signature;
    } catch (error) {
      await this.#drop(opened);
      throw this.#away(error);
    } finally {
      if (this.#isRetired) await this.close();
    }
  }

  /** No configuration names it any more; connections that are there may still exchange keys. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    await this.close();
  }

  async close(): Promise<void> {
    await this.#drop(this.#opened);
  }

  async #signWith({ session, key }: Opened, algorithm: string, data: Buffer): Promise<Buffer> {
    const contextPin = (): Promise<Buffer> => Promise.try(() => this.#pin());
    return this.#givingPin(async () => (await session.sign(key, algorithm, data, contextPin)).blob);
  }

  async #drop(opened: Opened | undefined): Promise<void> {
    if (opened === undefined) return;
    if (this.#opened === opened) this.#opened = undefined;
    await opened.module.close();
  }

  /** One for all who wait. */
  #open(): Promise<Opened> {
    if (this.#opened !== undefined) return Promise.resolve(this.#opened);
    if (this.#opening === undefined && this.#nowMs() < this.#retryAtMs) {
      return Promise.reject(new TokenAway(`HostKey ${this.uri.name}: ${this.#why}`));
    }
    this.#opening ??= this.#start().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #start(): Promise<Opened> {
    const { environment, user } = this.#host;
    const module = await CardModule.start({
      path: this.uri.modulePath ?? '',
      environment: Object.fromEntries(
        Object.entries(environment).filter(([name]) => !keptFromModules.test(name)),
      ),
      deadlines: this.#host.deadlines ?? deadlines,
      ...(user === undefined ? {} : { user: { uid: user.uid, gid: user.gid } }),
    });
    try {
      const session = await this.#token(module);
      if (session.wantsPin) await this.#unlock(session);
      const key = await this.#key(session);
      this.#blob ??= key.blob;
      if (!this.#blob.equals(key.blob)) {
        throw new ConfigError('another key has come into its place; reload if that is meant');
      }
      this.#opened = { module, session, key };
      return this.#opened;
    } catch (error) {
      await module.close();
      throw error;
    }
  }

  async #token(module: CardModule): Promise<CardSession> {
    const all = await CardSession.all(module);
    const { token } = this.uri;
    const fitting = all.filter((session) => token === undefined || session.token.label === token);
    const [found, another] = fitting;
    const labels = all.map((session) => `token=${session.token.label}`).join(', ');
    if (found === undefined) {
      const as = this.#host.user;
      const hint =
        as === undefined
          ? ''
          : `; the module runs as ${as.name} (HostKeyModuleUser of sshdesk_config)`;
      throw new CardError(
        `${module.path} has no such token${labels === '' ? '' : ` (there are: ${labels})`}${hint}`,
      );
    }
    if (another !== undefined) {
      throw new ConfigError(`several tokens fit (${labels}): name one by token=`);
    }
    return found;
  }

  /** Whatever it is given for: one that was refused is not given again. */
  #pin(): Buffer {
    const { pinSource } = this.uri;
    if (pinSource === undefined) {
      throw new ConfigError('the token wants a PIN: add ?pin-source=file:/etc/sshdesk/hsm.pin');
    }
    const file = pinFile(pinSource, this.#host.environment);
    const { pin, identity } = readPin(file, process.geteuid?.() ?? 0);
    if (identity === this.#refusedPin) {
      pin.fill(0);
      throw new ConfigError(`${file}: its PIN was refused and is not tried again: change it`);
    }
    this.#givenPin = identity;
    return pin;
  }

  async #givingPin<Value>(run: () => Promise<Value>): Promise<Value> {
    try {
      return await run();
    } catch (error) {
      if (error instanceof CardError && refusedPins.includes(error.result)) {
        this.#refusedPin = this.#givenPin;
      }
      throw error;
    }
  }

  async #unlock(session: CardSession): Promise<void> {
    const { pinState } = session;
    if (pinState === 'locked') {
      throw new ConfigError('its PIN is locked: unlock it with the tools of the token');
    }
    if (pinState === 'last') {
      throw new ConfigError('one try is left for its PIN, and is not made here');
    }
    const pin = this.#pin();
    try {
      await session.logIn(pin);
    } catch (error) {
      // Modules have other words for a wrong PIN, too: it is tried again only where the token has gone.
      if (error instanceof CardError && !error.isGone) {
        this.#refusedPin = this.#givenPin;
      }
      throw error;
    }
  }

  async #key(session: CardSession): Promise<CardKey> {
    const { object, id } = this.uri;
    const keys = await session.keys();
    const fitting = keys.filter(
      (key) =>
        (object === undefined || key.label === object) && (id === undefined || key.id.equals(id)),
    );
    const [found, another] = fitting;
    if (found === undefined) {
      throw new CardError(`no such key in the token; ${listed(keys)}`);
    }
    if (another !== undefined) {
      throw new ConfigError(`several keys fit: name one by object= or id=; ${listed(fitting)}`);
    }
    return found;
  }

  #back(): void {
    if (this.#why !== undefined) {
      this.#why = undefined;
      this.#host.log.info(`HostKey ${this.uri.name}: it is back`);
    }
  }

  #away(error: unknown): Error {
    if (error instanceof TokenAway || !isLoss(error)) return error as Error;
    this.#retryAtMs = this.#nowMs() + retryMs;
    if (this.#why === undefined) {
      this.#host.log.error(
        `HostKey ${this.uri.name}: ${error.detail}: logins that need it fail until it is back`,
      );
    }
    this.#why = error.detail;
    return new TokenAway(`HostKey ${this.uri.name}: ${error.detail}`);
  }
}

/** Not what only this signature failed by, such as an algorithm that the token does not have. */
function isLoss(error: unknown): error is SshdeskError {
  return error instanceof ConfigError || (error instanceof CardError && error.result !== 0);
}
