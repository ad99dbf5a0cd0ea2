/**
 * Whose a card's certificate is (CardMapping): one of its names has to be this very account's. Names
 * that an authority puts into a certificate may be chosen by whoever asks for it, so each kind is
 * taken whole, letter by letter, and what is there twice or is not plain ASCII names nobody.
 * Runs in: monitor.
 */
import { ConfigError } from '../src/base/errors.ts';
import type { X509 } from './x509.ts';

export type CardMapping =
  | { readonly by: 'upn'; readonly realms: readonly string[] }
  | { readonly by: 'email'; readonly domains: readonly string[] }
  | { readonly by: 'cn' }
  | { readonly by: 'subject'; readonly file: string };

/** Account → subjects. */
export type CardSubjects = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * Below it are root and the accounts of services, whose names are words that a person may bear too
 * (`backup@example.com`); they are opened by name of file only. login.defs(5) UID_MIN.
 */
export const leastDerivedUid = 1000;

const maxSubjects = 100_000;

/** At the end; the one behind a backslash belongs to the name. */
function withoutBlanks(text: string): string {
  const trimmed = text.replace(/[ \t]+$/, '');
  const isEscaped = (/\\*$/.exec(trimmed)?.[0].length ?? 0) % 2 === 1;
  return isEscaped ? `${trimmed} ` : trimmed;
}

/** `ACCOUNT SUBJECT`, one a line. Throws ConfigError: a line that is wrong spoils the file. */
export function readCardSubjects(content: Buffer): CardSubjects {
  const subjects = new Map<string, Set<string>>();
  for (const [index, line] of content.toString('utf8').split(/\r?\n/).entries()) {
    if (/^\s*(?:#|$)/.test(line)) {
      continue;
    }
    const [, account, rest = ''] = /^[ \t]*([^\s=]+)[ \t]+(\S.*)$/.exec(line) ?? [];
    const subject = withoutBlanks(rest);
    if (account === undefined || !subject.includes('=')) {
      throw new ConfigError(`line ${index + 1}: not an account and a subject`);
    }
    const own = subjects.get(account) ?? new Set();
    own.add(subject);
    subjects.set(account, own);
    if (index > maxSubjects) {
      throw new ConfigError(`more than ${maxSubjects} lines`);
    }
  }
  return subjects;
}

function isOwnAddress(address: string, user: string, places: readonly string[]): boolean {
  const [, local, place] = /^([!-?A-~]+)@([!-?A-~]+)$/.exec(address) ?? [];
  return local === user && places.includes(place?.toLowerCase() ?? '');
}

export interface CardAccount {
  readonly user: string;
  readonly uid: number;
}

/** `subjects`: the content of the file of a `subject` mapping. */
export function namesAccount(
  certificate: Pick<X509, 'subject' | 'upns' | 'emails'>,
  mapping: CardMapping,
  { user, uid }: CardAccount,
  subjects: CardSubjects | undefined,
): boolean {
  const { subject, upns, emails } = certificate;
  if (mapping.by === 'subject') {
    return subjects?.get(user)?.has(subject.text) === true;
  }
  if (uid < leastDerivedUid) {
    return false;
  }
  switch (mapping.by) {
    case 'upn':
      return upns.length === 1 && isOwnAddress(upns[0] as string, user, mapping.realms);
    case 'email':
      return emails.some((address) => isOwnAddress(address, user, mapping.domains));
    case 'cn':
      return subject.commonNames.length === 1 && subject.commonNames[0] === user;
  }
}

/** For the log: what it could have been found by. */
export function namesOf({
  upns,
  emails,
  subject,
}: Pick<X509, 'subject' | 'upns' | 'emails'>): string {
  const shown = (name: string): string => JSON.stringify(name.slice(0, 100));
  const all = [
    ...upns.slice(0, 4).map((name) => `UPN ${shown(name)}`),
    ...emails.slice(0, 4).map((name) => `e-mail ${shown(name)}`),
    ...subject.commonNames.slice(0, 4).map((name) => `CN ${shown(name)}`),
  ];
  return all.length === 0 ? 'no name' : all.join(', ');
}
