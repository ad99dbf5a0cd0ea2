/**
 * Names of certificates (RFC 5280 §4.1.2.4) as text, in the form of RFC 4514 that `openssl x509
 * -nameopt RFC2253` prints: two names have one text only if they have the same attributes and
 * values. Whatever a subject holds is escaped, so that a value can never be read as further
 * attributes. Runs in: monitor.
 */
import { DerError, DerReader, derTag, type DerValue, objectIdentifier } from './der.ts';

export interface DistinguishedName {
  /** Names are compared by their bytes. */
  readonly raw: Buffer;
  readonly text: string;
  readonly commonNames: readonly string[];
}

const commonName = '2.5.4.3';
const shortNames: Readonly<Record<string, string>> = {
  [commonName]: 'CN',
  '2.5.4.4': 'SN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'street',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '2.5.4.12': 'title',
  '2.5.4.13': 'description',
  '2.5.4.42': 'GN',
  '2.5.4.43': 'initials',
  '2.5.4.46': 'dnQualifier',
  '2.5.4.65': 'pseudonym',
  '2.5.4.97': 'organizationIdentifier',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
};

const maxAttributes = 64;
const maxValueBytes = 1024;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf16 = new TextDecoder('utf-16be', { fatal: true, ignoreBOM: true });

/** undefined: of a type that is shown as its bytes. Throws DerError for what its type cannot hold. */
export function stringValue({
  tag,
  content,
}: Pick<DerValue, 'tag' | 'content'>): string | undefined {
  try {
    switch (tag) {
      case derTag.utf8String:
        return utf8.decode(content);
      case derTag.bmpString:
        return utf16.decode(content);
      case derTag.numericString:
      case derTag.printableString:
      case derTag.ia5String:
      case derTag.visibleString:
        if (content.some((byte) => byte >= 0x80)) {
          throw new DerError('a text with characters that its type does not have');
        }
        return content.toString('latin1');
      default:
        return undefined;
    }
  } catch (error) {
    throw error instanceof DerError ? error : new DerError('a text that is not in its encoding');
  }
}

function escaped(value: string): string {
  let text = '';
  const bytes = Buffer.from(value);
  for (const [index, byte] of bytes.entries()) {
    const character = String.fromCharCode(byte);
    const isEdge =
      (byte === 0x20 && (index === 0 || index === bytes.length - 1)) ||
      (byte === 0x23 && index === 0);
    if (byte < 0x20 || byte >= 0x7f) {
      text += `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    } else {
      text += isEdge || ',+"\\<>;'.includes(character) ? `\\${character}` : character;
    }
  }
  return text;
}

interface Attribute {
  readonly type: string;
  readonly value: string | undefined;
  readonly text: string;
}

function readAttribute(from: DerReader): Attribute {
  const inner = from.sequence('an attribute of a name');
  const type = objectIdentifier(inner.take(derTag.objectIdentifier, 'its type').content);
  const value = inner.value();
  inner.end('an attribute of a name');
  if (value.content.length > maxValueBytes) {
    throw new DerError(`a name with a value of ${value.content.length} bytes`);
  }
  const shortName = shortNames[type];
  const string = stringValue(value);
  const text =
    shortName === undefined || string === undefined
      ? `${shortName ?? type}=#${value.raw.toString('hex').toUpperCase()}`
      : `${shortName}=${escaped(string)}`;
  return { type, value: string, text };
}

export function readName(from: DerReader, what: string): DistinguishedName {
  const { content, raw } = from.take(derTag.sequence, what);
  const sets = new DerReader(content);
  const parts: string[] = [];
  const all: Attribute[] = [];
  while (!sets.isAtEnd) {
    const set = sets.inside(derTag.set, what);
    const attributes: Attribute[] = [];
    do {
      attributes.push(readAttribute(set));
      if (all.length + attributes.length > maxAttributes) {
        throw new DerError(`${what}: more than ${maxAttributes} attributes`);
      }
    } while (!set.isAtEnd);
    all.push(...attributes);
    parts.unshift(attributes.map(({ text }) => text).join('+'));
  }
  return {
    raw,
    text: parts.join(','),
    // One that is no text names nobody, but is still one more.
    commonNames: all.filter(({ type }) => type === commonName).map(({ value }) => value ?? ''),
  };
}
