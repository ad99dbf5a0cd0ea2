/**
 * One line of sshd_config(5) into keyword and words: `Keyword value`, `Keyword=value`, quotes of both
 * kinds, `\"`, comments. The same grammar serves sshdesk_config. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';

export interface Words {
  /** As written; compared without case. */
  readonly keyword: string;
  readonly words: readonly string[];
  /** Everything behind the keyword as it stands, quotes and `#` too: a command line. */
  readonly rest: string;
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

/** A backslash hides a quote or itself, and a blank outside quotes; elsewhere it stays. */
function isEscape(text: string, at: number, quote: string): boolean {
  const next = text[at + 1];
  return (
    text[at] === '\\' &&
    (next === '"' || next === "'" || next === '\\' || (next === ' ' && quote === ''))
  );
}

/** The word at `from`, which is not blank. */
function readWord(text: string, from: number): { readonly word: string; readonly end: number } {
  let word = '';
  let quote = '';
  let at = from;
  for (; at < text.length; at++) {
    const character = text[at] as string;
    if (isEscape(text, at, quote)) {
      word += text[++at];
    } else if (quote === '' && isBlank(character)) {
      break;
    } else if (quote === '' && (character === '"' || character === "'")) {
      quote = character;
    } else if (character === quote) {
      quote = '';
    } else {
      word += character;
    }
  }
  if (quote !== '') {
    throw new ConfigError('a quote is not closed');
  }
  return { word, end: at };
}

/** `#` at the start of a word begins a comment. Throws ConfigError for an open quote. */
export function splitWords(
  text: string,
  { hasComments = true }: { readonly hasComments?: boolean } = {},
): readonly string[] {
  const words: string[] = [];
  let at = 0;
  while (at < text.length && !(hasComments && text[at] === '#')) {
    if (isBlank(text[at])) {
      at++;
      continue;
    }
    const { word, end } = readWord(text, at);
    words.push(word);
    at = end;
  }
  return words;
}

const blanks = ' \t\r\n\f';

/** By hand: an expression for the blanks at the end tries again at every run of blanks. */
function withoutBlanks(line: string): string {
  let from = 0;
  let to = line.length;
  while (from < to && blanks.includes(line.charAt(from))) {
    from++;
  }
  while (to > from && blanks.includes(line.charAt(to - 1))) {
    to--;
  }
  return line.slice(from, to);
}

/** The keyword and what is behind it; undefined for an empty line or a comment. Never throws. */
export function splitKeyword(
  line: string,
): { readonly keyword: string; readonly rest: string } | undefined {
  const text = withoutBlanks(line);
  if (text === '' || text.startsWith('#')) {
    return undefined;
  }
  const found = /^(?:"([^"]*)"|([^\s="]*))[ \t]*(?:=[ \t]*)?(.*)$/s.exec(text);
  return found === null
    ? { keyword: text, rest: '' }
    : { keyword: found[1] ?? found[2] ?? '', rest: found[3] ?? '' };
}
