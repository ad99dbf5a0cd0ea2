/**
 * Whether the options of a key, of a certificate or of a line of principals let it be used here and
 * now: expiry-time=, from=, source-address (sshd(8)). Pure. Runs in: monitor.
 */
import type { KeyOptions } from './key-options.ts';
import { matchHostAndAddress, matchNetworkList } from './pattern.ts';

export interface KeyUse {
  readonly nowMs: number;
  /** Without IPv4-mapped form. */
  readonly remoteAddress: string;
  /** The peer's name where it was looked up, else the address. */
  readonly remoteHost: string;
  /** The account's name: the principal that a certificate has to list, and for the log. */
  readonly user?: string;
}

/** A line of the log. `level`: as sshd's. `isPlaced`: sshd puts FILE:LINE in front of it. */
export interface Objection {
  readonly level: 'ERROR' | 'INFO' | 'DEBUG1';
  readonly text: string;
  readonly isPlaced: boolean;
}

const loggedUserCharacters = 100;
const loggedListCharacters = 200;

/** undefined: they do. */
export function objectionTo(options: KeyOptions, use: KeyUse): Objection | undefined {
  const who = (use.user ?? '').slice(0, loggedUserCharacters);
  if (options.expiresAtMs !== undefined && options.expiresAtMs < use.nowMs) {
    const when = new Date(options.expiresAtMs).toISOString().slice(0, 19);
    return { level: 'DEBUG1', text: `entry expired at ${when}`, isPlaced: true };
  }
  const { from, sourceAddress } = options;
  if (
    from !== undefined &&
    matchHostAndAddress(use.remoteHost, use.remoteAddress, from) !== 'match'
  ) {
    const host = use.remoteHost.slice(0, loggedListCharacters);
    const required = from.slice(0, loggedListCharacters);
    return {
      level: 'INFO',
      text: `Authentication tried for ${who} with correct key but not from a permitted host (host=${host}, ip=${use.remoteAddress}, required=${required}).`,
      isPlaced: true,
    };
  }
  if (sourceAddress !== undefined && !matchNetworkList(use.remoteAddress, sourceAddress)) {
    return {
      level: 'INFO',
      text: `Authentication tried for ${who} with valid certificate but not from a permitted source address (${use.remoteAddress}).`,
      isPlaced: true,
    };
  }
  return undefined;
}
