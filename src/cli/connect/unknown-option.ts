/**
 * Reads the words of a command line for its options: a mistyped one, which would otherwise be told as
 * a missing host, and those that are given. Runs in: user.
 */

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

/**
 * The options that are given, without dashes; `--no-NAME` counts as NAME. `words`: one option each,
 * as arrangeWords makes them.
 */
export function givenOptions(words: readonly string[], known: KnownOptions): ReadonlySet<string> {
  const given = new Set<string>();
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word === '--') break;
    const [, long, value] = /^--(?:no-)?([^=]+)(=.*)?$/s.exec(word) ?? [];
    // yargs takes --webPort for --web-port.
    const name =
      long?.replace(/[A-Z]/g, (one) => `-${one.toLowerCase()}`) ?? /^-([^-])$/.exec(word)?.[1];
    if (name === undefined) continue;
    given.add(name);
    if (known.get(name) === true && value === undefined) at++;
  }
  return given;
}
