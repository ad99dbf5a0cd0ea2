/**
 * HostCertificate: which key a certificate is for. Whether its authority is trusted is the clients'
 * affair; that its signature is right, and that it is a host's, is looked at here, so that a mistake
 * shows at the start. Runs in: monitor.
 */
import { signatureAlgorithms } from '../../keys/algorithms.ts';
import { parseCertificate } from '../../keys/certificate.ts';
import { ConfigError } from '../base/errors.ts';

const everyAlgorithm = signatureAlgorithms.map(({ name }) => name);

/** The plain blob of the certified key. Throws ConfigError. */
export function certifiedHostKey(blob: Buffer): Buffer {
  const parsed = parseCertificate(blob, everyAlgorithm);
  if (!parsed.ok) {
    throw new ConfigError(parsed.reason);
  }
  if (parsed.certificate.subject !== 'host') {
    throw new ConfigError('a certificate of a user, not of a host');
  }
  return parsed.certificate.key.blob;
}
