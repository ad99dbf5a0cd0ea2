/** A line of a configuration and what became of it. Declarations only. Runs in: monitor, launcher, user. */
import type { MatchBlock } from './match.ts';

export type LineKind = 'row' | 'meaningless' | 'deprecated' | 'include' | 'match' | 'wrong';

export interface ConfigLine {
  /** An Include stands before what it includes. */
  readonly order: number;
  /** `command-line` for an option of it. */
  readonly file: string;
  readonly line: number;
  /** As written. */
  readonly keyword: string;
  readonly rest: string;
  readonly kind: LineKind;
  /** Of a row: its name in the table. */
  readonly name: string | undefined;
  /** Of a wrong one. */
  readonly problem: string | undefined;
  /** The one that it stands in, or begins. */
  readonly block: MatchBlock<unknown> | undefined;
}
