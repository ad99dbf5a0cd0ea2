/**
 * Which names a certificate of a trusted authority may list to open an account (sshd_config(5)
 * TrustedUserCAKeys): the account's own, or those of AuthorizedPrincipalsFile and then of
 * AuthorizedPrincipalsCommand. The one place where that is decided. Runs in: monitor.
 */
import type { Certificate } from '../../keys/certificate.ts';
import type { KeyOptions } from '../../keys/key-options.ts';
import { matchPrincipals } from '../../keys/principals.ts';
import { claimedName, fingerprint } from '../../keys/public-key.ts';
import { expandAuthorizedKeysFiles } from '../policy/authorized-keys-files.ts';
import type { Candidate } from './candidate.ts';
import type { ReadMemfd } from './authorized-keys-source.ts';
import { runPolicyCommand } from './policy-command.ts';
import { refusedFileLine } from './refused-file.ts';

export type PrincipalsDecision =
  /** Nothing else is configured: the certificate has to list the account's name. */
  | { readonly is: 'user-name' }
  /** A list was asked and holds one of the certificate's principals; `options`: of its line. */
  | { readonly is: 'listed'; readonly options: KeyOptions }
  /** A list was asked and holds none of them. */
  | { readonly is: 'unlisted' };

const maxListBytes = 1024 * 1024;

type Listed = Extract<PrincipalsDecision, { readonly is: 'listed' }>;

function look(
  { log }: Candidate['host'],
  place: string,
  content: Buffer,
  { principals }: Certificate,
): Listed | undefined {
  const found = matchPrincipals(content, principals);
  for (const { line, text } of found.refusals) {
    log.debug(`${place}:${line}: ${text}`);
  }
  return found.is === 'match' ? { is: 'listed', options: found.options } : undefined;
}

async function lookInFile(
  { account, leader, host }: Candidate,
  pattern: string,
  certificate: Certificate,
  readMemfd: ReadMemfd,
): Promise<Listed | undefined> {
  const { log, config } = host;
  const [path] = expandAuthorizedKeysFiles({ authorizedKeysFiles: [pattern] }, account);
  if (path === undefined) {
    return undefined;
  }
  const read = await leader.readFile(path, config.strictModes, maxListBytes);
  if (read.is === 'absent') {
    log.debug(`Could not open authorized principals '${path}'`);
    return undefined;
  }
  if (read.is === 'refused') {
    log.info(refusedFileLine(account.user, 'authorized principals', read.reason));
    return undefined;
  }
  return look(host, path, readMemfd(read.descriptor, maxListBytes), certificate);
}

async function lookInCommand(
  candidate: Candidate,
  command: string,
  user: string,
  certificate: Certificate,
  readMemfd: ReadMemfd,
): Promise<Listed | undefined> {
  const { key, authority } = certificate;
  const hash = candidate.host.config.fingerprintHash;
  const tokens = {
    f: fingerprint(key.blob, hash),
    F: fingerprint(authority.blob, hash),
    i: certificate.keyId,
    k: certificate.blob.toString('base64'),
    K: authority.blob.toString('base64'),
    s: String(certificate.serial),
    t: certificate.certificateType,
    T: claimedName(authority.blob) ?? '',
  };
  const content = await runPolicyCommand(
    candidate,
    { name: 'AuthorizedPrincipalsCommand', command, user, tokens, otherwise: [] },
    maxListBytes,
    readMemfd,
  );
  return content === undefined
    ? undefined
    : look(candidate.host, '(command)', content, certificate);
}

/** Asked only for certificates of an authority of TrustedUserCAKeys, and for valid accounts. */
export async function decidePrincipals(
  candidate: Candidate,
  certificate: Certificate,
  readMemfd: ReadMemfd,
): Promise<PrincipalsDecision> {
  const {
    authorizedPrincipalsFile: file,
    authorizedPrincipalsCommand: command,
    authorizedPrincipalsCommandUser: user,
  } = candidate.host.config;
  if (file === undefined && command === undefined) {
    return { is: 'user-name' };
  }
  const inFile =
    file === undefined ? undefined : await lookInFile(candidate, file, certificate, readMemfd);
  if (inFile !== undefined || command === undefined || user === undefined) {
    return inFile ?? { is: 'unlisted' };
  }
  const printed = await lookInCommand(candidate, command, user, certificate, readMemfd);
  return printed ?? { is: 'unlisted' };
}
