/**
 * Reads a configuration: lines, Include, the tables of keywords, all errors at once. Nothing of it
 * knows what a keyword means. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ConfigSource } from './config-source.ts';
import type { KeywordRow } from './keyword.ts';
import {
  type Criterion,
  type MatchBlock,
  matchKeywords,
  matchKeywordsToCome,
  parseMatch,
} from './match.ts';
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
  /** Whether there are Match blocks. */
  readonly hasMatch: boolean;
}

export interface ReadResult<D> {
  /** Of the lines that stand in no Match block. */
  readonly draft: Partial<D>;
  /** In the order of the files. */
  readonly blocks: readonly MatchBlock<D>[];
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
const maxBlocks = 4096;
const includeKeyword = 'include';
const matchKeyword = 'match';
/** How `where` begins for an option of the command line. */
export const commandLinePlace = 'command-line:';
/** A keyword may be a line of garbage. */
const shownCharacters = 64;

type Handler = (written: string, rest: string, where: string, depth: number) => void;

export class ConfigReader<D, C> {
  readonly #grammar: Grammar<D, C>;
  readonly #source: ConfigSource;
  readonly #handlers = new Map<string, Handler>();
  readonly #draft: Partial<D> = {};
  readonly #blocks: MatchBlock<D>[] = [];
  /** Of the Match that the present line stands in; undefined: none. */
  #criteria: readonly Criterion[] | undefined;
  /** What the present line of a block is added to. */
  #into: Partial<D> = this.#draft;
  readonly #errors: string[] = [];
  readonly #notices: string[] = [];
  readonly #noticed = new Set<string>();
  readonly #places = new Map<string, string>();
  /** Of the Match that the present file was included in. */
  #outerCriteria: readonly Criterion[] = [];
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
    if (grammar.hasMatch) {
      this.#handlers.set(matchKeyword, this.#match);
    }
  }

  get result(): ReadResult<D> {
    return {
      draft: this.#draft,
      blocks: this.#blocks,
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
      const words = { keyword: written, words: splitWords(rest), rest };
      const isForAll = this.#criteria?.length === 0;
      if (this.#criteria === undefined || isForAll) {
        if (!this.#places.has(key)) {
          this.#places.set(key, where);
        }
        row.accept(this.#draft, words, this.#source);
      }
      if (this.#criteria === undefined || (isForAll && !matchKeywords.has(key))) {
        return;
      }
      checkInMatch(written, key);
      row.accept(this.#into, words, this.#source);
    };
  }

  /**
   * Up to the next one, or the end of the file that it stands in. `Match all` ends a block, as in
   * sshd: every keyword may follow, counts for everybody, and beats what stood in front of the blocks.
   */
  readonly #match: Handler = (_written, rest, where) => {
    if (where.startsWith(commandLinePlace)) {
      throw new ConfigError('Match directive not supported as a command-line option');
    }
    const words = splitWords(rest);
    if (words.length === 0) {
      throw new ConfigError('One or more attributes required for Match');
    }
    try {
      this.#enter([...this.#outerCriteria, ...parseMatch(words)]);
    } catch (error) {
      // What follows is checked all the same, and belongs to nobody.
      this.#enter([() => false]);
      throw error;
    }
  };

  #enter(criteria: readonly Criterion[] | undefined): void {
    this.#criteria = criteria;
    if (criteria === undefined) {
      this.#into = this.#draft;
      return;
    }
    if (this.#blocks.length >= maxBlocks) {
      throw new ConfigError(`more than ${maxBlocks} Match blocks`);
    }
    const block: MatchBlock<D> = { criteria, draft: {} };
    this.#blocks.push(block);
    this.#into = block.draft;
  }

  readonly #accepted: Handler = (written, rest, where) => {
    if (this.#criteria !== undefined && this.#criteria.length > 0) {
      checkInMatch(written, written.toLowerCase());
    }
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
    const criteria = this.#criteria;
    const outer = this.#outerCriteria;
    this.#outerCriteria = criteria ?? [];
    const lines = bytes.toString('utf8').split('\n');
    for (const [index, line] of lines.entries()) {
      this.readLine(line, `${path}:${index + 1}`, depth);
    }
    this.#outerCriteria = outer;
    if (this.#criteria !== criteria) {
      // A Match ends with its file; the one around it goes on, behind it in order.
      this.#enter(criteria);
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

function checkInMatch(written: string, key: string): void {
  if (matchKeywordsToCome.has(key)) {
    throw new ConfigError('not supported within a Match block yet');
  }
  if (!matchKeywords.has(key)) {
    throw new ConfigError(`Directive '${written}' is not allowed within a Match block`);
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
