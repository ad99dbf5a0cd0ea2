/**
 * ssh_config(5): Host and Match blocks and Include, applied to a collector of options. Pure: the
 * texts of files come from a callback. Runs in: user.
 */
import { ConfigError } from '../../base/errors.ts';
import { matchesPatternList } from './glob.ts';
import type { OptionCollector } from './options.ts';
import { splitOption } from './options.ts';

export interface ConfigTarget {
  /** The name as given on the command line. */
  readonly originalHost: string;
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

const maxIncludeDepth = 16;

/**
 * Applies one file. Throws ConfigError with `path:line: keyword: what is wrong`; gives the options
 * that ssh knows and this client does not, of the blocks that applied.
 */
export async function applyConfig(
  source: ConfigSource,
  target: ConfigTarget,
  options: OptionCollector,
  include: IncludeReader,
): Promise<IgnoredOption[]> {
  const reader = new ConfigReader(target, options, include);
  await reader.read(source, true, 0);
  return reader.ignored;
}

class ConfigReader {
  readonly #target: ConfigTarget;
  readonly #options: OptionCollector;
  readonly #include: IncludeReader;
  readonly ignored: IgnoredOption[] = [];

  constructor(target: ConfigTarget, options: OptionCollector, include: IncludeReader) {
    this.#target = target;
    this.#options = options;
    this.#include = include;
  }

  async read(source: ConfigSource, applies: boolean, depth: number): Promise<void> {
    if (depth > maxIncludeDepth) throw new ConfigError(`${source.path}: too many nested includes`);
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
        isActive = this.#matchApplies(option.words, where) && applies;
      } else if (keyword === 'include') {
        await this.#readIncluded(option.words, isActive, depth);
      } else if (isActive) {
        this.#apply(option.name, option.words, source.path, line);
      }
    }
  }

  async #readIncluded(patterns: readonly string[], isActive: boolean, depth: number) {
    for (const pattern of patterns) {
      for (const file of await this.#include(pattern)) await this.read(file, isActive, depth + 1);
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
    return matchesPatternList(this.#target.originalHost, patterns);
  }

  /** Criteria that run a command or look at another phase are refused rather than guessed. */
  #matchApplies(words: readonly string[], where: string): boolean {
    if (words.length === 0) throw new ConfigError(`${where}: Match: a criterion is missing`);
    let matches = true;
    for (let at = 0; at < words.length; at += 1) {
      const word = words[at] ?? '';
      const isNegated = word.startsWith('!');
      const criterion = word.replace(/^!/, '').toLowerCase();
      if (criterion === 'all') continue;
      const subject = this.#subjectOf(criterion);
      if (subject === undefined) {
        throw new ConfigError(`${where}: Match ${criterion}: not supported by this client`);
      }
      at += 1;
      const list = words[at];
      if (list === undefined) throw new ConfigError(`${where}: Match ${criterion}: no pattern`);
      const isName = criterion.endsWith('host');
      const patterns = (isName ? list.toLowerCase() : list).split(',');
      const text = isName ? subject.toLowerCase() : subject;
      if (matchesPatternList(text, patterns) === isNegated) matches = false;
    }
    return matches;
  }

  #subjectOf(criterion: string): string | undefined {
    const target = this.#target;
    if (criterion === 'host') {
      return this.#options.text.get('hostname') ?? target.originalHost;
    }
    if (criterion === 'originalhost') return target.originalHost;
    if (criterion === 'user') return this.#options.text.get('user') ?? target.defaultUser;
    return criterion === 'localuser' ? target.localUser : undefined;
  }
}
