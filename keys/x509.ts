/**
 * X.509 certificates (RFC 5280) of people with cards and of the authorities that made them: read
 * strictly and only as far as something is decided by it. Whether one is to be believed is
 * x509-path.ts's to say. Runs in: monitor.
 */
import {
  booleanValue,
  constructed,
  DerError,
  DerReader,
  derTag,
  implicit,
  namedBits,
  objectIdentifier,
  smallInteger,
  timeMs,
  unsignedInteger,
  wholeBytes,
} from './der.ts';
import { type ReadAlgorithm, readAlgorithm } from './x509-algorithm.ts';
import { type DistinguishedName, readName, stringValue } from './x509-name.ts';

export interface X509 {
  readonly raw: Buffer;
  /** What its authority has signed. */
  readonly signed: Buffer;
  readonly algorithm: ReadAlgorithm;
  readonly signature: Buffer;
  /** Digits of base 16, as OpenSSL prints it. */
  readonly serial: string;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly isAuthority: boolean;
  /** Authorities that may stand below; undefined: any number. */
  readonly pathLength: number | undefined;
  /** Bits of `keyUsage`; undefined: the certificate does not say. */
  readonly usage: number | undefined;
  readonly extendedUsage: readonly string[] | undefined;
  /** Of the alternative names; what is no text is an empty one. */
  readonly upns: readonly string[];
  readonly emails: readonly string[];
  /** Why it cannot be judged: what it has and nobody here understands. */
  readonly notUnderstood: string | undefined;
}

export const keyUsage = { digitalSignature: 1, keyCertSign: 1 << 5, crlSign: 1 << 6 } as const;
export const extendedUsage = {
  clientAuthentication: '1.3.6.1.5.5.7.3.2',
  smartCardLogon: '1.3.6.1.4.1.311.20.2.2',
} as const;

export const maxCertificateBytes = 16 * 1024;
/** RFC 5280 §4.1.2.2 has 20; some authorities count the leading zero too. */
const maxSerialBytes = 21;
const maxExtensions = 64;
const maxNames = 64;
const maxNameBytes = 1024;
const userPrincipalName = '1.3.6.1.4.1.311.20.2.3';

/** Critical or not, they change nothing that is decided here. */
const harmless = new Set([
  '2.5.29.14',
  '2.5.29.18',
  '2.5.29.31',
  '2.5.29.32',
  '2.5.29.35',
  '1.3.6.1.5.5.7.1.1',
]);
const nameConstraints = '2.5.29.30';

type Draft = {
  -readonly [K in
    | 'isAuthority'
    | 'pathLength'
    | 'usage'
    | 'extendedUsage'
    | 'upns'
    | 'emails'
    | 'notUnderstood']: X509[K];
};

type ReadExtension = (draft: Draft, from: DerReader) => void;

function readOtherName(content: Buffer): string | undefined {
  const from = new DerReader(content);
  const type = objectIdentifier(from.take(derTag.objectIdentifier, 'an otherName').content);
  const wrapped = from.inside(constructed(0), 'an otherName');
  from.end('an otherName');
  const value = wrapped.value();
  wrapped.end('an otherName');
  if (type !== userPrincipalName) {
    return undefined;
  }
  return value.content.length <= maxNameBytes ? (stringValue(value) ?? '') : '';
}

function readAlternativeNames(draft: Draft, from: DerReader): void {
  const names = from.sequence('subjectAltName');
  const upns: string[] = [];
  const emails: string[] = [];
  for (let count = 0; !names.isAtEnd; count++) {
    if (count === maxNames) {
      throw new DerError(`more than ${maxNames} alternative names`);
    }
    const { tag, content } = names.value();
    if (tag === constructed(0)) {
      const upn = readOtherName(content);
      upns.push(...(upn === undefined ? [] : [upn]));
    } else if (tag === implicit(1)) {
      const isText =
        content.length <= maxNameBytes && content.every((byte) => byte > 0x20 && byte < 0x7f);
      emails.push(isText ? content.toString('latin1') : '');
    }
  }
  draft.upns = upns;
  draft.emails = emails;
}

const extensions: Readonly<Record<string, ReadExtension>> = {
  '2.5.29.15'(draft, from) {
    draft.usage = namedBits(from.take(derTag.bitString, 'keyUsage').content, 'keyUsage');
  },
  '2.5.29.19'(draft, from) {
    const fields = from.sequence('basicConstraints');
    const is = fields.optional(derTag.boolean);
    draft.isAuthority = is !== undefined && booleanValue(is.content, 'basicConstraints');
    const length = fields.optional(derTag.integer);
    fields.end('basicConstraints');
    draft.pathLength =
      length === undefined ? undefined : smallInteger(length.content, 'basicConstraints');
  },
  '2.5.29.37'(draft, from) {
    const fields = from.sequence('extKeyUsage');
    const list: string[] = [];
    while (!fields.isAtEnd) {
      list.push(objectIdentifier(fields.take(derTag.objectIdentifier, 'extKeyUsage').content));
      if (list.length > maxNames) {
        throw new DerError(`more than ${maxNames} extended usages`);
      }
    }
    draft.extendedUsage = list;
  },
  '2.5.29.17': readAlternativeNames,
};

export interface Extension {
  readonly type: string;
  readonly isCritical: boolean;
  readonly content: Buffer;
}

/** RFC 5280 §4.1: of one kind there is one. */
export function readExtensions(from: DerReader, what: string): readonly Extension[] {
  const list = from.sequence(what);
  const found = new Map<string, Extension>();
  while (!list.isAtEnd) {
    const fields = list.sequence(what);
    const type = objectIdentifier(fields.take(derTag.objectIdentifier, what).content);
    const critical = fields.optional(derTag.boolean);
    const { content } = fields.take(derTag.octetString, what);
    fields.end(what);
    if (found.has(type) || found.size === maxExtensions) {
      throw new DerError(`${what}: ${type} twice, or too many of them`);
    }
    const isCritical = critical !== undefined && booleanValue(critical.content, what);
    found.set(type, { type, isCritical, content });
  }
  return [...found.values()];
}

function readDraft(from: DerReader): Draft {
  const draft: Draft = {
    isAuthority: false,
    pathLength: undefined,
    usage: undefined,
    extendedUsage: undefined,
    upns: [],
    emails: [],
    notUnderstood: undefined,
  };
  for (const { type, isCritical, content } of readExtensions(from, 'an extension')) {
    const read = extensions[type];
    if (read !== undefined) {
      const inner = new DerReader(content);
      read(draft, inner);
      inner.end(`the extension ${type}`);
    } else if (type === nameConstraints) {
      draft.notUnderstood = 'it has name constraints, which are not evaluated here';
    } else if (isCritical && !harmless.has(type)) {
      draft.notUnderstood = `its critical extension ${type} is not understood`;
    }
  }
  return draft;
}

export function readSerial(from: DerReader, what: string): string {
  const { content } = from.take(derTag.integer, what);
  const hex = unsignedInteger(content, what, maxSerialBytes).toString('hex').toUpperCase();
  return hex === '' ? '00' : hex;
}

/** `SEQUENCE { what is signed, algorithm, signature }`, as certificates and lists are. */
export function readSigned(
  bytes: Buffer,
  what: string,
): {
  readonly signed: Buffer;
  readonly fields: DerReader;
  readonly algorithmContent: Buffer;
  readonly signature: Buffer;
} {
  const outer = new DerReader(bytes);
  const from = outer.sequence(what);
  outer.end(what);
  const { raw, content } = from.take(derTag.sequence, what);
  const algorithm = from.take(derTag.sequence, what);
  const signature = wholeBytes(from.take(derTag.bitString, what).content, what);
  from.end(what);
  return {
    signed: raw,
    fields: new DerReader(content),
    algorithmContent: algorithm.content,
    signature,
  };
}

/** Throws DerError with what is wrong. */
export function readX509(bytes: Buffer): X509 {
  if (bytes.length > maxCertificateBytes) {
    throw new DerError(`a certificate of ${bytes.length} bytes`);
  }
  const { signed, fields, algorithmContent, signature } = readSigned(bytes, 'a certificate');
  const version = fields.optional(constructed(0));
  if (version?.content.toString('hex') !== '020102') {
    throw new DerError('a certificate that is not of version 3');
  }
  const serial = readSerial(fields, 'its serial number');
  // RFC 5280 §4.1.1.2: the one outside is not signed.
  if (!fields.take(derTag.sequence, 'its algorithm').content.equals(algorithmContent)) {
    throw new DerError('a certificate that names two algorithms');
  }
  const issuer = readName(fields, 'its issuer');
  const validity = fields.sequence('its validity');
  const notBeforeMs = timeMs(validity.value(), 'its validity');
  const notAfterMs = timeMs(validity.value(), 'its validity');
  validity.end('its validity');
  const subject = readName(fields, 'its subject');
  const spki = fields.take(derTag.sequence, 'its key').raw;
  fields.optional(implicit(1));
  fields.optional(implicit(2));
  const wrapped = fields.optional(constructed(3));
  fields.end('a certificate');
  const inner = new DerReader(wrapped?.content ?? Buffer.from([derTag.sequence, 0]));
  const draft = readDraft(inner);
  inner.end('its extensions');
  return {
    raw: bytes,
    signed,
    algorithm: readAlgorithm(algorithmContent),
    signature,
    serial,
    issuer,
    subject,
    notBeforeMs,
    notAfterMs,
    spki,
    ...draft,
  };
}
