/**
 * Whether a key or certificate may log this user in, whoever signed: not a revoked one; then the
 * user's files, authorities that root trusts, and the command, in sshd's order (sshd_config(5)); at
 * last by the certificate of a card. Runs in: monitor.
 */
import { matchCertificate, matchKey } from '../../keys/authorized-keys.ts';
import { type Certificate, certificateObjection } from '../../keys/certificate.ts';
import { optionsOfCertificate } from '../../keys/certificate-options.ts';
import { type KeyOptions, noOptions } from '../../keys/key-options.ts';
import { type KeyUse, objectionTo } from '../../keys/key-use.ts';
import { mergeOptions } from '../../keys/merge-options.ts';
import { fingerprint, type PublicKey } from '../../keys/public-key.ts';
import type { Candidate } from './candidate.ts';
import {
  findAuthorizedKey,
  keyCommandOf,
  keyFilesOf,
  type KeySources,
  type ReadMemfd,
} from './authorized-keys-source.ts';
import { judgeCard } from './card-certificates.ts';
import type { CommandPace } from './failure-delay.ts';
import type { KeyFiles } from './key-files.ts';
import { type OfferedKey, typeName } from './offered-key.ts';
import { decidePrincipals } from './principals.ts';

export interface UserKeyPlace {
  readonly readMemfd: ReadMemfd;
  readonly keyFiles: KeyFiles;
  readonly pace: CommandPace;
}

/** The options of the key, and for a certificate of both it and what trusts it. */
export interface PermittedKey {
  readonly options: KeyOptions;
}

export function keyUse(candidate: Candidate): KeyUse {
  const { account, connection } = candidate;
  return {
    nowMs: Date.now(),
    user: account.user,
    remoteAddress: connection.endpoints.remoteAddress,
    remoteHost: candidate.remoteHost,
  };
}

/** True also when the list cannot be read: nobody knows what it says. */
async function isRevoked(
  candidate: Candidate,
  key: PublicKey,
  certificate: Certificate | undefined,
  keyFiles: KeyFiles,
): Promise<boolean> {
  const { config, log } = candidate.host;
  const path = config.revokedKeys;
  if (path === undefined) {
    return false;
  }
  const what = `${typeName(key, certificate)} ${fingerprint(key.blob, config.fingerprintHash)}`;
  try {
    const revoked = await keyFiles.revoked(path);
    const isIt =
      revoked.revokesKey(key) ||
      (certificate !== undefined &&
        (revoked.revokesCertificate(certificate) || revoked.revokesKey(certificate.authority)));
    if (isIt) {
      log.error(`Authentication key ${what} revoked by file ${path}`);
    }
    return isIt;
  } catch (error) {
    log.error(
      `Error checking authentication key ${what} in revoked keys file ${path}: ${(error as Error).message}`,
    );
    return true;
  }
}

async function isTrusted(
  candidate: Candidate,
  certificate: Certificate,
  path: string,
  keyFiles: KeyFiles,
): Promise<boolean> {
  const { log, config } = candidate.host;
  const { authority } = certificate;
  try {
    if (await keyFiles.trusts(path, authority)) {
      return true;
    }
    log.at(
      'DEBUG2',
      `user_cert_trusted_ca: CA ${authority.shortName} ${fingerprint(authority.blob, config.fingerprintHash)} is not listed in ${path}`,
    );
  } catch (error) {
    log.error(`Could not read TrustedUserCAKeys ${path}: ${(error as Error).message}`);
  }
  return false;
}

/** The certificate's authority is trusted by root. Says why not in the log. */
async function judgeTrusted(
  candidate: Candidate,
  certificate: Certificate,
  path: string,
  readMemfd: ReadMemfd,
): Promise<PermittedKey | undefined> {
  const { log, config } = candidate.host;
  const use = keyUse(candidate);
  const refuse = (why: string): undefined => {
    log.error(why);
    return undefined;
  };
  const decision = await decidePrincipals(candidate, certificate, readMemfd);
  if (decision.is === 'unlisted') {
    return refuse('Certificate does not contain an authorized principal');
  }
  const name = decision.is === 'user-name' ? candidate.account.user : undefined;
  const objection = certificateObjection(certificate, 'user', use.nowMs, name);
  if (objection !== undefined) {
    return refuse(objection);
  }
  const own = optionsOfCertificate(certificate);
  for (const { level, text } of own.lines) {
    log.at(level, text);
  }
  if (!own.ok) {
    return refuse('Invalid certificate options');
  }
  const ownObjection = objectionTo(own.options, use);
  if (ownObjection !== undefined) {
    log.at(ownObjection.level, `cert: ${ownObjection.text}`);
    return refuse('Refused by certificate options');
  }
  let options = own.options;
  if (decision.is === 'listed') {
    const listed = objectionTo(decision.options, use);
    if (listed !== undefined) {
      log.at(listed.level, `principals: ${listed.text}`);
      return refuse('Refused by certificate principals options');
    }
    const merged = mergeOptions(decision.options, own.options);
    if (!merged.ok) {
      return refuse(merged.reason);
    }
    options = merged.options;
  }
  const { keyId, serial, authority } = certificate;
  log.verbose(
    `Accepted certificate ID "${keyId}" (serial ${serial}) signed by ${authority.shortName} CA ${fingerprint(authority.blob, config.fingerprintHash)} via ${path}`,
  );
  return { options };
}

async function lookIn(
  sources: KeySources,
  candidate: Candidate,
  offered: OfferedKey,
  readMemfd: ReadMemfd,
): Promise<PermittedKey | 'denied' | undefined> {
  const { blob, key, certificate } = offered;
  const use = keyUse(candidate);
  const found = await findAuthorizedKey(sources, candidate, offered, readMemfd, (content) =>
    certificate === undefined
      ? matchKey(content, blob, use)
      : matchCertificate(content, certificate, use),
  );
  if (found === undefined || found === 'denied') {
    return found;
  }
  const place = `found at ${found.file}:${found.line}`;
  const { log, config } = candidate.host;
  const hash = config.fingerprintHash;
  log.verbose(
    certificate === undefined
      ? `Accepted key ${key.shortName} ${fingerprint(blob, hash)} ${place}`
      : `Accepted certificate ID "${certificate.keyId}" (serial ${certificate.serial}) signed by CA ${certificate.authority.shortName} ${fingerprint(certificate.authority.blob, hash)} ${place}`,
  );
  return { options: found.options };
}

/** For a valid account. undefined: no; the log says why. */
export async function permitUserKey(
  candidate: Candidate,
  offered: OfferedKey,
  { readMemfd, keyFiles }: UserKeyPlace,
): Promise<PermittedKey | undefined> {
  const { key, certificate } = offered;
  if (await isRevoked(candidate, key, certificate, keyFiles)) {
    return undefined;
  }
  const card = await judgeCard(candidate, key, { readMemfd, keyFiles });
  if (card === 'refused') {
    return undefined;
  }
  const inFiles = await lookIn(keyFilesOf, candidate, offered, readMemfd);
  if (inFiles !== undefined && inFiles !== 'denied') {
    return inFiles;
  }
  const { trustedUserCaKeys } = candidate.host.config;
  if (
    certificate !== undefined &&
    trustedUserCaKeys !== undefined &&
    (await isTrusted(candidate, certificate, trustedUserCaKeys, keyFiles))
  ) {
    const permitted = await judgeTrusted(candidate, certificate, trustedUserCaKeys, readMemfd);
    if (permitted !== undefined) {
      return permitted;
    }
  }
  const printed = await lookIn(keyCommandOf, candidate, offered, readMemfd);
  if (printed !== undefined && printed !== 'denied') {
    return printed;
  }
  // A line that refuses this key here (`from=`, `expiry-time=`) is not got round by its certificate.
  const isDenied = inFiles === 'denied' || printed === 'denied';
  const isByCard = card === 'accepted' && certificate === undefined;
  if (isByCard && isDenied) {
    candidate.host.log.info(
      `Card certificate not used for ${candidate.account.user}: authorized keys refuse its key here, or could not be read`,
    );
  }
  return isByCard && !isDenied ? { options: noOptions } : undefined;
}
