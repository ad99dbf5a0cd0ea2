/**
 * Certificates of users (PROTOCOL.certkeys) beside the keys that they certify, wherever the private
 * half is: those of CertificateFile first, `id-cert.pub` behind its key, as in ssh. Pure.
 * Runs in: user.
 */
import { parseCertificate } from '../../../keys/certificate.ts';
import { signatureAlgorithms } from '../../../keys/algorithms.ts';
import { readPublicLine } from '../../../keys/public-line.ts';
import type { Identity } from './identities.ts';

export interface UserCertificate {
  readonly path: string;
  readonly blob: Buffer;
  /** Of the key within. */
  readonly keyBlob: Buffer;
  /** Named by CertificateFile; otherwise found beside a key. */
  readonly isExplicit: boolean;
}

const everyAlgorithm = signatureAlgorithms.map(({ name }) => name);

/** A reason in place of a certificate that no server would take. */
export function readCertificate(
  path: string,
  contents: Buffer,
  isExplicit: boolean,
): UserCertificate | string {
  const blob = readPublicLine(contents);
  if (!blob) return 'not a certificate';
  const parsed = parseCertificate(blob, everyAlgorithm);
  if (!parsed.ok) return parsed.reason;
  const { subject, key } = parsed.certificate;
  if (subject !== 'user') return 'a certificate of a host';
  return { path, blob, keyBlob: key.blob, isExplicit };
}

function certified(identity: Identity, { path, blob }: UserCertificate): Identity {
  return { ...identity, label: path, certificate: blob };
}

/** `identities` in the order of the plain keys. */
export function withCertificates(
  identities: readonly Identity[],
  certificates: readonly UserCertificate[],
): Identity[] {
  const isFor = (identity: Identity, certificate: UserCertificate): boolean =>
    identity.publicKey?.getPublicSSH().equals(certificate.keyBlob) === true;
  const explicit = certificates.flatMap((certificate) => {
    const holder = identities.find((identity) => isFor(identity, certificate));
    return certificate.isExplicit && holder ? [certified(holder, certificate)] : [];
  });
  const others = identities.flatMap((identity) => [
    identity,
    ...certificates
      .filter((certificate) => !certificate.isExplicit && isFor(identity, certificate))
      .map((certificate) => certified(identity, certificate)),
  ]);
  return [...explicit, ...others];
}
