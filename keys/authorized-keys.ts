/**
 * Finds a key in an authorized_keys file (sshd(8) AUTHORIZED_KEYS FILE FORMAT). The file is the
 * user's and may hold anything: a line is compared before its options are looked at, so that a
 * thousand foreign keys cost no parsing, and nobody's file holds up the logins of others. Runs in: monitor.
 */
import { claimedKeyType } from './public-key.ts';
import { type KeyOptions, noOptions, optionsEnd, parseKeyOptions } from './key-options.ts';
import { matchHostAndAddress } from './pattern.ts';

export type { KeyOptions } from './key-options.ts';

export interface KeyUse {
  readonly nowMs: number;
  /** Without IPv4-mapped form. */
  readonly remoteAddress: string;
  /** The peer's name where it was looked up, else the address. */
  readonly remoteHost: string;
  /** For the log line of a refused from=. */
  readonly user?: string;
}

/** Why a line with the right key does not count. `level`: as sshd logs it. */
export interface LineRefusal {
  readonly line: number;
  readonly level: 'INFO' | 'DEBUG1';
  readonly text: string;
}

export type KeyMatch =
  | {
      readonly is: 'match';
      readonly line: number;
      readonly options: KeyOptions;
      readonly refusals: readonly LineRefusal[];
    }
  | { readonly is: 'none'; readonly refusals: readonly LineRefusal[] };

/**
 * The manual promises 8 kB, sshd itself reads lines of any length; here a line beyond this matches
 * nothing (an RSA key of 16384 bits takes 2.8 kB).
 */
export const maxLineBytes = 64 * 1024;

/** Options of one key that are looked at in one file; nobody lists a key so often. */
const maxJudgedBytes = 2 * maxLineBytes;
const maxRefusals = 100;

/** TYPE and base64 as they stand in a line, padding cut. */
interface Wanted {
  readonly type: string;
  readonly base64: string;
}

function isWanted(text: string, wanted: Wanted): boolean {
  const found = /^(\S+)[ \t]+([^ \t\r]+)/.exec(text);
  return (
    found !== null && found[1] === wanted.type && found[2]?.replace(/=+$/, '') === wanted.base64
  );
}

/** undefined: the line has another key, or none. Empty text: no options. */
function optionsBefore(line: string, wanted: Wanted): string | undefined {
  if (isWanted(line, wanted)) {
    return '';
  }
  const end = optionsEnd(line);
  if (end === undefined || end === 0) {
    return undefined;
  }
  return isWanted(line.slice(end).trimStart(), wanted) ? line.slice(0, end) : undefined;
}

function refusalOf(options: KeyOptions, use: KeyUse): Omit<LineRefusal, 'line'> | undefined {
  if (options.isCertAuthority) {
    return { level: 'DEBUG1', text: 'a cert-authority line matches no plain key' };
  }
  if (options.expiresAtMs !== undefined && options.expiresAtMs < use.nowMs) {
    const when = new Date(options.expiresAtMs).toISOString().slice(0, 19);
    return { level: 'DEBUG1', text: `entry expired at ${when}` };
  }
  const { from } = options;
  if (
    from === undefined ||
    matchHostAndAddress(use.remoteHost, use.remoteAddress, from) === 'match'
  ) {
    return undefined;
  }
  const who = (use.user ?? '').slice(0, 100);
  return {
    level: 'INFO',
    text: `Authentication tried for ${who} with correct key but not from a permitted host (host=${use.remoteHost.slice(0, 200)}, ip=${use.remoteAddress}, required=${from.slice(0, 200)}).`,
  };
}

function judge(
  text: string,
  use: KeyUse,
): { readonly options: KeyOptions } | Omit<LineRefusal, 'line'> {
  const parsed = text === '' ? { ok: true as const, options: noOptions } : parseKeyOptions(text);
  if (!parsed.ok) {
    return { level: 'DEBUG1', text: `bad key options: ${parsed.reason}` };
  }
  return refusalOf(parsed.options, use) ?? { options: parsed.options };
}

interface Line {
  readonly number: number;
  readonly bytes: Buffer;
}

/**
 * The lines that hold `needle` anywhere. The search is one pass over the bytes, so that a file full
 * of other keys, or of a million empty lines, costs next to nothing.
 */
function* linesWith(file: Buffer, needle: string): Generator<Line> {
  let number = 1;
  let counted = 0;
  let at = file.indexOf(needle, 0, 'latin1');
  while (at >= 0) {
    const start = at === 0 ? 0 : file.lastIndexOf(0x0a, at) + 1;
    const newline = file.indexOf(0x0a, at);
    const end = newline < 0 ? file.length : newline;
    for (let mark = file.indexOf(0x0a, counted); mark >= 0 && mark < start; ) {
      number++;
      counted = mark + 1;
      mark = file.indexOf(0x0a, counted);
    }
    yield { number, bytes: file.subarray(start, end) };
    at = newline < 0 ? -1 : file.indexOf(needle, newline + 1, 'latin1');
  }
}

/** undefined: not a line of this key. */
function optionsOf(bytes: Buffer, wanted: Wanted): string | undefined {
  if (bytes.length > maxLineBytes) {
    return undefined;
  }
  const line = bytes.toString('utf8').replace(/^[ \t]+/, '');
  return line.startsWith('#') ? undefined : optionsBefore(line, wanted);
}

/** Lines in order; the first with this key that its options let pass. `file`: the whole content. */
export function matchKey(file: Buffer, blob: Buffer, use: KeyUse): KeyMatch {
  const type = claimedKeyType(blob);
  const refusals: LineRefusal[] = [];
  if (type === undefined) {
    return { is: 'none', refusals };
  }
  const wanted: Wanted = { type, base64: blob.toString('base64').replace(/=+$/, '') };
  let judgedBytes = 0;
  for (const { number, bytes } of linesWith(file, wanted.base64)) {
    const text = optionsOf(bytes, wanted);
    if (text === undefined) {
      continue;
    }
    judgedBytes += text.length;
    if (judgedBytes > maxJudgedBytes) {
      refusals.push({ line: number, level: 'INFO', text: 'too many lines with this key' });
      break;
    }
    const verdict = judge(text, use);
    if ('options' in verdict) {
      return { is: 'match', line: number, options: verdict.options, refusals };
    }
    if (refusals.length < maxRefusals) {
      refusals.push({ line: number, ...verdict });
    }
  }
  return { is: 'none', refusals };
}
