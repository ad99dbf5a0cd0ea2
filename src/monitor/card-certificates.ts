/**
 * X.509 certificates of people with cards (CardCertificates of sshdesk_config): whether a file of the
 * account holds one with the key that is offered, and whether that one is to be believed and is this
 * account's. A key whose certificate is found counts only while the certificate does, wherever else
 * the key stands. Runs in: monitor.
 */
import { type CardMapping, namesAccount, namesOf } from '../../keys/card-mapping.ts';
import { DerError } from '../../keys/der.ts';
import { readPem } from '../../keys/pem.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { blobOfSpki } from '../../keys/spki.ts';
import { readX509, type X509 } from '../../keys/x509.ts';
import { type CardTrust, pathObjection, type PathObjection } from '../../keys/x509-path.ts';
import { cutBytes } from '../audit/text.ts';
import { ConfigError } from '../base/errors.ts';
import { expandAuthorizedKeysFiles } from '../policy/authorized-keys-files.ts';
import type { CardConfig } from '../policy/config.ts';
import type { ReadMemfd } from './authorized-keys-source.ts';
import type { Candidate } from './candidate.ts';
import type { KeyFiles } from './key-files.ts';
import { refusedFileLine } from './refused-file.ts';

/** One person has a few; the monitor reads them in every attempt. */
const maxFileBytes = 256 * 1024;
const maxCertificates = 64;
const maxShownBytes = 400;

export interface CardPlace {
  readonly readMemfd: ReadMemfd;
  readonly keyFiles: KeyFiles;
}

/** `none`: nothing is known of a card with this key. */
export type CardVerdict = 'none' | 'accepted' | 'refused';

interface Found {
  readonly file: string;
  readonly certificate: X509;
}

/** Of the whole file: one that cannot be read may be the one that matters. */
function certificatesOf(content: Buffer): readonly X509[] {
  const blocks = readPem(content, { label: 'CERTIFICATE', maxBlocks: maxCertificates });
  return blocks.map((bytes, index) => {
    try {
      return readX509(bytes);
    } catch (error) {
      if (error instanceof DerError) {
        throw new ConfigError(`certificate ${index + 1}: ${error.message}`);
      }
      throw error;
    }
  });
}

function hasKey(certificate: X509, key: PublicKey): boolean {
  try {
    return blobOfSpki(certificate.spki)?.equals(key.blob) === true;
  } catch (error) {
    // What is no key is not this one.
    if (error instanceof DerError) {
      return false;
    }
    throw error;
  }
}

/** In the order of the files; undefined: one of them cannot be read, which is told. */
async function findCertificates(
  { account, host, leader }: Candidate,
  { cardCertificateFiles }: CardConfig,
  key: PublicKey,
  readMemfd: ReadMemfd,
): Promise<readonly Found[] | undefined> {
  const { config, log } = host;
  const found: Found[] = [];
  const files = expandAuthorizedKeysFiles({ authorizedKeysFiles: cardCertificateFiles }, account);
  for (const file of files) {
    const read = await leader.readFile(file, config.strictModes, maxFileBytes);
    if (read.is === 'absent') {
      log.debug(`Could not open card certificates '${file}'`);
      continue;
    }
    if (read.is === 'refused') {
      log.info(refusedFileLine(account.user, 'card certificates', read.reason));
      return undefined;
    }
    try {
      const certificates = certificatesOf(readMemfd(read.descriptor, maxFileBytes));
      const own = certificates.filter((certificate) => hasKey(certificate, key));
      found.push(...own.map((certificate) => ({ file, certificate })));
    } catch (error) {
      if (!(error instanceof ConfigError)) {
        throw error;
      }
      log.info(`Authentication refused: card certificates ${file}: ${error.message}`);
      return undefined;
    }
  }
  return found;
}

/** Rejects with what is wrong with one of root's files. */
async function trustOf(cards: CardConfig, keyFiles: KeyFiles): Promise<CardTrust> {
  const { cardCertificates = '', cardRevocationList: list } = cards;
  const told = async <T>(path: string, read: Promise<T>): Promise<T> => {
    try {
      return await read;
    } catch (error) {
      throw new ConfigError(`${path}: ${(error as Error).message}`);
    }
  };
  return {
    authorities: await told(cardCertificates, keyFiles.cardAuthorities(cardCertificates)),
    revocations: list === undefined ? undefined : await told(list, keyFiles.cardRevocations(list)),
  };
}

async function isOf(
  certificate: X509,
  mappings: readonly CardMapping[],
  { account, host }: Candidate,
  keyFiles: KeyFiles,
): Promise<boolean> {
  for (const mapping of mappings) {
    try {
      const subjects =
        mapping.by === 'subject' ? await keyFiles.cardSubjects(mapping.file) : undefined;
      if (namesAccount(certificate, mapping, account, subjects)) {
        return true;
      }
    } catch (error) {
      const place = mapping.by === 'subject' ? ` ${mapping.file}` : '';
      host.log.error(`CardMapping ${mapping.by}${place}: ${(error as Error).message}`);
    }
  }
  return false;
}

/** Why it does not open this account; undefined: it does. */
async function objectionTo(
  certificate: X509,
  cards: CardConfig,
  candidate: Candidate,
  keyFiles: KeyFiles,
): Promise<PathObjection | undefined> {
  const trust = await trustOf(cards, keyFiles);
  const objection = pathObjection(certificate, trust, Date.now());
  if (objection !== undefined) {
    return objection;
  }
  const { cardMappings } = cards;
  if (await isOf(certificate, cardMappings, candidate, keyFiles)) {
    return undefined;
  }
  const how = cardMappings.map(({ by }) => by).join(', ');
  return {
    isRevoked: false,
    reason:
      how === ''
        ? 'CardMapping of sshdesk_config says nobody whose it is'
        : `CardMapping (${how}) does not name this account; it has ${namesOf(certificate)}`,
  };
}

function shown({ certificate, file }: Found): string {
  const { serial, subject } = certificate;
  return `serial ${serial}, subject "${cutBytes(subject.text, maxShownBytes)}" of ${file}`;
}

/** The user of a valid account has offered this key. Says why not in the log, in one line each. */
export async function judgeCard(
  candidate: Candidate,
  key: PublicKey,
  { readMemfd, keyFiles }: CardPlace,
): Promise<CardVerdict> {
  const { account, host } = candidate;
  const cards = host.cardsFor(account);
  if (cards.cardCertificates === undefined) {
    return 'none';
  }
  const found = await findCertificates(candidate, cards, key, readMemfd);
  if (found === undefined) {
    return 'refused';
  }
  let accepted: Found | undefined;
  let isRevoked = false;
  for (const each of found) {
    const { serial } = each.certificate;
    try {
      const objection = await objectionTo(each.certificate, cards, candidate, keyFiles);
      if (objection === undefined) {
        accepted ??= each;
        continue;
      }
      isRevoked ||= objection.isRevoked;
      const { reason } = objection;
      host.log.info(`Card certificate refused for ${account.user}: ${shown(each)}: ${reason}`, {
        event: 'card.refused',
        certificateSerial: serial,
        reason,
      });
    } catch (error) {
      if (!(error instanceof ConfigError)) {
        throw error;
      }
      const reason = error.message;
      host.log.error(`Card certificate refused for ${account.user}: ${shown(each)}: ${reason}`, {
        event: 'card.refused',
        certificateSerial: serial,
        reason,
      });
    }
  }
  // A renewed certificate has the key of the one before it; of a revoked one the key is not used.
  if (found.length === 0) {
    return 'none';
  }
  if (accepted === undefined || isRevoked) {
    return 'refused';
  }
  host.log.verbose(
    `Accepted card certificate ${shown(accepted)}, made by "${cutBytes(accepted.certificate.issuer.text, maxShownBytes)}"`,
  );
  return 'accepted';
}

/** The files of nobody, as `judgeCard` looks for those of somebody. */
export async function lookForCardsInVain(
  { account, host, leader }: Candidate,
  { readMemfd }: Pick<CardPlace, 'readMemfd'>,
): Promise<void> {
  const { cardCertificates, cardCertificateFiles } = host.cardsFor(account);
  if (cardCertificates === undefined) {
    return;
  }
  const files = expandAuthorizedKeysFiles({ authorizedKeysFiles: cardCertificateFiles }, account);
  for (const file of files) {
    const read = await leader.readFile(file, host.config.strictModes, maxFileBytes);
    if (read.is !== 'absent' && read.is !== 'refused') {
      readMemfd(read.descriptor, maxFileBytes).fill(0);
    }
  }
}
