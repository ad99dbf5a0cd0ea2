/**
 * Lists of revoked certificates (RFC 5280 §5): only whole ones are taken, since what a delta or a
 * list of a part leaves out is not thereby valid. Runs in: monitor.
 */
import type { KeyObject } from 'node:crypto';
import { CrlEntries } from './crl-entries.ts';
import { constructed, DerError, DerReader, derTag, timeMs } from './der.ts';
import { readExtensions, readSigned } from './x509.ts';
import { isSignedBy, readAlgorithm, type ReadAlgorithm } from './x509-algorithm.ts';
import { type DistinguishedName, readName } from './x509-name.ts';

/** Critical or not, they change nothing that is decided here. */
const harmless = new Set(['2.5.29.18', '2.5.29.20', '2.5.29.35', '2.5.29.46', '1.3.6.1.5.5.7.1.1']);
const partial: Readonly<Record<string, string>> = {
  '2.5.29.27': 'it is a delta of another list',
  '2.5.29.28': 'it is a list of a part (issuingDistributionPoint)',
};
const certificateIssuer = '2.5.29.29';

export class RevocationList {
  readonly issuer: DistinguishedName;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly #signed: Buffer;
  readonly #algorithm: ReadAlgorithm;
  readonly #signature: Buffer;
  /** undefined: there is none. */
  readonly #entries: CrlEntries | undefined;
  readonly #verdicts = new WeakMap<KeyObject, boolean>();

  /** Throws DerError with what is wrong. */
  constructor(bytes: Buffer) {
    const { signed, fields, algorithmContent, signature } = readSigned(bytes, 'a list');
    this.#signed = signed;
    this.#signature = signature;
    this.#algorithm = readAlgorithm(algorithmContent);
    if (fields.optional(derTag.integer)?.raw.toString('hex') !== '020101') {
      throw new DerError('a list that is not of version 2');
    }
    if (!fields.take(derTag.sequence, 'its algorithm').content.equals(algorithmContent)) {
      throw new DerError('a list that names two algorithms');
    }
    this.issuer = readName(fields, 'its issuer');
    this.thisUpdateMs = timeMs(fields.value(), 'thisUpdate');
    if (fields.nextTag !== derTag.utcTime && fields.nextTag !== derTag.generalizedTime) {
      throw new DerError('a list that does not say until when it counts (nextUpdate)');
    }
    this.nextUpdateMs = timeMs(fields.value(), 'nextUpdate');
    const entries = fields.optional(derTag.sequence);
    this.#entries =
      entries &&
      new CrlEntries(entries.content, (raw) => checkExtensions(raw, 'an entry of a list'));
    const more = fields.optional(constructed(0));
    fields.end('a list');
    if (more !== undefined) {
      checkExtensions(more.content, 'a list');
    }
  }

  /** undefined: not on it; 0: nobody knows since when. */
  revokedAtMs(serial: string): number | undefined {
    return this.#entries?.revokedAtMs(serial);
  }

  /** Why it is not this authority's list; undefined: it is. */
  objectionTo(authority: KeyObject): string | undefined {
    if (!this.#algorithm.ok) {
      return `it is signed with ${this.#algorithm.name}`;
    }
    let isRight = this.#verdicts.get(authority);
    if (isRight === undefined) {
      isRight = isSignedBy(authority, this.#algorithm.algorithm, this.#signed, this.#signature);
      this.#verdicts.set(authority, isRight);
    }
    return isRight ? undefined : 'its signature is not by this authority';
  }
}

function checkExtensions(bytes: Buffer, what: string): void {
  const inner = new DerReader(bytes);
  for (const { type, isCritical } of readExtensions(inner, what)) {
    const why = partial[type];
    if (why !== undefined) {
      throw new DerError(why);
    }
    if (type === certificateIssuer) {
      throw new DerError('it is a list for several authorities');
    }
    if (isCritical && !harmless.has(type)) {
      throw new DerError(`${what}: the critical extension ${type} is not understood`);
    }
  }
  inner.end(what);
}
