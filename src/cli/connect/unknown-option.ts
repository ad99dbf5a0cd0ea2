/** Finds a mistyped option, which would otherwise be told as a missing host. Runs in: user. */

/** By name without dashes; true: a value follows. */
export type KnownOptions = ReadonlyMap<string, boolean>;

/** The first word that looks like an option and is none, as it was typed; undefined: there is none. */
export function firstUnknownOption(
  words: readonly string[],
  known: KnownOptions,
): string | undefined {
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word === '--') {
      return undefined;
    }
    if (!/^-./.test(word)) {
      continue;
    }
    const [, name = '', glued] = /^--([^=]*)(=.*)?$/s.exec(word) ?? /^-(.)(.+)?$/s.exec(word) ?? [];
    const takesValue = known.get(name.replace(/^no-/, ''));
    if (takesValue === undefined) {
      return word.split('=', 1)[0];
    }
    if (takesValue && glued === undefined) {
      at++;
    }
  }
  return undefined;
}
