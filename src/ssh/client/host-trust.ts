/**
 * What a host key or host certificate (PROTOCOL.certkeys) is to the lines about its host: certified,
 * known, revoked, changed or new. A revocation wins over everything; a certificate that does not
 * count leaves the key within it to be judged by itself, as in ssh. Pure. Runs in: user.
 */
import {
  type Certificate,
  certificateObjection,
  isCertificate,
  parseCertificate,
  plainKeyBlob,
} from '../../../keys/certificate.ts';
import { matchesPattern } from '../../../keys/pattern.ts';
import { parsePublicKey } from '../../../keys/public-key.ts';
import type { RevokedKeys } from '../../../keys/revoked-keys.ts';
import { hostKeyAlgorithms } from '../wire/algorithms.ts';
import { entriesOf, hostKeyType, type KnownHostEntry } from './known-hosts.ts';

export type HostKeyStanding =
  /** `isExact`: under its own name, the port included. */
  | { readonly is: 'known'; readonly by: KnownHostEntry; readonly isExact: boolean }
  | { readonly is: 'certified'; readonly by: KnownHostEntry }
  /** `by`: a place, such as `file:7`. */
  | { readonly is: 'revoked'; readonly by: string; readonly what: string }
  | { readonly is: 'changed'; readonly from: KnownHostEntry }
  /** `others`: the same host is known by keys of other types. */
  | { readonly is: 'new'; readonly others: readonly KnownHostEntry[] };

export interface Judgement {
  readonly standing: HostKeyStanding;
  /** The key itself, also where a certificate was shown. */
  readonly plain: Buffer;
  /** Why a certificate that was shown counts for nothing. */
  readonly objection: string | undefined;
}

export interface HostTrust {
  /** The lines about the host under its own name. */
  readonly lines: readonly KnownHostEntry[];
  /** Those about the name alone where `lines` are about `[name]:port`: a key in them counts too. */
  readonly portless: readonly KnownHostEntry[];
  /** RevokedHostKeys. */
  readonly lists: readonly { readonly place: string; readonly keys: RevokedKeys }[];
  /** What a certificate must be for. */
  readonly principal: string;
  readonly authorityAlgorithms: readonly string[];
}

/** `names`: as known_hosts has the host; the second is its name without the port. */
export function linesAbout(
  entries: readonly KnownHostEntry[],
  [name, portless]: readonly [string, string?],
): Pick<HostTrust, 'lines' | 'portless'> {
  return {
    lines: entriesOf(entries, name),
    portless: portless === undefined ? [] : entriesOf(entries, portless),
  };
}

export function judgeHostKey(trust: HostTrust, presented: Buffer, nowMs: number): Judgement {
  const plain = (isCertificate(presented) && plainKeyBlob(presented)) || presented;
  const shown = isCertificate(presented)
    ? parseCertificate(presented, trust.authorityAlgorithms)
    : undefined;
  const certificate = shown?.ok ? shown.certificate : undefined;
  const revoked = revocationOf(trust, plain, certificate);
  if (revoked) return { standing: revoked, plain, objection: undefined };
  const authority = certificate && authorityOf(trust, certificate);
  const objection =
    certificate && authority
      ? objectionTo(certificate, trust.principal, nowMs)
      : shown && (shown.ok ? 'no line of known_hosts has its authority' : shown.reason);
  const standing: HostKeyStanding =
    authority && objection === undefined
      ? { is: 'certified', by: authority }
      : standingOf(trust, plain);
  return { standing, plain, objection };
}

function standingOf({ lines, portless }: HostTrust, plain: Buffer): HostKeyStanding {
  const own = lines.filter((entry) => entry.marker === 'none');
  const isKnown = (entry: KnownHostEntry): boolean =>
    entry.marker === 'none' && entry.blob.equals(plain);
  const exact = own.find(isKnown);
  if (exact) return { is: 'known', by: exact, isExact: true };
  const type = hostKeyType(plain);
  const sameType = own.find((entry) => entry.keyType === type);
  if (sameType) return { is: 'changed', from: sameType };
  const by = portless.find(isKnown);
  return by ? { is: 'known', by, isExact: false } : { is: 'new', others: own };
}

function authorityOf({ lines, portless }: HostTrust, certificate: Certificate) {
  return [...lines, ...portless].find(
    (entry) => entry.marker === 'cert-authority' && entry.blob.equals(certificate.authority.blob),
  );
}

function objectionTo(certificate: Certificate, host: string, nowMs: number): string | undefined {
  const objection = certificateObjection(certificate, 'host', nowMs, undefined);
  if (objection !== undefined) return objection;
  if (!certificate.principals.some((pattern) => matchesPattern(host, pattern.toLowerCase()))) {
    return `it is for ${certificate.principals.join(', ').slice(0, 256)}, not for ${host}`;
  }
  const [option] = certificate.criticalOptions;
  // None is defined for hosts: whoever set one meant a restriction that cannot be kept.
  return option && `it has the critical option ${JSON.stringify(option.name.slice(0, 64))}`;
}

function revocationOf(
  trust: HostTrust,
  plain: Buffer,
  certificate: Certificate | undefined,
): Extract<HostKeyStanding, { is: 'revoked' }> | undefined {
  const authority = certificate?.authority.blob;
  for (const entry of [...trust.lines, ...trust.portless]) {
    if (entry.marker !== 'revoked') continue;
    const by = `${entry.source}:${entry.line}`;
    const blob = plainKeyBlob(entry.blob) ?? entry.blob;
    if (blob.equals(plain)) return { is: 'revoked', by, what: 'the host key' };
    if (authority && blob.equals(authority)) {
      return { is: 'revoked', by, what: 'the authority of the host certificate' };
    }
  }
  for (const { place, keys } of trust.lists) {
    const what = whatIsListed(keys, plain, certificate);
    if (what !== undefined) return { is: 'revoked', by: place, what };
  }
  return undefined;
}

function whatIsListed(
  keys: RevokedKeys,
  plain: Buffer,
  certificate: Certificate | undefined,
): string | undefined {
  const key = certificate?.key ?? parsed(plain);
  if (key && keys.revokesKey(key)) return 'the host key';
  if (!certificate) return undefined;
  if (keys.revokesKey(certificate.authority)) return 'the authority of the host certificate';
  return keys.revokesCertificate(certificate) ? 'the host certificate' : undefined;
}

function parsed(blob: Buffer) {
  const result = parsePublicKey(blob);
  return result.ok ? result.key : undefined;
}

/**
 * The order in which host key algorithms are offered: certificates where an authority is known for
 * the host, else none of them; then those whose keys are known, so that a known key is what it shows.
 */
export function preferKnownAlgorithms(
  algorithms: readonly string[],
  { lines, portless }: Pick<HostTrust, 'lines' | 'portless'>,
): string[] {
  const about = [...lines, ...portless];
  const hasAuthority = about.some((entry) => entry.marker === 'cert-authority');
  const known = new Set(
    about.filter((entry) => entry.marker === 'none').map((entry) => entry.keyType),
  );
  const rank = (algorithm: string): number => {
    if (algorithm.includes('-cert-')) return hasAuthority ? 0 : 3;
    const keyType = hostKeyAlgorithms.find(({ name }) => name === algorithm)?.keyType;
    return keyType !== undefined && known.has(keyType) ? 1 : 2;
  };
  return [0, 1, 2].flatMap((wanted) => algorithms.filter((name) => rank(name) === wanted));
}
