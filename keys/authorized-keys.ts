/**
 * Finds a key in an authorized_keys file (sshd(8) AUTHORIZED_KEYS FILE FORMAT). The file is the
 * user's and may hold anything: a line is compared before its options are looked at, so that a
 * thousand foreign keys cost no parsing, and nobody's file holds up the logins of others.
 * Runs in: monitor.
 */
import { type Certificate, certificateObjection } from './certificate.ts';
import { optionsOfCertificate } from './certificate-options.ts';
import { type KeyOptions, noOptions, optionsEnd, parseKeyOptions } from './key-options.ts';
import { type KeyUse, type Objection, objectionTo } from './key-use.ts';
import { mergeOptions } from './merge-options.ts';
import { claimedKeyType } from './public-key.ts';

export type { KeyOptions } from './key-options.ts';
export type { KeyUse } from './key-use.ts';

/** Why a line with the right key does not count, or what else the log says of it. */
export interface LineRefusal extends Objection {
  readonly line: number;
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

function placed(text: string): Objection {
  return { level: 'DEBUG1', text, isPlaced: true };
}

function unplaced(text: string): Objection {
  return { level: 'ERROR', text, isPlaced: false };
}

/** What one line with the right key says; `objections` are for the log in either case. */
interface Judged {
  readonly options: KeyOptions | undefined;
  readonly objections: readonly Objection[];
}

function refused(...objections: readonly Objection[]): Judged {
  return { options: undefined, objections };
}

function parsed(text: string): KeyOptions | Objection {
  if (text === '') {
    return noOptions;
  }
  const result = parseKeyOptions(text);
  return result.ok ? result.options : placed(`bad key options: ${result.reason}`);
}

function judgeKey(text: string, use: KeyUse): Judged {
  const options = parsed(text);
  if ('level' in options) {
    return refused(options);
  }
  if (options.isCertAuthority) {
    return refused(placed('a cert-authority line matches no plain key'));
  }
  const objection = objectionTo(options, use);
  return objection === undefined
    ? { options, objections: [] }
    : refused(objection, unplaced('Refused by key options'));
}

/** One of principals=, each compared as a whole: a comma in a certificate's name separates nothing. */
function hasPrincipal(certificate: Certificate, list: string): boolean {
  const listed = list.split(',').filter((name) => name !== '');
  return certificate.principals.some((name) => listed.includes(name));
}

/** The line is for this certificate's authority: its options, the certificate's, and both at once. */
function judgeCertificate(certificate: Certificate, text: string, use: KeyUse): Judged {
  const options = parsed(text);
  if ('level' in options) {
    return refused(options);
  }
  if (!options.isCertAuthority) {
    return refused(placed('the key of an authority in a line that is not cert-authority'));
  }
  const objection = objectionTo(options, use);
  if (objection !== undefined) {
    return refused(objection, unplaced('Refused by key options'));
  }
  const own = optionsOfCertificate(certificate);
  const lines = own.lines.map((line): Objection => ({ ...line, isPlaced: false }));
  if (!own.ok) {
    return refused(...lines, unplaced('Invalid certificate options'));
  }
  const ownObjection = objectionTo(own.options, use);
  if (ownObjection !== undefined) {
    return refused(...lines, ownObjection, unplaced('Refused by certificate options'));
  }
  const merged = mergeOptions(options, own.options);
  if (!merged.ok) {
    return refused(...lines, unplaced(merged.reason));
  }
  if (options.principals !== undefined && !hasPrincipal(certificate, options.principals)) {
    return refused(...lines, unplaced('Certificate does not contain an authorized principal'));
  }
  const principal = options.principals === undefined ? (use.user ?? '') : undefined;
  const why = certificateObjection(certificate, 'user', use.nowMs, principal);
  return why === undefined
    ? { options: merged.options, objections: lines }
    : refused(...lines, unplaced(why));
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

/** The first line with this key, whatever its options say. */
export function findKeyLine(
  file: Buffer,
  blob: Buffer,
): { readonly line: number; readonly options: string } | undefined {
  const type = claimedKeyType(blob);
  const base64 = blob.toString('base64').replace(/=+$/, '');
  for (const { number, bytes } of type === undefined ? [] : linesWith(file, base64)) {
    const options = optionsOf(bytes, { type: type as string, base64 });
    if (options !== undefined) {
      return { line: number, options };
    }
  }
  return undefined;
}

function search(file: Buffer, blob: Buffer, judge: (text: string) => Judged): KeyMatch {
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
      const why = 'too many lines with this key';
      refusals.push({ line: number, level: 'INFO', text: why, isPlaced: true });
      break;
    }
    const { options, objections } = judge(text);
    if (refusals.length < maxRefusals) {
      refusals.push(...objections.map((objection) => ({ line: number, ...objection })));
    }
    if (options !== undefined) {
      return { is: 'match', line: number, options, refusals };
    }
  }
  return { is: 'none', refusals };
}

/** Lines in order; the first with this key that its options let pass. `file`: the whole content. */
export function matchKey(file: Buffer, blob: Buffer, use: KeyUse): KeyMatch {
  return search(file, blob, (text) => judgeKey(text, use));
}

/**
 * Lines in order; the first cert-authority one for the certificate's authority that lets it pass.
 * The options are those of the line and of the certificate together.
 */
export function matchCertificate(file: Buffer, certificate: Certificate, use: KeyUse): KeyMatch {
  return search(file, certificate.authority.blob, (text) =>
    judgeCertificate(certificate, text, use),
  );
}
