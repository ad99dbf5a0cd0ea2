/**
 * What an authorized_keys file is once a key has been added to it: everything that stood there stays,
 * byte for byte, and a key that is there already is not added again. Pure. Runs in: user.
 */
import { ConfigError } from '../src/base/errors.ts';
import { findKeyLine } from './authorized-keys.ts';
import { optionsEnd, parseKeyOptions } from './key-options.ts';
import { publicLine } from './public-key.ts';

export interface Addition {
  readonly blob: Buffer;
  /** As they stand in the line; empty: none. */
  readonly options: string;
  readonly comment: string;
}

/** `different`: it is there with other options, which are not changed. */
export type AdditionState = 'added' | 'present' | 'different';

export interface AddedKey {
  readonly state: AdditionState;
  readonly line: number;
  /** Of the line that is there. */
  readonly options: string;
}

const maxCommentCharacters = 200;
const newline = 0x0a;

/** Throws ConfigError: such options would spoil their line, or another. */
export function checkOptions(options: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(options) || optionsEnd(options) !== options.length) {
    throw new ConfigError('options are separated by commas; blanks stand in double quotes only');
  }
  const parsed = parseKeyOptions(options);
  if (!parsed.ok) {
    throw new ConfigError(parsed.reason);
  }
}

/** On one line, and no longer than anybody reads. */
function commentText(comment: string): string {
  return (
    comment
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ')
      .trim()
      .slice(0, maxCommentCharacters)
  );
}

function lineCount(content: Buffer): number {
  let count = 0;
  for (let at = content.indexOf(newline); at >= 0; at = content.indexOf(newline, at + 1)) count++;
  return count;
}

/** `content`: the new one; undefined: nothing has to be written. */
export function withKeys(
  before: Buffer,
  additions: readonly Addition[],
): { readonly content: Buffer | undefined; readonly keys: readonly AddedKey[] } {
  let content = before;
  const keys: AddedKey[] = [];
  for (const { blob, options, comment } of additions) {
    const found = findKeyLine(content, blob);
    if (found !== undefined) {
      const state = found.options === options ? 'present' : 'different';
      keys.push({ state, line: found.line, options: found.options });
      continue;
    }
    // The last line of a file that was edited by hand may have no end.
    const isOpen = content.length > 0 && content.at(-1) !== newline;
    const line = `${options === '' ? '' : `${options} `}${publicLine(blob, commentText(comment))}`;
    content = Buffer.concat([content, Buffer.from(`${isOpen ? '\n' : ''}${line}\n`)]);
    keys.push({ state: 'added', line: lineCount(content), options });
  }
  return { content: content === before ? undefined : content, keys };
}
