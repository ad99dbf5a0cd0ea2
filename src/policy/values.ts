/**
 * The kinds of values that keywords have (sshd_config(5)). Each reads the words of one line and
 * throws ConfigError with what is wrong. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { parseDestination, parsePort, type Destination } from '../../keys/destination.ts';
import type { Words } from './words.ts';

/** What relative paths are relative to; `~` is the home of who starts the daemon, as in sshd. */
export interface Place {
  readonly workingDirectory: string;
  readonly homeDirectory: string;
  /** A program of the machine's that the configuration relies on is there. */
  isExecutable(path: string): boolean;
}

const maxInteger = 2 ** 31 - 1;

export function single({ words }: Words): string {
  const [word, ...more] = words;
  if (word === undefined || word === '') {
    throw new ConfigError('missing argument');
  }
  if (more.length > 0) {
    throw new ConfigError('extra arguments at end of line');
  }
  return word;
}

export function several({ words }: Words): readonly string[] {
  if (words.length === 0) {
    throw new ConfigError('missing argument');
  }
  if (words.includes('')) {
    throw new ConfigError('empty argument');
  }
  return words;
}

/** Without case, as sshd; the table's spelling is returned. */
export function oneOf<T>(choices: Readonly<Record<string, T>>): (words: Words) => T {
  return (words) => {
    const word = single(words);
    const known = Object.keys(choices).find((name) => name === word.toLowerCase());
    if (known === undefined) {
      throw new ConfigError(
        `unsupported option "${word}" (one of ${Object.keys(choices).join(', ')})`,
      );
    }
    return choices[known] as T;
  };
}

export const yesNo = oneOf<boolean>({ yes: true, no: false });

export function integer(least: number, most = maxInteger): (words: Words) => number {
  return (words) => {
    const word = single(words);
    if (!/^[+]?[0-9]{1,12}$/.test(word)) {
      throw new ConfigError(`"${word}" is not a whole number`);
    }
    const value = Number(word);
    if (value < least || value > most) {
      throw new ConfigError(`"${word}" is not between ${least} and ${most}`);
    }
    return value;
  };
}

const unitSeconds: Readonly<Record<string, number>> = {
  '': 1,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
};

/** sshd_config(5) TIME FORMATS: `90`, `10m`, `1h30m`. */
export function seconds(words: Words): number {
  const word = single(words);
  // In one way only: of an expression that could divide digits in several ways a long word makes hours.
  if (!/^(?=.)(?:[0-9]+[smhdw])*[0-9]*$/i.test(word)) {
    throw new ConfigError(`invalid time value "${word}"`);
  }
  let total = 0;
  for (const [, count, unit] of word.matchAll(/([0-9]+)([a-z]?)/gi)) {
    total += Number(count) * (unitSeconds[(unit ?? '').toLowerCase()] as number);
  }
  if (total > maxInteger) {
    throw new ConfigError(`the time "${word}" is too long`);
  }
  return total;
}

/** The same, also with fractions: `1.5`, `0.25m`. */
export function secondsWithFraction(words: Words): number {
  const word = single(words);
  if (!/^(?=.)(?:[0-9]+(?:\.[0-9]{1,6})?[smhdw])*(?:[0-9]+(?:\.[0-9]{1,6})?)?$/i.test(word)) {
    throw new ConfigError(`invalid time value "${word}"`);
  }
  let total = 0;
  for (const [, count, unit] of word.matchAll(/([0-9.]+)([a-z]?)/gi)) {
    total += Number(count) * (unitSeconds[(unit ?? '').toLowerCase()] as number);
  }
  if (!(total <= maxInteger)) {
    throw new ConfigError(`the time "${word}" is too long`);
  }
  return total;
}

export function port(words: Words): number {
  const value = parsePort(single(words));
  if (value === undefined) {
    throw new ConfigError(`"${words.words[0]}" is not a port number`);
  }
  return value;
}

export function expandTilde(path: string, place: Place): string {
  if (path !== '~' && !path.startsWith('~/')) {
    return path;
  }
  return `${place.homeDirectory}${path.slice(1)}`;
}

/** A path with tokens of the user; they are checked at the start, not at the first login. */
export function userFile(word: string, place: Place): string {
  const path = expandTilde(word, place);
  if (/%(?:[^%hUu]|$)/.test(path.replaceAll('%%', ''))) {
    throw new ConfigError(`"${path}" has a token other than %%, %h, %U, %u`);
  }
  return path;
}

/** Absolute at once, so that a later change of directory means nothing; `none` stays. */
export function absolutePath(word: string, place: Place): string {
  if (word.toLowerCase() === 'none') {
    return 'none';
  }
  const path = expandTilde(word, place);
  return path.startsWith('/') ? path : `${place.workingDirectory}/${path}`;
}

export interface ListenSpec {
  readonly host: string;
  /** undefined: every Port. */
  readonly port: number | undefined;
}

/** `host`, `address`, `host:port`, `[address]:port`; an address with several colons has no port. */
export function listenSpec({ words }: Words): ListenSpec {
  const [word, ...more] = words;
  if (word === undefined || word === '') {
    throw new ConfigError('missing address');
  }
  if (more.length > 0) {
    throw new ConfigError(
      more[0] === 'rdomain'
        ? 'rdomain is not supported. Leave it out'
        : 'extra arguments at end of line',
    );
  }
  if (!word.startsWith('[') && word.split(':').length > 2) {
    return { host: word, port: undefined };
  }
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(.*))?$/.exec(word);
  if (found === null) {
    throw new ConfigError(`bad address:port usage "${word}"`);
  }
  const host = found[1] ?? found[2] ?? '';
  if (found[3] === undefined) {
    return { host, port: undefined };
  }
  const number = parsePort(found[3]);
  if (number === undefined) {
    throw new ConfigError(`bad port number in "${word}"`);
  }
  return { host, port: number };
}

export function destinations(words: Words): readonly Destination[] | 'any' | 'none' {
  const list = several(words);
  const first = list[0];
  if (first === 'any' || first === 'none') {
    return single(words) as 'any' | 'none';
  }
  return list.map((word) => {
    const destination = parseDestination(word);
    if (destination === undefined) {
      throw new ConfigError(`bad host or port number in "${word}"`);
    }
    return destination;
  });
}

/** `start:rate:full`, or one number for both ends. */
export function startups(words: Words): {
  readonly start: number;
  readonly ratePercent: number;
  readonly full: number;
} {
  const word = single(words);
  const [, start, rate, full] = /^(\d{1,9})(?::(\d{1,9}):(\d{1,9}))?$/.exec(word) ?? [];
  const value = {
    start: Number(start),
    ratePercent: rate === undefined ? 30 : Number(rate),
    full: Number(full ?? start),
  };
  const isRight =
    start !== undefined &&
    value.start >= 1 &&
    value.start <= value.full &&
    value.ratePercent >= 1 &&
    value.ratePercent <= 100;
  if (!isRight) {
    throw new ConfigError(`invalid MaxStartups specification "${word}"`);
  }
  return value;
}

/** A command line as it stands, for a shell. */
export function commandLine({ rest }: Words): string {
  if (rest === '') {
    throw new ConfigError('missing argument');
  }
  return rest;
}

const sizeFactors: Readonly<Record<string, number>> = {
  '': 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
};
const minRekeyBytes = 16;

/** `default`, or a size such as `64K`, `1.5M`; 0 is no limit. */
function rekeyBytes(word: string): number {
  if (word === 'default') {
    return 0;
  }
  const [, number, unit] = /^([0-9]{1,15}|[0-9]{0,15}\.[0-9]{1,15})([KMGT]?)$/i.exec(word) ?? [];
  const bytes = Math.trunc(Number(number) * (sizeFactors[(unit ?? '').toUpperCase()] ?? NaN));
  if (number === undefined || !Number.isSafeInteger(bytes)) {
    throw new ConfigError(`Bad RekeyLimit number '${word}'`);
  }
  if (bytes !== 0 && bytes < minRekeyBytes) {
    throw new ConfigError('RekeyLimit too small');
  }
  return bytes;
}

/** RekeyLimit: a size, then perhaps a time. */
export function rekeyLimit(words: Words): {
  readonly bytes: number;
  /** undefined: nothing was said of it. */
  readonly ms: number | undefined;
} {
  const [size, time, ...more] = words.words;
  if (size === undefined || size === '') {
    throw new ConfigError('missing argument');
  }
  if (more.length > 0) {
    throw new ConfigError('extra arguments at end of line');
  }
  const isTimed = time !== undefined && time !== 'none';
  return {
    bytes: rekeyBytes(size),
    ms: isTimed ? seconds({ ...words, words: [time] }) * 1000 : undefined,
  };
}

/** RFC 4253 §4.2: the line has 255 bytes with CR LF, and ours begins it. */
const maxAddendumBytes = 128;

/** VersionAddendum: the rest of the line, or `none`. */
export function versionAddendum({ rest }: Words): string {
  if (rest.toLowerCase() === 'none') {
    return '';
  }
  if (!/^[ -~]*$/.test(rest)) {
    throw new ConfigError('Invalid VersionAddendum');
  }
  if (rest.length > maxAddendumBytes) {
    throw new ConfigError(`longer than ${maxAddendumBytes} characters`);
  }
  return rest;
}
