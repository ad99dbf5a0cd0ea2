/**
 * How the rows of sshd_config(5) are made: any keyword of the draft, and the many that are `yes` or
 * `no`. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ServerConfig } from './config.ts';
import { type KeywordDeclaration, type KeywordRow, keyword } from './keyword.ts';
import type { ServerDraft } from './server-draft.ts';
import { yesNo } from './values.ts';

export type ServerRow = KeywordRow<ServerDraft, ServerConfig>;

export function row<K extends keyof ServerDraft>(
  declaration: KeywordDeclaration<ServerDraft, ServerConfig, K>,
): ServerRow {
  return keyword(declaration);
}

/** For `addAll`: what blocks say comes together at a login, which must not fail then; no bound. */
export function concatAll<T>(values: readonly (readonly T[])[]): readonly T[] {
  return values.flat() as T[];
}

/** For `add` of a keyword whose lines add up. */
export function concatBounded<T>(
  most: number,
): (before: readonly T[], next: readonly T[]) => readonly T[] {
  return (before, next) => {
    if (before.length + next.length > most) {
      throw new ConfigError(`more than ${most} of them`);
    }
    return [...before, ...next];
  };
}

/** Patterns, names and variables. */
export const maxListItems = 4096;

export function yesOrNo(value: boolean): string {
  return value ? 'yes' : 'no';
}

export function flag(
  name: string,
  field: {
    [K in keyof ServerDraft]: ServerDraft[K] extends boolean ? K : never;
  }[keyof ServerDraft],
  defaultValue: 'yes' | 'no',
  summary: string,
  aliases: readonly string[] = [],
): ServerRow {
  return row({
    name,
    aliases,
    argument: 'yes | no',
    summary,
    defaultText: defaultValue,
    field,
    parse: yesNo,
    dump: (config) => yesOrNo(config[field]),
  });
}
