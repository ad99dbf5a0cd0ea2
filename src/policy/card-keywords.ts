/**
 * Certificates of people with cards, as rows of sshdesk_config: whom they are trusted from, where they
 * are found, and whose they are. Pure. Runs in: monitor, launcher.
 */
import type { CardMapping } from '../../keys/card-mapping.ts';
import { ConfigError } from '../base/errors.ts';
import { ConfigFailure } from './failure.ts';
import type { DesktopConfig } from './config.ts';
import { type KeywordDeclaration, type KeywordRow, keyword } from './keyword.ts';
import { concatAll, concatBounded } from './server-row.ts';
import { absolutePath, type Place, several, single, userFile } from './values.ts';
import type { Words } from './words.ts';

export type CardDraft = Pick<DesktopConfig, 'cardCertificateFiles' | 'cardMappings'> & {
  /** `none` where there is none. */
  readonly cardCertificates: string;
  readonly cardRevocationList: string;
};

const maxMappings = 64;
const maxPlaces = 256;

function row<K extends keyof CardDraft>(
  declaration: KeywordDeclaration<CardDraft, DesktopConfig, K>,
): KeywordRow<CardDraft, DesktopConfig> {
  return keyword(declaration);
}

/** Realms and domains, without case. */
function places(kind: string, words: readonly string[]): readonly string[] {
  const wrong = words.find(
    (word) => !/^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?$/.test(word),
  );
  if (words.length === 0 || words.length > maxPlaces || wrong !== undefined) {
    throw new ConfigError(
      `${kind}: ${wrong === undefined ? 'which domains?' : `"${wrong}" is not a domain`} (CardMapping ${kind} example.com ...)`,
    );
  }
  return words.map((word) => word.toLowerCase());
}

function mapping(words: Words, place: Place): readonly CardMapping[] {
  const [kind = '', ...rest] = several(words);
  switch (kind.toLowerCase()) {
    case 'upn':
      return [{ by: 'upn', realms: places('upn', rest) }];
    case 'email':
      return [{ by: 'email', domains: places('email', rest) }];
    case 'cn':
      if (rest.length > 0) {
        throw new ConfigError('extra arguments at end of line');
      }
      return [{ by: 'cn' }];
    case 'subject': {
      const file = absolutePath(single({ ...words, words: rest }), place);
      return [{ by: 'subject', file }];
    }
    default:
      throw new ConfigError(`unsupported mapping "${kind}" (one of upn, email, cn, subject)`);
  }
}

function mappingText(value: CardMapping): string {
  switch (value.by) {
    case 'upn':
      return `upn ${value.realms.join(' ')}`;
    case 'email':
      return `email ${value.domains.join(' ')}`;
    case 'subject':
      return `subject ${value.file}`;
    case 'cn':
      return 'cn';
  }
}

export const cardKeywords: readonly KeywordRow<CardDraft, DesktopConfig>[] = [
  row({
    name: 'CardCertificates',
    argument: 'file | none',
    summary:
      'Certificates of authorities (X.509, PEM). A public key opens an account when a file of CardCertificateFiles has a certificate with that very key which one of them made, which counts today and which CardMapping says is of this account. Read at every attempt.',
    defaultText: 'none',
    field: 'cardCertificates',
    parse: (words, place) => absolutePath(single(words), place),
    dump: (config) => config.cardCertificates ?? 'none',
  }),
  row({
    name: 'CardCertificateFiles',
    argument: 'file ...',
    summary:
      'Where the certificates of a user are (PEM): tokens, places and StrictModes as AuthorizedKeysFile. While one of them cannot be read no key of its user is accepted.',
    defaultText: '/etc/sshdesk/cards/%u.pem',
    field: 'cardCertificateFiles',
    parse: (words, place) => several(words).map((word) => userFile(word, place)),
    dump: (config) => config.cardCertificateFiles.join(' '),
  }),
  row({
    name: 'CardMapping',
    argument: 'upn realm ... | email domain ... | cn | subject file',
    summary:
      'Whose a certificate is. `upn`, `email`: the alternative name is `ACCOUNT@` one of these; `cn`: the one common name is the account; these three open no account below number 1000. `subject`: the file has a line `ACCOUNT SUBJECT`, as `openssl x509 -noout -subject -nameopt RFC2253` prints it. Any one of them is enough.',
    defaultText: 'none: no certificate is anybody’s',
    field: 'cardMappings',
    parse: mapping,
    add: concatBounded(maxMappings),
    addAll: concatAll,
    dump: (config) => config.cardMappings.map(mappingText),
  }),
  row({
    name: 'CardRevocationList',
    argument: 'file | none',
    summary:
      'Lists of revoked certificates (PEM, or one in DER). Of each authority that made one there has to be a whole list that it signed and that has not expired; else its certificates are refused. Read at every attempt.',
    defaultText: 'none: nothing is revoked',
    field: 'cardRevocationList',
    parse: (words, place) => absolutePath(single(words), place),
    dump: (config) => config.cardRevocationList ?? 'none',
  }),
];

/** A certificate that is nobody's is a mistake of whoever wrote the file. Throws ConfigFailure. */
export function checkCards(
  { cardCertificates }: CardDraft,
  said: readonly Partial<CardDraft>[],
  places: ReadonlyMap<string, string>,
): void {
  const asks =
    cardCertificates !== 'none' || said.some((draft) => draft.cardCertificates !== undefined);
  if (asks && !said.some((draft) => (draft.cardMappings?.length ?? 0) > 0)) {
    const place = places.get('cardcertificates') ?? 'configuration';
    throw new ConfigFailure([
      `${place}: CardCertificates: set without CardMapping, which says whose a certificate is`,
    ]);
  }
}

export const cardDefaults: CardDraft = {
  cardCertificates: 'none',
  cardCertificateFiles: ['/etc/sshdesk/cards/%u.pem'],
  cardMappings: [],
  cardRevocationList: 'none',
};
