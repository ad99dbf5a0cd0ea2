/**
 * What a login has met of AuthenticationMethods so far, and what that binds: the restrictions of
 * every key that was used hold together, and no key counts twice. Runs in: monitor.
 */
import type { KeyOptions } from '../../keys/authorized-keys.ts';
import { mergeOptions } from '../../keys/merge-options.ts';
import {
  afterSuccess,
  beginChains,
  type Chains,
  mayComeNext,
  type Progress,
  wantsSubmethod,
} from '../policy/authentication-methods.ts';
import type { LoggedProof } from './offered-key.ts';

export type Joined =
  | { readonly ok: true; readonly options: KeyOptions | undefined }
  | { readonly ok: false; readonly reason: string };

export class Factors {
  /** Lists that do not count here, as sshd says it. */
  readonly dropped: readonly { readonly chain: string; readonly method: string }[];
  #chains: Chains;
  #restrictions: KeyOptions | undefined;
  /** Of those that were met, as sshd tells them: the method, and the key. */
  #met = '';
  readonly #usedKeys = new Set<string>();

  constructor(configured: readonly string[], isOffered: (method: string) => boolean) {
    const { chains, dropped } = beginChains(configured, isOffered);
    this.#chains = chains;
    this.dropped = dropped;
  }

  /** No list is left: nobody can log in. */
  get areImpossible(): boolean {
    return this.#chains?.length === 0;
  }
  /** A line each, for SSH_AUTH_INFO_0 and ExposeAuthInfo. */
  get met(): string {
    return this.#met;
  }
  /** Of all keys so far; undefined: none had been asked for. */
  get restrictions(): KeyOptions | undefined {
    return this.#restrictions;
  }

  mayComeNext(method: string): boolean {
    return mayComeNext(this.#chains, method);
  }
  wants(method: string, submethod: string): boolean {
    return wantsSubmethod(this.#chains, method, submethod);
  }
  hasUsed(key: Buffer): boolean {
    return this.#usedKeys.has(key.toString('base64'));
  }
  rememberKey(key: Buffer): void {
    this.#usedKeys.add(key.toString('base64'));
  }

  /** The restrictions as they would be with those of one more key; or why they cannot be. */
  with(options: KeyOptions | undefined): Joined {
    const before = this.#restrictions;
    return before === undefined || options === undefined
      ? { ok: true, options: before ?? options }
      : mergeOptions(before, options);
  }

  /** What the success of `method` would mean. */
  outcome(method: string, submethod: string): Progress {
    return afterSuccess(this.#chains, method, submethod);
  }
  /** It has succeeded, with everything that is judged for each method. */
  take(progress: Progress, restrictions: KeyOptions | undefined, line: string): void {
    this.#restrictions = restrictions;
    this.#met += `${line}\n`;
    if (progress.is === 'partial') {
      this.#chains = progress.chains;
    }
  }
}

/** What it was met with, for the record of the login: a key, a certificate, a ticket. */
export function factorText(method: string, logged: LoggedProof | undefined): string {
  const { key, certificateId, principal } = logged?.fields ?? {};
  const parts = [
    method,
    ...(key === undefined ? [] : [key]),
    ...(certificateId === undefined ? [] : [`certificate ${certificateId}`]),
    ...(principal === undefined ? [] : [principal]),
  ];
  return parts.join(' ');
}
