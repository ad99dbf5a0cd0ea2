/**
 * The files of a user's certificates: those of CertificateFile, and `id-cert.pub` beside each key.
 * Runs in: user.
 */
import { readCertificate, type UserCertificate } from '../../ssh/client/certificates.ts';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { Settings } from './settings.ts';
import { readBounded } from './trust-files.ts';

const maxCertificateFileBytes = 64 * 1024;

/** What is wrong with one that was named is said; the others still count. */
export async function readCertificates(
  { certificateFiles, identityFiles }: Settings,
  note: (text: string) => void,
): Promise<UserCertificate[]> {
  const found: UserCertificate[] = [];
  const files = [
    ...certificateFiles.map((path) => ({ path, isExplicit: true })),
    ...identityFiles.map(({ path }) => ({ path: `${path}-cert.pub`, isExplicit: false })),
  ];
  for (const { path, isExplicit } of files) {
    const certificate = await readOne(path, isExplicit);
    if (certificate === null) continue;
    if (typeof certificate !== 'string') found.push(certificate);
    else if (isExplicit) note(`Warning: ${path}: ${certificate}`);
  }
  return found;
}

async function readOne(
  path: string,
  isExplicit: boolean,
): Promise<UserCertificate | string | null> {
  try {
    const contents = await readBounded(path, maxCertificateFileBytes, 'usage');
    if (!contents) return isExplicit ? 'no such file' : null;
    return readCertificate(path, contents, isExplicit);
  } catch (error) {
    if (!(error instanceof ClientFailure)) throw error;
    return error.detail.replace(`${path}: `, '');
  }
}
