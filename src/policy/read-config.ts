/**
 * Reads a configuration: lines, Include, the tables of keywords, all errors at once. Nothing of it
 * knows what a keyword means. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ConfigSource } from './config-source.ts';
import type { ConfigLine, LineKind } from './config-line.ts';
import type { KeywordRow } from './keyword.ts';
import type { Criterion, MatchBlock } from './match.ts';
import { splitKeyword, splitWords } from './words.ts';

/** The keywords of one kind of file. */
export interface Grammar<D, C> {
  readonly keywords: readonly KeywordRow<D, C>[];
  readonly meaningless: readonly string[];
  readonly deprecated: readonly string[];
  readonly unsupported: readonly string[];
  /** What the patterns of Include are relative to. */
  readonly directory: string;
  /** What may stand in a Match block, in lower case. */
  readonly matchKeywords: ReadonlySet<string>;
  /** Criteria of a Match. Throws ConfigError. */
  readonly parseMatch: (words: readonly string[]) => readonly Criterion[];
}

export interface ReadResult<D> {
  /** Of the lines that stand in no Match block. */
  readonly draft: Partial<D>;
  /** In the order of the files. */
  readonly blocks: readonly MatchBlock<D>[];
  /** `FILE:LINE: KEYWORD: what is wrong`. */
  readonly errors: readonly string[];
  readonly notices: readonly string[];
  /** For who debugs. */
  readonly details: readonly string[];
  /** Keyword in lower case → `FILE:LINE` of the first line that has it. */
  readonly places: ReadonlyMap<string, string>;
}

const maxDepth = 16;
const maxTotalBytes = 1024 * 1024;
const maxFiles = 1024;
/** Beyond this the file is not a configuration. */
const maxErrors = 100;
const maxBlocks = 4096;
/** The file of an option of the command line. */
export const commandLinePlace = 'command-line';
/** A keyword may be a line of garbage. */
const shownCharacters = 64;

type Handler = (written: string, rest: string, where: string, depth: number) => void;

interface Known {
  readonly kind: LineKind;
  /** Of a row. */
  readonly name: string | undefined;
  readonly handle: Handler;
}

export class ConfigReader<D, C> {
  readonly #grammar: Grammar<D, C>;
  readonly #source: ConfigSource;
  readonly #onLine: ((line: ConfigLine) => void) | undefined;
  readonly #known = new Map<string, Known>();
  readonly #draft: Partial<D> = {};
  readonly #blocks: MatchBlock<D>[] = [];
  /** That the present line stands in; undefined: none. */
  #block: MatchBlock<D> | undefined;
  readonly #errors: string[] = [];
  #moreErrors = 0;
  #order = 0;
  readonly #notices: string[] = [];
  readonly #details: string[] = [];
  readonly #noticed = new Set<string>();
  readonly #places = new Map<string, string>();
  /** Of the Match that the present file was included in. */
  #outerCriteria: readonly Criterion[] = [];
  #bytes = 0;
  #files = 0;

  /** `onLine` is told of every line, the wrong ones too. */
  constructor(grammar: Grammar<D, C>, source: ConfigSource, onLine?: (line: ConfigLine) => void) {
    this.#grammar = grammar;
    this.#source = source;
    this.#onLine = onLine;
    const know = (name: string, known: Known): void => {
      this.#known.set(name.toLowerCase(), known);
    };
    for (const row of grammar.keywords) {
      for (const name of [row.name, ...row.aliases]) {
        know(name, { kind: 'row', name: row.name, handle: this.#honoured(row) });
      }
    }
    const kinds = [
      ['meaningless', grammar.meaningless, this.#meaningless],
      ['deprecated', grammar.deprecated, this.#deprecated],
      ['wrong', grammar.unsupported, this.#unsupported],
    ] as const;
    for (const [kind, names, handle] of kinds) {
      for (const name of names) {
        know(name, { kind, name: undefined, handle });
      }
    }
    know('Include', { kind: 'include', name: undefined, handle: this.#include });
    know('Match', { kind: 'match', name: undefined, handle: this.#match });
  }

  get result(): ReadResult<D> {
    const more = this.#moreErrors;
    return {
      draft: this.#draft,
      blocks: this.#blocks,
      errors: more === 0 ? this.#errors : [...this.#errors, `${more} more errors are not shown`],
      notices: this.#notices,
      details: this.#details,
      places: this.#places,
    };
  }

  #error(text: string): void {
    if (this.#errors.length < maxErrors) {
      this.#errors.push(text);
    } else {
      this.#moreErrors++;
    }
  }

  #notice(where: string, keyword: string, text: string): void {
    if (!this.#noticed.has(keyword.toLowerCase())) {
      this.#noticed.add(keyword.toLowerCase());
      this.#notices.push(`${where}: ${keyword}: ${text}`);
    }
  }

  /** As sshd: behind a `Match all` every keyword may stand. */
  #checkPlace(written: string): void {
    if (this.#block !== undefined && this.#block.criteria.length > 0) {
      this.#checkInMatch(written);
    }
  }

  #mayBeInMatch(written: string): boolean {
    return this.#grammar.matchKeywords.has(written.toLowerCase());
  }

  #checkInMatch(written: string): void {
    if (!this.#mayBeInMatch(written)) {
      throw new ConfigError(`Directive '${written}' is not allowed within a Match block`);
    }
  }

  #honoured(row: KeywordRow<D, C>): Handler {
    const key = row.name.toLowerCase();
    return (written, rest, where) => {
      const words = { keyword: written, words: splitWords(rest), rest };
      const block = this.#block;
      if (block === undefined || block.criteria.length === 0) {
        if (!this.#places.has(key)) {
          this.#places.set(key, where);
        }
        row.accept(this.#draft, words, this.#source);
      }
      if (block === undefined || (block.criteria.length === 0 && !this.#mayBeInMatch(written))) {
        return;
      }
      this.#checkInMatch(written);
      row.accept(block.draft, words, this.#source);
      block.rows.add(row);
    };
  }

  /**
   * Up to the next one, or the end of the file that it stands in. `Match all` ends a block, as in
   * sshd: every keyword may follow, counts for everybody, and beats what stood in front of the blocks.
   */
  readonly #match: Handler = (_written, rest, where) => {
    if (where.startsWith(`${commandLinePlace}:`)) {
      throw new ConfigError('Match directive not supported as a command-line option');
    }
    const words = splitWords(rest);
    if (words.length === 0) {
      throw new ConfigError('One or more attributes required for Match');
    }
    const parse = this.#grammar.parseMatch;
    // Behind a wrong one all lines are checked just the same, and belong to nobody.
    let criteria: readonly Criterion[] = [() => false];
    try {
      if (this.#blocks.length >= maxBlocks) {
        throw new ConfigError(`more than ${maxBlocks} Match blocks`);
      }
      criteria = [...this.#outerCriteria, ...parse(words)];
    } finally {
      this.#enter({ criteria, draft: {}, rows: new Set() });
    }
  };

  #enter(block: MatchBlock<D> | undefined): void {
    this.#block = block;
    if (block !== undefined && this.#blocks.length < maxBlocks) {
      this.#blocks.push(block);
    }
  }

  readonly #meaningless: Handler = (written, rest, where) => {
    this.#checkPlace(written);
    splitWords(rest);
    this.#details.push(`${where}: ${written}: means nothing here, ignored`);
  };

  readonly #deprecated: Handler = (written, rest, where) => {
    this.#checkPlace(written);
    splitWords(rest);
    this.#notice(where, written, 'deprecated option, ignored');
  };

  readonly #unsupported: Handler = () => {
    throw new ConfigError('not supported. Leave the line out');
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
        // Once, and not one of those that are only counted.
        this.#errors.push(`${at}: more than ${maxFiles} files`);
      }
      return;
    }
    const bytes = this.#readBounded(path, at);
    if (bytes === undefined) {
      return;
    }
    const block = this.#block;
    const outer = this.#outerCriteria;
    this.#outerCriteria = block?.criteria ?? [];
    const lines = bytes.toString('utf8').split('\n');
    for (const [index, line] of lines.entries()) {
      this.readLine(line, path, index + 1, depth);
    }
    this.#outerCriteria = outer;
    if (this.#block !== block) {
      // A Match ends with its file; the one around it goes on, behind it in order.
      this.#enter(block === undefined ? undefined : { ...block, draft: {}, rows: new Set() });
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
      this.#error(`${at}: more than ${maxTotalBytes} bytes of configuration`);
    } catch (error) {
      this.#error(`${at}: ${systemText(error)}`);
    }
    return undefined;
  }

  /** One line of a file, or an option of the command line. */
  readLine(text: string, file: string, line: number, depth = 0): void {
    const found = splitKeyword(text);
    if (found === undefined) {
      return;
    }
    const { keyword, rest } = found;
    const known = this.#known.get(keyword.toLowerCase());
    const before = this.#block;
    const order = this.#order++;
    let problem: string | undefined;
    try {
      if (text.includes('\0')) {
        throw new ConfigError('a NUL byte in the line');
      }
      if (known === undefined) {
        throw new ConfigError('Bad configuration option');
      }
      if (rest === '') {
        throw new ConfigError('no argument after the keyword');
      }
      known.handle(keyword, rest, `${file}:${line}`, depth);
    } catch (error) {
      if (!(error instanceof ConfigError)) {
        throw error;
      }
      problem = error.detail;
      this.#error(`${file}:${line}: ${keyword.slice(0, shownCharacters)}: ${problem}`);
    }
    this.#onLine?.({
      order,
      file,
      line,
      keyword,
      rest,
      kind: problem === undefined ? (known?.kind ?? 'wrong') : 'wrong',
      name: known?.name,
      problem,
      block: known?.kind === 'match' ? this.#block : before,
    });
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
