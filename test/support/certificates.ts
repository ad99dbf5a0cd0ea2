/**
 * Authorities and certificates made by Debian's ssh-keygen: each certificate in a folder of its own,
 * beside a copy of its key, as `ssh -i` wants them. Runs in: test.
 */
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run, type TestKey } from './lab.ts';

export interface CertificateRequest {
  readonly id?: string;
  /** undefined: none at all. */
  readonly principals?: string | undefined;
  readonly serial?: number | bigint;
  /** ssh-keygen -V; default: always valid. */
  readonly validity?: string;
  /** ssh-keygen -O, in order. */
  readonly options?: readonly string[];
  readonly isHost?: boolean;
  /** ssh-keygen -t: the algorithm of an RSA authority. */
  readonly algorithm?: string;
  /** The middleware of an authority on an authenticator. */
  readonly provider?: string;
}

export interface TestCertificate extends TestKey {
  /** The certificate itself. */
  readonly blob: Buffer;
  readonly certificateFile: string;
}

export function blobOf(line: string): Buffer {
  return Buffer.from(line.split(' ')[1] ?? '', 'base64');
}

/** `-i` of it offers the certificate first, then the plain key. */
export function certify(
  authority: TestKey,
  key: TestKey,
  request: CertificateRequest,
): TestCertificate {
  const folder = mkdtempSync('/tmp/certificate-');
  const file = path.join(folder, 'id');
  copyFileSync(key.file, file);
  writeFileSync(`${file}.pub`, `${key.line}\n`);
  const { id = 'an id', principals, serial, validity, options = [], algorithm } = request;
  run('ssh-keygen', [
    ...['-q', '-s', authority.file, '-I', id],
    ...(request.isHost === true ? ['-h'] : []),
    ...(principals === undefined ? [] : ['-n', principals]),
    ...(serial === undefined ? [] : ['-z', String(serial)]),
    ...(validity === undefined ? [] : ['-V', validity]),
    ...(request.provider === undefined ? [] : ['-w', request.provider]),
    ...(algorithm === undefined ? [] : ['-t', algorithm]),
    ...options.flatMap((option) => ['-O', option]),
    `${file}.pub`,
  ]);
  const certificateFile = `${file}-cert.pub`;
  const line = readFileSync(certificateFile, 'utf8').trim();
  return { type: key.type, file, line, blob: blobOf(line), certificateFile };
}
