/**
 * Finds a key in an authorized_keys file (sshd(8) AUTHORIZED_KEYS FILE FORMAT). The file is the
 * user's and may hold anything: a line is compared before its options are looked at, so that a
 * thousand foreign keys cost no parsing. Runs in: monitor.
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

/** Lines in order; the first with this key that its options let pass. `file`: the whole content. */
export function matchKey(file: Buffer, blob: Buffer, use: KeyUse): KeyMatch {
  const type = claimedKeyType(blob);
  const refusals: LineRefusal[] = [];
  if (type === undefined) {
    return { is: 'none', refusals };
  }
  const wanted: Wanted = { type, base64: blob.toString('base64').replace(/=+$/, '') };
  let number = 0;
  for (let from = 0; from < file.length; ) {
    const newline = file.indexOf(0x0a, from);
    const end = newline < 0 ? file.length : newline;
    number++;
    const isShort = end - from <= maxLineBytes;
    const line = isShort ? file.toString('utf8', from, end).replace(/^[ \t]+/, '') : '';
    from = end + 1;
    const text = line === '' || line.startsWith('#') ? undefined : optionsBefore(line, wanted);
    if (text === undefined) {
      continue;
    }
    const verdict = judge(text, use);
    if ('options' in verdict) {
      return { is: 'match', line: number, options: verdict.options, refusals };
    }
    refusals.push({ line: number, ...verdict });
  }
  return { is: 'none', refusals };
}
