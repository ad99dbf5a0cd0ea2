/**
 * A PKCS#11 module in a process of its own, seen from outside: started, asked, waited for no longer
 * than each answer may take, ended. However the module fails, what waits for it fails with a
 * `CardError`. Runs in: user (client), monitor (host keys).
 */
import type { ChildProcess } from 'node:child_process';
import { SeqpacketLink } from '../../src/base/link.native.ts';
import { closeDescriptor } from '../../src/base/socket.native.ts';
import type { Call } from '../../src/ssh/wire/call.ts';
import type { AnyFields, Values } from '../../src/ssh/wire/field.ts';
import { CallFailure, Peer } from '../../src/ssh/wire/peer.ts';
import * as calls from './calls.ts';
import { type CardProcess, type CardStart, startCardProcess } from './card-start.ts';
import { CardError, meaningOf } from './card-error.ts';

export interface CardModuleOptions extends CardStart {
  /** Checked by the process that loads it (module-file.ts). */
  readonly path: string;
  readonly deadlines?: Partial<CardDeadlines>;
  /** Begun before; taken over. */
  readonly process?: CardProcess | undefined;
  /** Gives up at once, whatever it is doing. */
  readonly signal?: AbortSignal;
}

export interface CardDeadlines {
  readonly startMs: number;
  readonly listMs: number;
  readonly answerMs: number;
  /** A person types on the pad of a reader. */
  readonly padMs: number;
  /** A person touches the card. */
  readonly signMs: number;
}

const usualDeadlines: CardDeadlines = {
  startMs: 30_000,
  listMs: 30_000,
  answerMs: 30_000,
  padMs: 120_000,
  signMs: 60_000,
};
const finalizeMs = 2000;
/** From the end of the link to the news of how the process ended. */
const reapMs = 2000;
const noPin = Buffer.alloc(0);

type Reply<C> = C extends Call<AnyFields, infer R> ? Values<R> : never;
export type CardToken = Reply<typeof calls.tokens>['tokens'][number];
export type CardObject = Reply<typeof calls.objects>['objects'][number];
export type PrivateHandle = Reply<typeof calls.findKey>;

export class CardModule {
  readonly #child: ChildProcess;
  readonly #peer: Peer;
  readonly #deadlines: CardDeadlines;
  /** One call at a time: a module is single-threaded, and a deadline begins with its own call. */
  #turn: Promise<unknown> = Promise.resolve();
  #doing = 'starting';
  #waiting = 0;
  #path: string;
  #why: CardError | undefined;
  #end: (why: CardError) => void = () => undefined;
  /** Resolves, and never rejects, when the process is gone or was given up. */
  readonly ended: Promise<CardError>;

  /** Resolves when the module is loaded. Rejects with CardError. */
  static async start(options: CardModuleOptions): Promise<CardModule> {
    const module = new CardModule(options);
    await module.#load();
    return module;
  }

  private constructor(options: CardModuleOptions) {
    this.#path = options.path;
    this.#deadlines = { ...usualDeadlines, ...options.deadlines };
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const { child, link } = options.process ?? startCardProcess(options);
    this.#child = child;
    child.ref();
    this.#peer = new Peer(new SeqpacketLink(link), { closeDescriptor, rejectDescriptors: true });
    this.#child.on('error', (error) => this.#finish(`cannot be started: ${error.message}`));
    const onExit = (code: number | null, signal: NodeJS.Signals | null): void => {
      this.#finish(`ended while ${this.#doing} (${signal ?? `exit status ${code}`})`);
    };
    // One that was begun before may have ended before.
    if (child.exitCode !== null || child.signalCode !== null) {
      onExit(child.exitCode, child.signalCode);
    }
    child.on('exit', onExit);
    const giveUp = (): void => {
      if (this.#waiting > 0) this.#finish('was given up');
    };
    options.signal?.addEventListener('abort', giveUp, { once: true });
    if (options.signal?.aborted) this.#finish('was given up');
    this.#peer.onEnd = (error) => {
      const said = error === undefined ? 'hung up' : `answered nonsense (${error.message})`;
      setTimeout(() => this.#finish(`${said} while ${this.#doing}`), error ? 0 : reapMs).unref();
    };
  }

  /** The module's file, without links once it is loaded. */
  get path(): string {
    return this.#path;
  }

  async #load(): Promise<void> {
    try {
      const { startMs } = this.#deadlines;
      const { resolved } = await this.#call(calls.load, { path: this.#path }, 'loading', startMs);
      this.#path = resolved;
    } catch (error) {
      this.#finish('was given up');
      if (error instanceof CardError && error.result !== undefined)
        throw loadError(this.#path, error);
      throw error;
    }
  }

  /** The tokens that are in their readers now, with the flags of now. */
  async tokens(): Promise<readonly CardToken[]> {
    return (await this.#call(calls.tokens, {}, 'looking for cards', this.#deadlines.listMs)).tokens;
  }

  /** What is visible: without its PIN most tokens hide the private keys. */
  async objects(token: CardToken): Promise<readonly CardObject[]> {
    const all: CardObject[] = [];
    for (let isMore = true; isMore && all.length < calls.maxObjects * 3; ) {
      const request = { slot: token.slot, from: all.length };
      const { listMs } = this.#deadlines;
      const page = await this.#call(calls.objects, request, 'reading the card', listMs);
      all.push(...page.objects);
      isMore = page.isMore && page.objects.length > 0;
    }
    return all;
  }

  /** Erases the PIN. Null: the reader asks on its own pad. */
  async logIn(token: CardToken, pin: Buffer | null): Promise<void> {
    const { answerMs, padMs } = this.#deadlines;
    const request = { slot: token.slot, pin: pin ?? noPin };
    await this.#call(calls.logIn, request, 'checking the PIN', pin ? answerMs : padMs).finally(() =>
      pin?.fill(0),
    );
  }

  findKey(
    token: CardToken,
    key: { readonly id: Buffer; readonly label: string; readonly keyType: number },
  ): Promise<PrivateHandle> {
    const { id, label, keyType } = key;
    return this.#call(calls.findKey, { slot: token.slot, id, label, keyType }, 'finding the key');
  }

  /**
   * The bare signature. `contextPin` is for keys that want the PIN each time: erased; null: the pad;
   * undefined: the key is none of those.
   */
  async sign(
    token: CardToken,
    key: Buffer,
    how: { readonly mechanism: number; readonly data: Buffer },
    contextPin?: Buffer | null,
  ): Promise<{ readonly signature: Buffer; readonly microseconds: number }> {
    const { signMs, padMs } = this.#deadlines;
    const request = {
      slot: token.slot,
      key,
      ...how,
      isContextLogin: contextPin !== undefined,
      pin: contextPin ?? noPin,
    };
    const timeoutMs = contextPin === null ? Math.max(signMs, padMs) : signMs;
    return await this.#call(calls.sign, request, 'signing', timeoutMs).finally(() =>
      contextPin?.fill(0),
    );
  }

  /** Gives the card back and ends the process, within a bounded time; in the middle of a call at once. */
  async close(): Promise<void> {
    if (this.#why === undefined && this.#waiting === 0) {
      await this.#call(calls.finalize, {}, 'finishing', finalizeMs).catch(() => undefined);
    }
    this.#finish('was closed');
  }

  /** A deadline that passes ends the process: what it does then nobody could tell. */
  #call<Q extends AnyFields, R extends AnyFields>(
    to: Call<Q, R>,
    values: Values<Q>,
    doing: string,
    timeoutMs = this.#deadlines.answerMs,
  ): Promise<Values<R>> {
    const run = async (): Promise<Values<R>> => {
      if (this.#why) throw this.#why;
      this.#doing = doing;
      const timer = setTimeout(() => {
        this.#finish(`did not answer within ${timeoutMs / 1000} s while ${doing}`);
      }, timeoutMs);
      try {
        const gone = this.ended.then((why) => Promise.reject(why));
        return (await Promise.race([this.#peer.call(to, values), gone])).values;
      } catch (error) {
        throw await this.#errorOf(error);
      } finally {
        clearTimeout(timer);
      }
    };
    this.#waiting += 1;
    const turn = this.#turn.then(run).finally(() => {
      this.#waiting -= 1;
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** A link that ended says nothing of why; the end of the process does, a moment later. */
  async #errorOf(error: unknown): Promise<CardError> {
    if (error instanceof CardError) return error;
    if (error instanceof CallFailure) {
      const text =
        error.code >= calls.failure.refused && error.code <= calls.failure.broken
          ? error.text
          : meaningOf(error.code);
      return new CardError(text, error.code);
    }
    return this.ended;
  }

  #finish(how: string): void {
    if (this.#why) return;
    this.#why = new CardError(`the PKCS#11 module ${this.#path} ${how}`);
    this.#peer.close();
    this.#killAll();
    this.#end(this.#why);
  }

  /** With what the module may have started: it is a session of its own. */
  #killAll(): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // ESRCH: nothing of it is left.
    }
  }
}

function loadError(path: string, error: CardError): CardError {
  const { result: code, detail } = error;
  // A refusal names the file itself.
  if (code === calls.failure.refused) return error;
  return new CardError(`${path}: not a PKCS#11 module that works here: ${detail}`, code);
}
