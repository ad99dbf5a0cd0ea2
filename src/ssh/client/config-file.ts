/**
 * ssh_config(5): Host and Match blocks and Include, applied to a collector of options. `Match exec`
 * is never run. Pure: the texts of files come from a callback. Runs in: user.
 */
import { ConfigError } from '../../base/errors.ts';
import { matchesPatternList } from './glob.ts';
import type { OptionCollector } from './options.ts';
import { splitOption } from './options.ts';

export interface ConfigTarget {
  /** The name as given on the command line. */
  readonly originalHost: string;
  /** What `Host` is compared with: the same, and in the final pass the name that is dialled. */
  readonly host: string;
  /** The files are read once more because one of them has `Match final`. */
  readonly isFinalPass: boolean;
  readonly localUser: string;
  /** `-l` or `user@`, if any: what `Match user` sees before the file says otherwise. */
  readonly defaultUser: string;
}

export interface ConfigSource {
  readonly path: string;
  readonly text: string;
}

/** Files of an Include pattern, in order; a missing file is no file. */
export type IncludeReader = (pattern: string) => Promise<readonly ConfigSource[]>;

export interface IgnoredOption {
  readonly name: string;
  readonly path: string;
  readonly line: number;
}

export interface AppliedConfig {
  /** Options that ssh knows and this client does not, of the blocks that applied. */
  readonly ignored: readonly IgnoredOption[];
  readonly wantsFinalPass: boolean;
}

const maxIncludeDepth = 16;
/** A file that includes itself twice would be read 2^16 times. */
const maxIncludedFiles = 1024;
/** Criteria that ssh knows: they run a command, or ask for what a desktop has not. */
const otherCriteria = new Set(
  'exec localnetwork tagged command sessiontype version canonicalizehostname'.split(' '),
);

/** Applies one file. Throws ConfigError with `path:line: keyword: what is wrong`. */
export async function applyConfig(
  source: ConfigSource,
  target: ConfigTarget,
  options: OptionCollector,
  include: IncludeReader,
): Promise<AppliedConfig> {
  const reader = new ConfigReader(target, options, include);
  await reader.read(source, true, 0);
  return reader;
}

class ConfigReader implements AppliedConfig {
  readonly #target: ConfigTarget;
  readonly #options: OptionCollector;
  readonly #include: IncludeReader;
  readonly ignored: IgnoredOption[] = [];
  wantsFinalPass = false;
  #includedFiles = 0;

  constructor(target: ConfigTarget, options: OptionCollector, include: IncludeReader) {
    this.#target = target;
    this.#options = options;
    this.#include = include;
  }

  async read(source: ConfigSource, applies: boolean, depth: number): Promise<void> {
    if (depth > maxIncludeDepth) throw new ConfigError(`${source.path}: too many nested includes`);
    if (source.text.includes('\0')) throw new ConfigError(`${source.path}: holds a NUL`);
    let isActive = applies;
    let line = 0;
    for (const text of source.text.split('\n')) {
      line += 1;
      const trimmed = text.trim();
      if (trimmed === '' || trimmed.startsWith('#')) continue;
      const where = `${source.path}:${line}`;
      const option = splitOption(trimmed);
      if (!option) throw new ConfigError(`${where}: not an option or an open quote`);
      const keyword = option.name.toLowerCase();
      if (keyword === 'host') {
        isActive = applies && this.#hostApplies(option.words, where);
      } else if (keyword === 'match') {
        // `user=root` too, as elsewhere in the file.
        const words = option.words.flatMap((word) => splitAtEquals(word));
        isActive = applies && this.#matchApplies(words, where);
      } else if (keyword === 'include') {
        await this.#readIncluded(option.words, isActive, depth);
      } else if (isActive) {
        this.#apply(option.name, option.words, source.path, line);
      }
    }
  }

  async #readIncluded(patterns: readonly string[], isActive: boolean, depth: number) {
    for (const pattern of patterns) {
      for (const file of await this.#include(pattern)) {
        this.#includedFiles += 1;
        if (this.#includedFiles > maxIncludedFiles) {
          throw new ConfigError(`${file.path}: too many included files`);
        }
        await this.read(file, isActive, depth + 1);
      }
    }
  }

  #apply(name: string, words: readonly string[], path: string, line: number): void {
    const outcome = this.#options.set(name, words);
    if (outcome.is === 'wrong') throw new ConfigError(`${path}:${line}: ${outcome.why}`);
    if (outcome.is === 'ignored') this.ignored.push({ name: outcome.name, path, line });
  }

  #hostApplies(patterns: readonly string[], where: string): boolean {
    if (patterns.length === 0) throw new ConfigError(`${where}: Host: a pattern is missing`);
    // As ssh has it: `Host` minds the case of what was typed, `Match host` does not.
    return matchesPatternList(this.#target.host, patterns);
  }

  /**
   * From left to right, as ssh: behind a criterion that does not hold nothing is looked at. One that
   * cannot be answered is refused rather than guessed.
   */
  #matchApplies(words: readonly string[], where: string): boolean {
    if (words.length === 0) throw new ConfigError(`${where}: Match: a criterion is missing`);
    let matches = true;
    for (let at = 0; at < words.length; at += 1) {
      const word = words[at] ?? '';
      const isNegated = word.startsWith('!');
      const criterion = word.replace(/^!/, '').toLowerCase();
      if (criterion === 'all') {
        if (isNegated || words.length > at + 1 || !words.slice(0, at).every(isPass)) {
          throw new ConfigError(`${where}: Match all: goes with no other criterion`);
        }
        continue;
      }
      if (isPass(word)) {
        this.wantsFinalPass ||= word.toLowerCase() === 'final';
        if (this.#target.isFinalPass === isNegated) matches = false;
        continue;
      }
      at += 1;
      const list = words[at];
      if (list === undefined) throw new ConfigError(`${where}: Match ${criterion}: no pattern`);
      if (matches) matches = this.#criterionHolds(criterion, list, where) !== isNegated;
    }
    return matches;
  }

  #criterionHolds(criterion: string, list: string, where: string): boolean {
    const subject = this.#subjectOf(criterion);
    if (subject === undefined) {
      const why = otherCriteria.has(criterion)
        ? 'not supported by this client; put it into a file that only ssh reads'
        : 'no such criterion of ssh_config(5)';
      throw new ConfigError(`${where}: Match ${criterion}: ${why}`);
    }
    const isName = criterion.endsWith('host');
    const patterns = (isName ? list.toLowerCase() : list).split(',');
    return matchesPatternList(isName ? subject.toLowerCase() : subject, patterns);
  }

  #subjectOf(criterion: string): string | undefined {
    const target = this.#target;
    if (criterion === 'host') {
      return this.#options.text.get('hostname') ?? target.host;
    }
    if (criterion === 'originalhost') return target.originalHost;
    if (criterion === 'user') return this.#options.text.get('user') ?? target.defaultUser;
    return criterion === 'localuser' ? target.localUser : undefined;
  }
}

function splitAtEquals(word: string): string[] {
  const [, name, value] = /^(!?[A-Za-z]+)=(.*)$/s.exec(word) ?? [];
  return name === undefined || value === undefined
    ? [word]
    : [name, value].filter((part) => part !== '');
}

/** Criteria without a pattern: a name is canonical here only in so far as the pass is the last. */
function isPass(word: string): boolean {
  return /^!?(?:canonical|final)$/i.test(word);
}
