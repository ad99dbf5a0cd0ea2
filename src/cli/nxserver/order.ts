/** What an option of `sshdesk nxserver` is: one row of a table. Runs in: launcher, as root. */
import type { DesktopConfig } from '../../policy/config.ts';
import type { NxDatabase } from '../../monitor/nx-database.ts';

/** Lines go to stdout between the first and the last; what was refused to stderr, behind `NX> 500`. */
export type NxAnswer =
  | { readonly is: 'done'; readonly lines: readonly string[] }
  | { readonly is: 'refused'; readonly text: string };

export interface NxContext {
  /** What stands behind the option; empty: nothing. */
  readonly value: string;
  readonly config: DesktopConfig;
  /** The caller disposes of it. */
  openDatabase(): NxDatabase;
}

export interface NxOrder {
  /** Without its dashes. */
  readonly name: string;
  readonly describe: string;
  /** `none`: a word behind it is wrong; `optional`: there may be one. */
  readonly value: 'none' | 'optional' | 'needed';
  run(context: NxContext): Promise<NxAnswer> | NxAnswer;
}

export function done(...lines: readonly string[]): NxAnswer {
  return { is: 'done', lines };
}

export function refused(text: string): NxAnswer {
  return { is: 'refused', text };
}
