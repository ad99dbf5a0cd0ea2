/**
 * Which words of the command line are options and host, and which are the command: as for ssh, the
 * first word behind the host that is no option begins the command, and so does `--`. Runs in: user.
 */
import { readFileSync } from 'node:fs';
import { joinOptionalPaths } from '../optional-path.ts';
import type { KnownOptions } from './unknown-option.ts';

/** The host and the options one by one, as `-p 22` and never `-Ap22`; then `--` and the command. */
export function arrangeWords(words: readonly string[], known: KnownOptions): string[] {
  const own: string[] = [];
  let host: string | undefined;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    if (word === '--') return finish(own, host, words.slice(at + 1));
    if (!/^-./.test(word)) {
      if (host !== undefined) return finish(own, host, words.slice(at));
      host = word;
    } else {
      const value = words[at + 1];
      const [joined = word, ...left] = joinOptionalPaths(words.slice(at, at + 2));
      if (left.length === 0 && value !== undefined) at += 1;
      const { expanded, wantsValue } = expandOption(joined, known);
      own.push(...expanded);
      // `-s --` is how sftp says that the command is a subsystem.
      const isMissing = value === undefined || (value === '--' && expanded.at(-1) === '-s');
      if (wantsValue && !isMissing) {
        own.push(value);
        at += 1;
      }
    }
  }
  return host === undefined ? own : [...own, host];
}

function finish(own: readonly string[], host: string | undefined, rest: readonly string[]) {
  const hasProfile = own.some((word) => /^--profile(=|$)/.test(word));
  // The host is the profile's: what follows is the command.
  if (host === undefined && hasProfile) return [...own, '--', ...rest];
  const [first, ...others] = rest;
  const target = host ?? first;
  const command = host === undefined ? others : rest;
  if (target === undefined) return [...own];
  const isSubsystemCommand = own.at(-1) === '-s';
  const options = isSubsystemCommand ? [...own, command.join(' ')] : own;
  const left = isSubsystemCommand ? [] : command;
  // `--` was to keep it from being an option: it is no host either, and refused.
  if (target.startsWith('-')) return [...options, '--', target, ...left];
  return [...options, target, ...(left.length > 0 ? ['--', ...left] : [])];
}

interface Expanded {
  readonly expanded: readonly string[];
  readonly wantsValue: boolean;
}

function expandOption(word: string, known: KnownOptions): Expanded {
  if (word.startsWith('--')) {
    const name = word.slice(2).replace(/^no-/, '');
    return { expanded: [word], wantsValue: known.get(name) === true };
  }
  const expanded: string[] = [];
  for (let at = 1; at < word.length; at += 1) {
    const name = word[at] as string;
    const takesValue = known.get(name);
    if (takesValue === undefined) return { expanded: [...expanded, word], wantsValue: false };
    expanded.push(`-${name}`);
    if (takesValue) {
      const glued = word.slice(at + 1);
      return { expanded: glued === '' ? expanded : [...expanded, glued], wantsValue: glued === '' };
    }
  }
  return { expanded, wantsValue: false };
}

/** As ssh joins them. Bytes that are no UTF-8 are taken from the kernel, where they are whole. */
export function commandBytes(words: readonly string[]): Buffer {
  const text = words.join(' ');
  if (!text.includes('\ufffd')) return Buffer.from(text);
  const raw = readFileSync('/proc/self/cmdline').toString('latin1').split('\0').slice(0, -1);
  return Buffer.from(raw.slice(-words.length).join(' '), 'latin1');
}
