/**
 * What a keyword is: one row of a table. `D` are the values as lines give them, `C` is the finished
 * configuration. Pure. Runs in: monitor, launcher.
 */
import type { Words } from './words.ts';
import type { Place } from './values.ts';

export interface KeywordRow<D, C> {
  /** In the spelling of the manual. */
  readonly name: string;
  readonly aliases: readonly string[];
  /** For the reference: what may stand behind the keyword, what it does, what holds without it. */
  readonly argument: string;
  readonly summary: string;
  readonly defaultText: string;
  /**
   * `fixed`: only what turns nothing on can be said; `checked`: any good value, without effect.
   * undefined: it is honoured.
   */
  readonly effect?: 'fixed' | 'checked';
  /** Several lines add up; otherwise the first one counts. */
  readonly isRepeatable: boolean;
  /** Every line is checked, also one that no longer counts. Throws ConfigError. */
  accept(draft: Partial<D>, words: Words, place: Place): void;
  /** What a later block says, behind what is there: the first value counts, or both add up. */
  merge(into: Partial<D>, from: Partial<D>): void;
  /** The lines of `-T`. */
  dump(config: C): readonly string[];
}

export interface KeywordDeclaration<D, C, K extends keyof D> {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly argument: string;
  readonly summary: string;
  readonly defaultText: string;
  readonly field: K;
  readonly parse: (words: Words, place: Place) => D[K];
  /** What two lines make together; without it the first counts. */
  readonly add?: (before: D[K], next: D[K]) => D[K];
  /** With `add`: the lines do not add up for who writes them. */
  readonly isSingle?: boolean;
  readonly dump: (config: C) => string | readonly string[];
}

/** `dump` gives values; the keyword in lower case is put in front, one line each. */
export function keyword<D, C, K extends keyof D>(
  declaration: KeywordDeclaration<D, C, K>,
): KeywordRow<D, C> {
  const { name, aliases = [], argument, summary, defaultText, field, parse, add } = declaration;
  const put = (draft: Partial<D>, next: D[K]): void => {
    const before = draft[field];
    if (before === undefined) {
      draft[field] = next;
    } else if (add !== undefined) {
      draft[field] = add(before as D[K], next);
    }
  };
  return {
    name,
    aliases,
    argument,
    summary,
    defaultText,
    isRepeatable: add !== undefined && declaration.isSingle !== true,
    accept(draft, words, place) {
      put(draft, parse(words, place));
    },
    merge(into, from) {
      const next = from[field];
      if (next !== undefined) {
        put(into, next as D[K]);
      }
    },
    dump(config) {
      const values = declaration.dump(config);
      const list = typeof values === 'string' ? [values] : values;
      return list.map((value) => `${name.toLowerCase()} ${value}`);
    },
  };
}
