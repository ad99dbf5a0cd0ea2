/**
 * HostCertificate: which key a certificate is for (OpenSSH PROTOCOL.certkeys). Its authority is the
 * clients' affair. Runs in: monitor.
 */
import { isKeyType } from '../../keys/algorithms.ts';
import { ConfigError } from '../base/errors.ts';
import { Reader } from '../ssh/wire/reader.ts';
import { Writer } from '../ssh/wire/writer.ts';

const suffix = '-cert-v01@openssh.com';
const hostCertificate = 2;

/** How many strings make up a key of the type. */
const keyFields: Readonly<Record<string, number>> = { 'ssh-ed25519': 1, 'ssh-rsa': 2 };

/** The plain blob of the certified key. Throws ConfigError or ProtocolError. */
export function certifiedHostKey(certificate: Buffer): Buffer {
  const from = new Reader(certificate);
  const name = from.string().toString('latin1');
  const type = name.slice(0, -suffix.length);
  if (!name.endsWith(suffix) || !isKeyType(type)) {
    throw new ConfigError('not a certificate of a type that is known');
  }
  from.string();
  const key = new Writer().text(type);
  for (let left = keyFields[type] ?? 2; left > 0; left--) {
    key.string(from.string());
  }
  from.uint64();
  if (from.uint32() !== hostCertificate) {
    throw new ConfigError('not a host certificate');
  }
  return key.done();
}
