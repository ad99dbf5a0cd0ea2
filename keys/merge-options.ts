/**
 * The options of two keys that hold together: a certificate and the line that trusts its authority,
 * or the keys of two factors of one login. A restriction of either stays. Pure. Runs in: monitor.
 */
import type { Destination } from './destination.ts';
import type { KeyOptions } from './key-options.ts';

export type MergedOptions =
  | { readonly ok: true; readonly options: KeyOptions }
  | { readonly ok: false; readonly reason: string };

/** Pairs of destinations that are compared; two lists of a thousand are nobody's. */
const maxPairs = 1_000_000;

function narrower<T>(first: T | '*', second: T | '*'): T | '*' | undefined {
  if (first === '*') {
    return second;
  }
  return second === '*' || first === second ? first : undefined;
}

/** What both lists permit; undefined: more than can be compared. */
function intersect(
  first: readonly Destination[] | undefined,
  second: readonly Destination[] | undefined,
): readonly Destination[] | undefined | 'too-many' {
  if (first === undefined || second === undefined) {
    return first ?? second;
  }
  if (first.length * second.length > maxPairs) {
    return 'too-many';
  }
  const both = new Map<string, Destination>();
  for (const one of first) {
    for (const other of second) {
      const host = narrower(one.host, other.host);
      const port = narrower<number>(one.port, other.port);
      if (host !== undefined && port !== undefined) {
        both.set(`${port} ${host}`, { host, port });
      }
    }
  }
  return [...both.values()];
}

function earliest(first: number | undefined, second: number | undefined): number | undefined {
  return first === undefined || second === undefined ? (first ?? second) : Math.min(first, second);
}

/**
 * from= and source-address were asked when each was accepted; they are not kept, for there is no
 * list that says both. Of two environments the first one's counts, as in sshd.
 */
export function mergeOptions(first: KeyOptions, second: KeyOptions): MergedOptions {
  if (
    first.command !== undefined &&
    second.command !== undefined &&
    first.command !== second.command
  ) {
    return { ok: false, reason: 'forced command options do not match' };
  }
  const permitOpen = intersect(first.permitOpen, second.permitOpen);
  const permitListen = intersect(first.permitListen, second.permitListen);
  if (permitOpen === 'too-many' || permitListen === 'too-many') {
    return { ok: false, reason: 'too many permission directives' };
  }
  const options: KeyOptions = Object.freeze({
    command: first.command ?? second.command,
    environment: first.environment.length > 0 ? first.environment : second.environment,
    from: undefined,
    sourceAddress: undefined,
    expiresAtMs: earliest(first.expiresAtMs, second.expiresAtMs),
    permitOpen,
    permitListen,
    permitPortForwarding: first.permitPortForwarding && second.permitPortForwarding,
    permitAgentForwarding: first.permitAgentForwarding && second.permitAgentForwarding,
    permitX11Forwarding: first.permitX11Forwarding && second.permitX11Forwarding,
    permitPty: first.permitPty && second.permitPty,
    permitUserRc: first.permitUserRc && second.permitUserRc,
    isCertAuthority: false,
    principals: undefined,
    tunnel: first.tunnel ?? second.tunnel,
    needsTouch: first.needsTouch || second.needsTouch,
    needsVerification: first.needsVerification || second.needsVerification,
  });
  return { ok: true, options };
}
