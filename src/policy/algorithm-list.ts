/**
 * Lists of algorithms as sshd_config(5) has them: names with `*` and `?`, `+` behind the defaults,
 * `-` without these, `^` in front of the defaults. A name that nobody knows is an error, and so is a
 * list that leaves nothing. Pure. Runs in: monitor, launcher.
 */
import { matchesPattern } from '../../keys/pattern.ts';
import { ConfigError } from '../base/errors.ts';

export interface AlgorithmNames {
  /** Every name that may be written, in the order in which a pattern finds them. */
  readonly known: readonly string[];
  readonly defaults: readonly string[];
  /** What sshd says in front of a list that it does not understand. */
  readonly complaint: string;
}

function found(names: AlgorithmNames, patterns: readonly string[], text: string): string[] {
  return patterns.flatMap((pattern) => {
    const matches = names.known.filter((name) => matchesPattern(name, pattern));
    if (matches.length === 0 || pattern.startsWith('!')) {
      throw new ConfigError(`${names.complaint} '${text}'.`);
    }
    return matches;
  });
}

/** `text` is one word. Throws ConfigError. */
export function algorithmList(text: string, names: AlgorithmNames): readonly string[] {
  const sign = /^[+^-]/.exec(text)?.[0] ?? '';
  const patterns = text
    .slice(sign.length)
    .split(',')
    .filter((pattern) => pattern !== '');
  const { defaults } = names;
  let list: readonly string[];
  switch (sign) {
    case '+':
      list = [...defaults, ...found(names, patterns, text)];
      break;
    case '^':
      list = [...found(names, patterns, text), ...defaults];
      break;
    case '-':
      list = defaults.filter((name) => !patterns.some((pattern) => matchesPattern(name, pattern)));
      break;
    default:
      list = found(names, patterns, text);
  }
  if (list.length === 0) {
    throw new ConfigError(`${names.complaint} '${text}'.`);
  }
  return [...new Set(list)];
}
