/**
 * Keywords of sshd_config(5) that change nothing here: their values are checked, and kept for `-T`.
 * Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ServerDraft } from './server-draft.ts';
import type { ServerRow } from './server-row.ts';
import { type Place, several } from './values.ts';
import type { Words } from './words.ts';

export interface InertKeyword {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly argument: string;
  readonly summary: string;
  /** What sshd has without a line, and prints. */
  readonly usual: string;
  /** The value as sshd prints it. Throws ConfigError. */
  readonly parse: (words: Words, place: Place) => string;
  readonly isPrinted?: boolean;
  readonly effect?: ServerRow['effect'];
}

/** The first value counts. */
function put(draft: { inert?: ServerDraft['inert'] }, key: string, value: string): void {
  draft.inert = { [key]: value, ...draft.inert };
}

export function inert({
  name,
  aliases = [],
  argument,
  summary,
  usual,
  parse,
  isPrinted = true,
  effect = 'checked',
}: InertKeyword): ServerRow {
  const key = name.toLowerCase();
  return {
    name,
    aliases,
    argument,
    summary,
    defaultText: usual,
    effect,
    counts: 'first',
    stricter: () => undefined,
    parts: () => [],
    accept(draft, words, place) {
      put(draft, key, parse(words, place));
    },
    merge(into, from) {
      const said = from.find(({ inert: values }) => values?.[key] !== undefined)?.inert?.[key];
      if (said !== undefined) {
        put(into, key, said);
      }
    },
    dump: (config) => (isPrinted ? [`${key} ${config.inert[key] ?? usual}`] : []),
  };
}

/** Only these values, without case; the first is what sshd has without a line. Any other is refused. */
export function fixed(
  name: string,
  values: readonly string[],
  summary: string,
  isPrinted = true,
  aliases: readonly string[] = [],
): ServerRow {
  const [usual = ''] = values;
  return inert({
    name,
    aliases,
    argument: values.join(' | '),
    summary,
    usual,
    isPrinted,
    effect: 'fixed',
    parse(words) {
      const said = several(words).join(' ').toLowerCase();
      const found = values.find((value) => value.toLowerCase() === said);
      if (found === undefined) {
        const choices = values.map((value) => `"${value}"`).join(' or ');
        throw new ConfigError(
          `"${said}" is not supported. ${summary} Say ${choices}, or leave the line out`,
        );
      }
      return found;
    },
  });
}
