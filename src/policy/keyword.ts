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
  /** Of several lines. `all`: they add up; `by name`: those of a block with those outside too. */
  readonly counts: 'first' | 'last' | 'all' | 'by name';
  /** What sshd would do with this line and is not done; undefined: nothing. Throws ConfigError. */
  stricter(words: Words, place: Place): string | undefined;
  /** Names of which the first line that has one counts, where lines add up (SetEnv). */
  parts(words: Words, place: Place): readonly string[];
  /** Every line is checked, also one that no longer counts. Throws ConfigError. */
  accept(draft: Partial<D>, words: Words, place: Place): void;
  /** What blocks say that apply, in their order: the first value counts, or they add up. */
  merge(into: Partial<D>, from: readonly Partial<D>[]): void;
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
  /** The same of many, where one by one would copy the list again and again. */
  readonly addAll?: (values: readonly D[K][]) => D[K];
  /** With `add`, where the lines do not add up for who writes them. */
  readonly counts?: 'first' | 'last' | 'by name';
  readonly stricter?: (value: D[K]) => string | undefined;
  readonly parts?: (value: D[K]) => readonly string[];
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
    counts: declaration.counts ?? (add === undefined ? 'first' : 'all'),
    stricter: (words, place) => declaration.stricter?.(parse(words, place)),
    parts: (words, place) => declaration.parts?.(parse(words, place)) ?? [],
    accept(draft, words, place) {
      put(draft, parse(words, place));
    },
    merge(into, from) {
      const values = from.map((draft) => draft[field]).filter((value) => value !== undefined);
      const [first] = values as readonly D[K][];
      if (first === undefined) {
        return;
      }
      into[field] =
        add === undefined
          ? first
          : (declaration.addAll?.(values as readonly D[K][]) ?? (values as D[K][]).reduce(add));
    },
    dump(config) {
      const values = declaration.dump(config);
      const list = typeof values === 'string' ? [values] : values;
      return list.map((value) => `${name.toLowerCase()} ${value}`);
    },
  };
}
