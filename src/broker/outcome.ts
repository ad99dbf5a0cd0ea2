/** Who asks about desktops, what he orders, and how it came out. Runs in: monitor. */
import type { EngineParameters } from './engine.ts';
import type { DesktopFailure } from './link.ts';

export interface Owner {
  readonly user: string;
  readonly uid: number;
  /** For what a Match says of them; absent: not known. */
  readonly groups?: readonly string[];
  /** The cache of Kerberos tickets of the login that asks; empty or absent: it has none. */
  readonly tickets?: string;
  /** The PAM service of the login that asks; absent: the daemon's. */
  readonly pamService?: string;
  /** AllowAgentForwarding of the login that asks; absent: the daemon's. */
  readonly allowAgentForwarding?: boolean;
}

/** Who asks about desktops that exist: the owner's uid, or everybody's. */
export type Asker = number | 'everybody';

export type Outcome<T> =
  | { readonly is: 'done'; readonly value: T }
  | { readonly is: 'failed'; readonly failure: DesktopFailure; readonly text: string };

export interface DesktopOrder {
  readonly name: string;
  /** Key of the table of engines; empty: the first. */
  readonly protocol: string;
  /** Empty: the engine's first. */
  readonly type: string;
  /** Zeros: the default. */
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly parameters: EngineParameters;
}

export function done<T>(value: T): Outcome<T> {
  return { is: 'done', value };
}
export function failed(failure: DesktopFailure, text: string): Outcome<never> {
  return { is: 'failed', failure, text };
}
export const notFound = failed(
  'notFound',
  'There is no such desktop, or several have this name: `sessions list` shows their ids.',
);
