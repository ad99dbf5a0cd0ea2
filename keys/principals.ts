/**
 * Lists of principals (sshd_config(5) AuthorizedPrincipalsFile): a name a line, options of a key in
 * front of it if anything is. What a certificate has to list to open the account. Pure.
 * Runs in: monitor.
 */
import { type KeyOptions, noOptions, optionsEnd, parseKeyOptions } from './key-options.ts';

export type PrincipalMatch =
  | {
      readonly is: 'match';
      readonly line: number;
      readonly options: KeyOptions;
      readonly refusals: readonly PrincipalRefusal[];
    }
  | { readonly is: 'none'; readonly refusals: readonly PrincipalRefusal[] };

/** A line with the right name that does not count. */
export interface PrincipalRefusal {
  readonly line: number;
  readonly text: string;
}

/** Options of lines with a right name that are looked at; more is nobody's list. */
const maxJudgedBytes = 128 * 1024;

interface Entry {
  /** Up to where options can reach; empty: there are none. */
  readonly options: string;
  readonly name: string;
}

/** The last word of a line is the name; undefined: an empty line or a comment. */
function entryOf(line: string): Entry | undefined {
  // As sshd: the rest behind any `#`, also one within a word or quotes, is a comment.
  const text = line.replace(/#.*$/s, '').replace(/^[ \t]+|[ \t]+$/g, '');
  if (text === '') {
    return undefined;
  }
  const blank = Math.max(text.lastIndexOf(' '), text.lastIndexOf('\t'));
  return blank < 0
    ? { options: '', name: text }
    : { options: text.slice(0, blank), name: text.slice(blank + 1) };
}

function optionsOf({ options }: Entry): ReturnType<typeof parseKeyOptions> {
  if (options === '') {
    return { ok: true, options: noOptions };
  }
  const end = optionsEnd(options);
  return end === undefined
    ? { ok: false, reason: 'missing end quote' }
    : parseKeyOptions(options.slice(0, end));
}

/** The first line with one of `principals` whose options can be read. `content`: the whole list. */
export function matchPrincipals(content: Buffer, principals: readonly string[]): PrincipalMatch {
  const wanted = new Set(principals);
  const refusals: PrincipalRefusal[] = [];
  let judgedBytes = 0;
  for (const [index, text] of content.toString('utf8').split('\n').entries()) {
    const entry = entryOf(text);
    if (entry === undefined || !wanted.has(entry.name)) {
      continue;
    }
    const line = index + 1;
    judgedBytes += entry.options.length;
    if (judgedBytes > maxJudgedBytes) {
      refusals.push({ line, text: 'too many options of lines with this principal' });
      break;
    }
    const parsed = optionsOf(entry);
    if (parsed.ok) {
      return { is: 'match', line, options: parsed.options, refusals };
    }
    refusals.push({ line, text: `bad principals options: ${parsed.reason}` });
  }
  return { is: 'none', refusals };
}
