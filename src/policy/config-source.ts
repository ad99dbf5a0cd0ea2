/**
 * Where configuration comes from: files, names of files, addresses of names. The port that the
 * reader is tested through, and the real one. Runs in: monitor, launcher.
 */
import { lookup } from 'node:dns/promises';
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from 'node:fs';
import { homedir } from 'node:os';
import type { Place } from './values.ts';

export interface ConfigSource extends Place {
  /** At most `maxBytes` + 1 bytes. Throws what the system says. */
  readFile(path: string, maxBytes: number): Buffer;
  /** Existing paths in lexical order, as glob(3); a pattern without wildcards: itself if there. */
  glob(pattern: string): readonly string[];
  /** Throws when the name has no address of the family. */
  resolve(
    host: string,
    family: 0 | 4 | 6,
  ): Promise<readonly { readonly address: string; readonly family: number }[]>;
}

function readFileBounded(path: string, maxBytes: number): Buffer {
  // A pipe that nobody writes to would hold up the start, and a restart, for ever.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = fstatSync(descriptor);
    if (stats.isDirectory()) {
      throw new Error('Is a directory');
    }
    // /dev/null is a configuration without lines.
    if (!stats.isFile() && !stats.isCharacterDevice()) {
      throw new Error('Not a file');
    }
    const bytes = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (;;) {
      const count = readSync(descriptor, bytes, length, bytes.length - length, null);
      length += count;
      if (count === 0 || length === bytes.length) {
        return bytes.subarray(0, length);
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

/** As glob(3): a link counts, wherever it leads; what cannot be looked at is told by who reads it. */
function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return !['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(code);
  }
}

/** One component of glob(7): `*`, `?`, `[…]`, `\x`; a leading dot is matched only by a dot. */
export function globExpression(component: string): RegExp | undefined {
  const source = component.replace(
    /\\(.)|\[(!?)(\]?[^\]]*)\]|[*?]|[.+^${}()|[\]\\/]/gs,
    (whole, escaped: string | undefined, not: string | undefined, set: string | undefined) => {
      if (escaped !== undefined) {
        return escaped.replace(/[^A-Za-z0-9]/gu, '\\$&');
      }
      if (set !== undefined) {
        return `[${not === '!' ? '^' : ''}${set.replace(/[\\[\]^]/g, '\\$&')}]`;
      }
      return whole === '*' ? '[^/]*' : whole === '?' ? '[^/]' : `\\${whole}`;
    },
  );
  const guard = component.startsWith('.') ? '' : '(?!\\.)';
  try {
    return new RegExp(`^${guard}${source}$`, 's');
  } catch {
    // A range that runs backwards, `[z-a]`, matches nothing.
    return undefined;
  }
}

function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory === '' ? '/' : directory);
  } catch {
    // As glob(3): a directory that is not there or may not be read has no matches.
    return [];
  }
}

function expand(prefixes: readonly string[], component: string): readonly string[] {
  if (!/[*?[\\]/.test(component)) {
    return prefixes.map((prefix) => `${prefix}/${component}`);
  }
  const expression = globExpression(component);
  return prefixes.flatMap((prefix) =>
    entriesOf(prefix)
      .filter((name) => expression?.test(name) === true)
      .map((name) => `${prefix}/${name}`),
  );
}

export function globFiles(pattern: string): readonly string[] {
  const components = pattern.split('/').filter((component) => component !== '');
  return components
    .reduce<readonly string[]>(expand, [''])
    .filter(exists)
    .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Missing, or behind something that is: the same to who wants to run it.
    return false;
  }
}

export function systemSource(): ConfigSource {
  return {
    workingDirectory: process.cwd(),
    homeDirectory: homedir(),
    isExecutable,
    readFile: readFileBounded,
    glob: globFiles,
    resolve: (host, family) => lookup(host, { all: true, family, order: 'verbatim' }),
  };
}
