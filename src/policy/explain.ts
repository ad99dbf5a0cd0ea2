/**
 * What becomes of each line of a configuration, for a connection or for any: which lines count, which
 * are overridden by which, which are not supported; and which line each value comes from. Pure.
 * Runs in: user.
 */
import type { ConfigLine } from './config-line.ts';
import type { KeywordRow } from './keyword.ts';
import {
  appliesTo,
  judged,
  type JudgedSubject,
  type MatchBlock,
  type MatchSubject,
} from './match.ts';
import type { Place } from './values.ts';
import { splitWords, type Words } from './words.ts';

export type LineVerdict =
  /** As in sshd. */
  | 'honoured'
  /** Honoured, but for what the note says. */
  | 'stricter'
  | 'no effect'
  | 'overridden'
  /** It stands in a block that does not apply. */
  | 'not matched'
  /** It stands in a block, and no connection was named. */
  | 'if matched'
  | 'deprecated'
  | 'not supported'
  | 'wrong'
  | 'include'
  | 'match';

export interface ExplainedLine {
  readonly file: string;
  readonly line: number;
  readonly keyword: string;
  /** What stands behind the keyword. */
  readonly text: string;
  readonly verdict: LineVerdict;
  /** Why, or what is otherwise; empty: there is nothing to say. */
  readonly note: string;
  /** `FILE:LINE` of the line that wins; only of `overridden`. */
  readonly overriddenBy: string | undefined;
}

export interface Winner {
  readonly keyword: string;
  /** `FILE:LINE` of each line that counts. */
  readonly from: readonly string[];
}

export interface Explanation {
  readonly lines: readonly ExplainedLine[];
  /** Of the keywords that lines name, in the order of the table. */
  readonly winners: readonly Winner[];
}

type Row = KeywordRow<never, never>;

export function whereOf({ file, line }: Pick<ConfigLine, 'file' | 'line'>): string {
  return `${file}:${line}`;
}

function wordsOf({ keyword, rest }: ConfigLine): Words {
  return { keyword, words: splitWords(rest), rest };
}

/** How a line stands to the connection. */
type Standing = 'outside' | 'applies' | 'not matched' | 'if matched';

class Explainer {
  readonly #rows: ReadonlyMap<string, Row>;
  readonly #matchKeywords: ReadonlySet<string>;
  readonly #place: Place;
  readonly #subject: JudgedSubject | undefined;
  readonly #lines: readonly ConfigLine[];
  /** Criteria → the line of their Match. */
  readonly #matches = new Map<MatchBlock<unknown>['criteria'], string>();

  constructor(
    lines: readonly ConfigLine[],
    rows: readonly Row[],
    matchKeywords: ReadonlySet<string>,
    place: Place,
    subject: MatchSubject | undefined,
  ) {
    this.#lines = lines.toSorted((a, b) => a.order - b.order);
    this.#rows = new Map(rows.map((row) => [row.name, row]));
    this.#matchKeywords = matchKeywords;
    this.#place = place;
    this.#subject = subject === undefined ? undefined : judged(subject);
    for (const line of this.#lines) {
      if (line.block !== undefined && !this.#matches.has(line.block.criteria)) {
        this.#matches.set(line.block.criteria, whereOf(line));
      }
    }
  }

  #standing({ block }: ConfigLine): Standing {
    if (block === undefined) {
      return 'outside';
    }
    if (block.criteria.length === 0) {
      return 'applies';
    }
    if (this.#subject === undefined) {
      return 'if matched';
    }
    return appliesTo(block, this.#subject) ? 'applies' : 'not matched';
  }

  /** The lines of one keyword that count, the first of them in front. */
  #counting(row: Row, lines: readonly ConfigLine[]): readonly ConfigLine[] {
    const inBlocks = lines.filter(
      (line) =>
        this.#standing(line) === 'applies' && this.#matchKeywords.has(line.keyword.toLowerCase()),
    );
    const outside = lines.filter(({ block }) => block === undefined || block.criteria.length === 0);
    const candidates = inBlocks.length > 0 ? inBlocks : outside;
    if (row.counts === 'first' || row.counts === 'last') {
      return candidates.slice(...(row.counts === 'first' ? [0, 1] : [-1]));
    }
    return this.#adding(row, row.counts === 'all' ? candidates : [...inBlocks, ...outside]);
  }

  /** Of those that add up, the ones that say a new name, or that have none. */
  #adding(row: Row, candidates: readonly ConfigLine[]): readonly ConfigLine[] {
    const taken = new Set<string>();
    return candidates.filter((line) => {
      const parts = row.parts(wordsOf(line), this.#place);
      const isNew = parts.length === 0 || parts.some((part) => !taken.has(part));
      for (const part of parts) {
        taken.add(part);
      }
      return isNew;
    });
  }

  #ofRow(line: ConfigLine, row: Row, counting: readonly ConfigLine[]): ExplainedLine {
    const standing = this.#standing(line);
    if (standing === 'not matched' || standing === 'if matched') {
      const match = this.#matches.get(line.block?.criteria ?? []) ?? '';
      return this.#explained(line, standing, `Match of ${match}`);
    }
    const [winner] = counting;
    if (!counting.includes(line) && winner !== undefined) {
      const winning = this.#winnerOver(line, row, counting);
      return {
        ...this.#explained(line, 'overridden', `by ${winning}`),
        overriddenBy: winning,
      };
    }
    if (row.effect === 'checked') {
      return this.#explained(line, 'no effect', row.summary);
    }
    const stricter = row.stricter(wordsOf(line), this.#place);
    return stricter === undefined
      ? this.#explained(line, 'honoured')
      : this.#explained(line, 'stricter', stricter);
  }

  /** Of lines that add up, the one that has said the same name. */
  #winnerOver(line: ConfigLine, row: Row, counting: readonly ConfigLine[]): string {
    const parts = row.parts(wordsOf(line), this.#place);
    const same = counting.find((other) =>
      row.parts(wordsOf(other), this.#place).some((part) => parts.includes(part)),
    );
    return whereOf(same ?? (counting[0] as ConfigLine));
  }

  #explained(line: ConfigLine, verdict: LineVerdict, note = ''): ExplainedLine {
    const { file, keyword, rest: text } = line;
    return { file, line: line.line, keyword, text, verdict, note, overriddenBy: undefined };
  }

  #ofOther(line: ConfigLine): ExplainedLine {
    switch (line.kind) {
      case 'meaningless':
        return this.#explained(line, 'no effect', 'means nothing here');
      case 'deprecated':
        return this.#explained(line, 'deprecated', 'ignored, as in sshd');
      case 'include':
        return this.#explained(line, 'include');
      case 'match': {
        const standing = this.#standing(line);
        const notes = { outside: '', applies: 'applies', 'if matched': '' } as const;
        return this.#explained(
          line,
          'match',
          standing === 'not matched' ? 'does not apply' : notes[standing],
        );
      }
      default: {
        const problem = line.problem ?? '';
        const isUnsupported = /\bnot supported\b/.test(problem);
        return this.#explained(line, isUnsupported ? 'not supported' : 'wrong', problem);
      }
    }
  }

  explain(): Explanation {
    const byRow = Map.groupBy(
      this.#lines.filter(({ kind }) => kind === 'row'),
      ({ name }) => name ?? '',
    );
    const counting = new Map(
      [...this.#rows.values()]
        .filter(({ name }) => byRow.has(name))
        .map((row) => [row.name, this.#counting(row, byRow.get(row.name) ?? [])]),
    );
    return {
      lines: this.#lines.map((line) => {
        const row = line.kind === 'row' ? this.#rows.get(line.name ?? '') : undefined;
        return row === undefined
          ? this.#ofOther(line)
          : this.#ofRow(line, row, counting.get(row.name) ?? []);
      }),
      winners: [...counting]
        .filter(([, lines]) => lines.length > 0)
        .map(([keyword, lines]) => ({ keyword, from: lines.map(whereOf) })),
    };
  }
}

/** Throws ConfigError when a Match asks what the subject does not say (LocalPort). */
export function explainLines(
  lines: readonly ConfigLine[],
  {
    keywords,
    matchKeywords,
  }: { readonly keywords: readonly unknown[]; readonly matchKeywords: ReadonlySet<string> },
  place: Place,
  subject: MatchSubject | undefined,
): Explanation {
  return new Explainer(lines, keywords as readonly Row[], matchKeywords, place, subject).explain();
}

/** Whether the daemon would start with it. */
export function isUsable({ lines }: Explanation): boolean {
  return !lines.some(({ verdict }) => verdict === 'not supported' || verdict === 'wrong');
}
