/**
 * Reads a configuration: lines, Include, the tables of keywords, all errors at once. Nothing of it
 * knows what a keyword means. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ConfigSource } from './config-source.ts';
import type { KeywordRow } from './keyword.ts';
import { yesNo } from './values.ts';
import { splitKeyword, splitWords } from './words.ts';

/** The keywords of one kind of file. */
export interface Grammar<D, C> {
  readonly keywords: readonly KeywordRow<D, C>[];
  readonly accepted: readonly string[];
  readonly deprecated: readonly string[];
  readonly unsupported: readonly string[];
  /** What the patterns of Include are relative to. */
  readonly directory: string;
}

export interface ReadResult<D> {
  readonly draft: Partial<D>;
  /** `FILE:LINE: KEYWORD: what is wrong`. */
  readonly errors: readonly string[];
  readonly notices: readonly string[];
  /** Keyword in lower case → `FILE:LINE` of the first line that has it. */
  readonly places: ReadonlyMap<string, string>;
}

const maxDepth = 16;
const maxTotalBytes = 1024 * 1024;
const maxFiles = 1024;
/** Beyond this the file is not a configuration. */
const maxErrors = 100;
const includeKeyword = 'include';
/** A keyword may be a line of garbage. */
const shownCharacters = 64;

type Handler = (written: string, rest: string, where: string, depth: number) => void;

export class ConfigReader<D, C> {
  readonly #grammar: Grammar<D, C>;
  readonly #source: ConfigSource;
  readonly #handlers = new Map<string, Handler>();
  readonly #draft: Partial<D> = {};
  readonly #errors: string[] = [];
  readonly #notices: string[] = [];
  readonly #noticed = new Set<string>();
  readonly #places = new Map<string, string>();
  #bytes = 0;
  #files = 0;

  constructor(grammar: Grammar<D, C>, source: ConfigSource) {
    this.#grammar = grammar;
    this.#source = source;
    for (const row of grammar.keywords) {
      for (const name of [row.name, ...row.aliases]) {
        this.#handlers.set(name.toLowerCase(), this.#honoured(row));
      }
    }
    const kinds = [
      [grammar.accepted, this.#accepted],
      [grammar.deprecated, this.#deprecated],
      [grammar.unsupported, this.#unsupported],
    ] as const;
    for (const [names, handler] of kinds) {
      for (const name of names) {
        this.#handlers.set(name.toLowerCase(), handler);
      }
    }
    this.#handlers.set(includeKeyword, this.#include);
  }

  get result(): ReadResult<D> {
    return {
      draft: this.#draft,
      errors: this.#errors,
      notices: this.#notices,
      places: this.#places,
    };
  }

  #wrong(where: string, keyword: string, text: string): void {
    if (this.#errors.length < maxErrors) {
      this.#errors.push(`${where}: ${keyword.slice(0, shownCharacters)}: ${text}`);
    }
  }

  #notice(where: string, keyword: string, text: string): void {
    if (!this.#noticed.has(keyword.toLowerCase())) {
      this.#noticed.add(keyword.toLowerCase());
      this.#notices.push(`${where}: ${keyword}: ${text}`);
    }
  }

  #honoured(row: KeywordRow<D, C>): Handler {
    return (written, rest, where) => {
      const key = row.name.toLowerCase();
      if (!this.#places.has(key)) {
        this.#places.set(key, where);
      }
      row.accept(this.#draft, { keyword: written, words: splitWords(rest), rest }, this.#source);
    };
  }

  readonly #accepted: Handler = (written, rest, where) => {
    yesNo({ keyword: written, words: splitWords(rest), rest });
    this.#notice(where, written, 'accepted, but not yet in effect');
  };

  readonly #deprecated: Handler = (written, _rest, where) => {
    this.#notice(where, written, 'deprecated option, ignored');
  };

  readonly #unsupported: Handler = () => {
    throw new ConfigError('not supported yet');
  };

  readonly #include: Handler = (_written, rest, where, depth) => {
    const patterns = splitWords(rest);
    if (patterns.length === 0 || patterns.includes('')) {
      throw new ConfigError('missing argument');
    }
    if (depth >= maxDepth) {
      throw new ConfigError(`nested more than ${maxDepth} deep`);
    }
    for (const pattern of patterns) {
      const path = pattern.startsWith('/') ? pattern : `${this.#grammar.directory}/${pattern}`;
      for (const file of this.#source.glob(path)) {
        this.readFile(file, where, depth + 1);
      }
    }
  };

  /** `where`: who asked for the file, for the error when it cannot be read. */
  readFile(path: string, where: string | undefined = undefined, depth = 0): void {
    const at = where === undefined ? path : `${where}: Include: ${path}`;
    this.#files++;
    if (this.#files > maxFiles) {
      if (this.#files === maxFiles + 1) {
        this.#errors.push(`${at}: more than ${maxFiles} files`);
      }
      return;
    }
    const bytes = this.#readBounded(path, at);
    if (bytes === undefined) {
      return;
    }
    const lines = bytes.toString('utf8').split('\n');
    for (const [index, line] of lines.entries()) {
      this.readLine(line, `${path}:${index + 1}`, depth);
    }
  }

  #readBounded(path: string, at: string): Buffer | undefined {
    try {
      const bytes = this.#source.readFile(path, maxTotalBytes - this.#bytes);
      this.#bytes += bytes.length;
      if (this.#bytes <= maxTotalBytes) {
        return bytes;
      }
      this.#bytes = maxTotalBytes;
      this.#errors.push(`${at}: more than ${maxTotalBytes} bytes of configuration`);
    } catch (error) {
      this.#errors.push(`${at}: ${systemText(error)}`);
    }
    return undefined;
  }

  /** One line of a file, or an option of the command line. */
  readLine(line: string, where: string, depth = 0): void {
    const found = splitKeyword(line);
    if (found === undefined) {
      return;
    }
    const { keyword, rest } = found;
    try {
      if (line.includes('\0')) {
        throw new ConfigError('a NUL byte in the line');
      }
      const handler = this.#handlers.get(keyword.toLowerCase());
      if (handler === undefined) {
        throw new ConfigError('Bad configuration option');
      }
      if (rest === '') {
        throw new ConfigError('no argument after the keyword');
      }
      handler(keyword, rest, where, depth);
    } catch (error) {
      if (!(error instanceof ConfigError)) {
        throw error;
      }
      this.#wrong(where, keyword, error.detail);
    }
  }
}

/** `No such file or directory` and the like, without the call and the path that Node adds. */
function systemText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'No such file or directory',
    EACCES: 'Permission denied',
    EISDIR: 'Is a directory',
    ELOOP: 'Too many levels of symbolic links',
    ENOTDIR: 'Not a directory',
  };
  return (code === undefined ? undefined : known[code]) ?? message;
}
