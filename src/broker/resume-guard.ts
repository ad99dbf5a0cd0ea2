/**
 * DesktopReauth resume: a desktop that is there opens only to who has started it, or has shown again
 * who he is, on the same connection and no longer than a minute ago, or still looks at it. What was
 * shown is known here and nowhere else: no worker can claim it. Runs in: monitor, user.
 */
import type { Answer } from '../monitor/request-table.ts';
import type { Call } from '../ssh/wire/call.ts';
import type { AnyFields, Values } from '../ssh/wire/field.ts';
import { CallFailure } from '../ssh/wire/peer.ts';
import {
  DesktopAttach,
  type DesktopFailure,
  DesktopFind,
  DesktopStart,
  desktopFailure,
} from './link.ts';
import { defaultName } from './naming.ts';
import type { Owner } from './outcome.ts';

/** Who asks: a connection, or a process of the user's. */
export interface Resumer {
  /** The same object for as long as it is the same. */
  readonly key: object;
  /** Ids of the desktops that it looks at. */
  viewing(): readonly string[];
  /** Why PAM cannot ask it again, for the user; undefined: it can. */
  readonly obstacle: string | undefined;
  /** It was refused for that, for the log. */
  onRefused?(id: string): void;
}

export type Ask = (
  schema: Call<AnyFields, AnyFields>,
  values: Values<AnyFields>,
) => Promise<Answer<AnyFields>>;

const heldMs = 60_000;
const attemptsToFindOrStart = 3;

export const howToBeAsked =
  'This desktop is resumed only after you have shown again who you are: `sshdesk connect` asks, and so does the subsystem display.';

export class ResumeGuard {
  readonly #isWanted: (owner: Owner) => boolean;
  readonly #nowMs: () => number;
  /** When it was last shown, or the desktop last opened; by id. */
  readonly #shown = new WeakMap<object, Map<string, number>>();

  /** `isWanted`: for the desktops of this user, as it is configured now. */
  constructor(isWanted: (owner: Owner) => boolean, nowMs: () => number) {
    this.#isWanted = isWanted;
    this.#nowMs = nowMs;
  }

  /** It was started, shown or left by this one just now. */
  note({ key }: Pick<Resumer, 'key'>, id: string): void {
    const shown = this.#shown.get(key) ?? new Map<string, number>();
    const nowMs = this.#nowMs();
    for (const [one, atMs] of shown) {
      if (nowMs - atMs > heldMs) {
        shown.delete(one);
      }
    }
    shown.set(id, nowMs);
    this.#shown.set(key, shown);
  }

  #mayOpen({ key, viewing }: Resumer, id: string): boolean {
    const atMs = this.#shown.get(key)?.get(id) ?? Number.NEGATIVE_INFINITY;
    return this.#nowMs() - atMs <= heldMs || viewing().includes(id);
  }

  /** In front of every request for desktops. */
  async answer(
    resumer: Resumer,
    owner: Owner,
    schema: Call<AnyFields, AnyFields>,
    values: Values<AnyFields>,
    ask: Ask,
  ): Promise<Answer<AnyFields>> {
    switch (schema.name) {
      case DesktopStart.name:
        return this.#start(resumer, values, ask);
      case DesktopFind.name:
        return values['create'] === 1 && this.#isWanted(owner)
          ? this.#findOrStart(resumer, values, ask)
          : ask(schema, values);
      case DesktopAttach.name:
        return this.#attach(resumer, owner, values, ask);
      default:
        return ask(schema, values);
    }
  }

  async #start(resumer: Resumer, values: Values<AnyFields>, ask: Ask): Promise<Answer<AnyFields>> {
    const answer = await ask(anyCall(DesktopStart), values);
    this.note(resumer, idIn(answer));
    return answer;
  }

  /** Who has started it is to be known: one that another login has started meanwhile is not ours. */
  async #findOrStart(
    resumer: Resumer,
    values: Values<AnyFields>,
    ask: Ask,
  ): Promise<Answer<AnyFields>> {
    const name = values['which'] === '' ? defaultName : String(values['which']);
    const order: Values<(typeof DesktopStart)['request']> = {
      connection: Number(values['connection']),
      session: Number(values['session']),
      name,
      engine: '',
      type: '',
      width: 0,
      height: 0,
      depth: 0,
      parameters: [],
    };
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask(anyCall(DesktopFind), { ...values, which: name, create: 0 });
      } catch (error) {
        if (!isFailure(error, 'notFound')) {
          throw error;
        }
      }
      try {
        return await this.#start(resumer, order, ask);
      } catch (error) {
        if (!isFailure(error, 'nameTaken') || attempt === attemptsToFindOrStart) {
          throw error;
        }
      }
    }
  }

  async #attach(
    resumer: Resumer,
    owner: Owner,
    values: Values<AnyFields>,
    ask: Ask,
  ): Promise<Answer<AnyFields>> {
    const id = String(values['id']);
    if (this.#isWanted(owner) && !this.#mayOpen(resumer, id)) {
      const { obstacle } = resumer;
      if (obstacle !== undefined) {
        resumer.onRefused?.(id);
      }
      throw obstacle === undefined
        ? new CallFailure(desktopFailure.reauthentication, howToBeAsked)
        : new CallFailure(desktopFailure.refused, obstacle);
    }
    const answer = await ask(anyCall(DesktopAttach), values);
    this.note(resumer, id);
    return answer;
  }
}

function anyCall(schema: unknown): Call<AnyFields, AnyFields> {
  return schema as Call<AnyFields, AnyFields>;
}

function idIn({ values }: Answer<AnyFields>): string {
  return (values as unknown as { readonly desktop: { readonly id: string } }).desktop.id;
}

function isFailure(error: unknown, failure: DesktopFailure): boolean {
  return error instanceof CallFailure && error.code === desktopFailure[failure];
}
