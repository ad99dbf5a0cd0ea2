/**
 * Whether a card's certificate is to be believed (RFC 5280 §6): made by an authority that root's file
 * lists, valid now, for logging in, and not revoked. Authorities in between stand in that file too;
 * what a user's file holds besides the certificate is never asked. Runs in: monitor.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { ConfigError } from '../src/base/errors.ts';
import { RevocationList } from './crl.ts';
import { DerError } from './der.ts';
import { readPem } from './pem.ts';
import { extendedUsage, keyUsage, readX509, type X509 } from './x509.ts';
import { isSignedBy, weaknessOf } from './x509-algorithm.ts';

export interface Authority extends X509 {
  readonly key: KeyObject;
}

export interface CardTrust {
  readonly authorities: readonly Authority[];
  /** undefined: nobody asked for revocations to be looked at. */
  readonly revocations: readonly RevocationList[] | undefined;
}

/** `isRevoked`: whatever else this key has, it is not to be used. */
export interface PathObjection {
  readonly reason: string;
  readonly isRevoked: boolean;
}

const maxAuthorities = 1024;
const maxLists = 64;
/** Authorities above one another. */
const maxDepth = 8;

function readAuthority(bytes: Buffer): Authority {
  const certificate = readX509(bytes);
  const { isAuthority, usage, notUnderstood, subject } = certificate;
  const objection =
    notUnderstood ??
    (isAuthority ? undefined : 'it is no authority (basicConstraints)') ??
    (usage === undefined || (usage & keyUsage.keyCertSign) !== 0
      ? undefined
      : 'it may not sign certificates (keyUsage)');
  if (objection !== undefined) {
    throw new ConfigError(`${subject.text}: ${objection}`);
  }
  const key = createPublicKey({ key: certificate.spki, format: 'der', type: 'spki' });
  const weakness = weaknessOf(key);
  if (weakness !== undefined) {
    throw new ConfigError(`${subject.text}: ${weakness}`);
  }
  return { ...certificate, key };
}

/** What is no certificate at all comes as another error from each of its readers. */
function each<T>(
  blocks: readonly Buffer[],
  what: string,
  read: (bytes: Buffer) => T,
): readonly T[] {
  return blocks.map((bytes, index) => {
    try {
      return read(bytes);
    } catch (error) {
      const isTold = error instanceof ConfigError || error instanceof DerError;
      const reason = isTold ? error.message : 'OpenSSL refuses it';
      throw new ConfigError(`${what} ${index + 1}: ${reason}`);
    }
  });
}

/** CardCertificates. Throws ConfigError: one that cannot be used spoils the file. */
export function readAuthorities(content: Buffer): readonly Authority[] {
  const blocks = readPem(content, { label: 'CERTIFICATE', maxBlocks: maxAuthorities });
  if (blocks.length === 0) {
    throw new ConfigError('no certificate in it');
  }
  return each(blocks, 'certificate', readAuthority);
}

/** CardRevocationList, PEM or one list in DER. Throws ConfigError. */
export function readRevocationLists(content: Buffer): readonly RevocationList[] {
  const blocks =
    content[0] === 0x30 ? [content] : readPem(content, { label: 'X509 CRL', maxBlocks: maxLists });
  if (blocks.length === 0) {
    throw new ConfigError('no revocation list in it');
  }
  return each(blocks, 'list', (bytes) => new RevocationList(bytes));
}

export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace('.000', '');
}

function untimely({ notBeforeMs, notAfterMs }: X509, nowMs: number): string | undefined {
  if (nowMs < notBeforeMs) {
    return `not valid before ${timeText(notBeforeMs)}`;
  }
  return nowMs > notAfterMs ? `expired at ${timeText(notAfterMs)}` : undefined;
}

/** What the certificate itself says. */
function ownObjection(certificate: X509, nowMs: number): string | undefined {
  const { isAuthority, usage = 0, extendedUsage: purposes, notUnderstood } = certificate;
  if (notUnderstood !== undefined) {
    return notUnderstood;
  }
  if (isAuthority) {
    return 'it is an authority’s own';
  }
  if ((usage & keyUsage.digitalSignature) === 0) {
    return 'not for signatures (keyUsage has no digitalSignature)';
  }
  const { clientAuthentication, smartCardLogon } = extendedUsage;
  if (
    purposes !== undefined &&
    !purposes.includes(clientAuthentication) &&
    !purposes.includes(smartCardLogon)
  ) {
    return 'not for logging in (extendedKeyUsage has neither clientAuth nor smart-card logon)';
  }
  return untimely(certificate, nowMs);
}

function revocation(
  certificate: X509,
  issuer: Authority,
  revocations: readonly RevocationList[],
  nowMs: number,
): PathObjection | undefined {
  const refuse = (reason: string, isRevoked = false): PathObjection => ({ reason, isRevoked });
  const named = revocations.filter(({ issuer: { raw } }) => raw.equals(issuer.subject.raw));
  const mayList = issuer.usage === undefined || (issuer.usage & keyUsage.crlSign) !== 0;
  if (named.length > 0 && !mayList) {
    return refuse('its authority may not sign revocation lists (keyUsage)');
  }
  const signed = named.filter((list) => list.objectionTo(issuer.key) === undefined);
  const [first] = named;
  if (first === undefined) {
    return refuse(`there is no revocation list of its authority ${issuer.subject.text}`);
  }
  if (signed.length === 0) {
    return refuse(`the revocation list of its authority: ${first.objectionTo(issuer.key)}`);
  }
  for (const list of signed) {
    const sinceMs = list.revokedAtMs(certificate.serial);
    if (sinceMs !== undefined) {
      return refuse(sinceMs === 0 ? 'revoked' : `revoked at ${timeText(sinceMs)}`, true);
    }
  }
  const latest = signed.reduce((one, other) =>
    other.thisUpdateMs > one.thisUpdateMs ? other : one,
  );
  if (latest.thisUpdateMs > nowMs) {
    return refuse(`the revocation list is of a time to come, ${timeText(latest.thisUpdateMs)}`);
  }
  return latest.nextUpdateMs < nowMs
    ? refuse(`the revocation list has expired at ${timeText(latest.nextUpdateMs)}`)
    : undefined;
}

/** One step up: `child` was made by `issuer`, of which `below` authorities stand under it. */
function step(
  child: X509,
  issuer: Authority,
  below: number,
  { revocations }: CardTrust,
  nowMs: number,
): PathObjection | undefined {
  const refuse = (reason: string): PathObjection => ({ reason, isRevoked: false });
  if (!child.algorithm.ok) {
    return refuse(`signed with ${child.algorithm.name}`);
  }
  if (!isSignedBy(issuer.key, child.algorithm.algorithm, child.signed, child.signature)) {
    return refuse(`its signature is not by ${issuer.subject.text}`);
  }
  const late = untimely(issuer, nowMs);
  if (late !== undefined) {
    return refuse(`its authority ${issuer.subject.text} is ${late}`);
  }
  if (issuer.pathLength !== undefined && below > issuer.pathLength) {
    return refuse(`${issuer.subject.text} may not have authorities below it`);
  }
  return revocations === undefined ? undefined : revocation(child, issuer, revocations, nowMs);
}

/** Upwards until an authority that made itself, or one whose own is not in the file. */
function climb(
  child: X509,
  below: number,
  trust: CardTrust,
  nowMs: number,
): PathObjection | undefined {
  const refuse = (reason: string): PathObjection => ({ reason, isRevoked: false });
  if (below > maxDepth) {
    return refuse('too many authorities above it');
  }
  const issuers = trust.authorities.filter(({ subject }) => subject.raw.equals(child.issuer.raw));
  if (issuers.length === 0) {
    return below === 0
      ? refuse(`its authority ${child.issuer.text} is not a trusted one`)
      : undefined;
  }
  let objection: PathObjection | undefined;
  for (const issuer of issuers) {
    const isTop = issuer.subject.raw.equals(issuer.issuer.raw);
    const found =
      step(child, issuer, below, trust, nowMs) ??
      (isTop ? undefined : climb(issuer, below + 1, trust, nowMs));
    if (found === undefined) {
      return undefined;
    }
    // Of several of one name the others have merely another key.
    objection = objection === undefined || found.isRevoked ? found : objection;
  }
  return objection;
}

/** undefined: it is to be believed. */
export function pathObjection(
  certificate: X509,
  trust: CardTrust,
  nowMs: number,
): PathObjection | undefined {
  const path = climb(certificate, 0, trust, nowMs);
  // That it is revoked counts for more than that it has expired as well.
  if (path?.isRevoked === true) {
    return path;
  }
  const own = ownObjection(certificate, nowMs);
  return own === undefined ? path : { reason: own, isRevoked: false };
}
