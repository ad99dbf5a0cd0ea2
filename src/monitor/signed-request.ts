/** What the signature of a USERAUTH_REQUEST with `publickey` is over (RFC 4252 §7). Runs in: monitor. */
import { MonitorRefusal } from '../base/errors.ts';
import { Writer } from '../ssh/wire/writer.ts';
import type { Connection } from './connection.ts';

const userauthRequest = 50;
const hostBound = 'publickey-hostbound-v00@openssh.com';

/** Over the session identifier that the monitor computed; with `hostKey` also for which server. */
export function signedBytes(
  { connection, claimedUser }: { readonly connection: Connection; readonly claimedUser: Buffer },
  service: string,
  algorithm: string,
  blob: Buffer,
  hostKey: Buffer,
): Buffer {
  const { sessionId } = connection;
  if (sessionId === undefined) {
    throw new MonitorRefusal('a signature before the first key exchange');
  }
  const signed = new Writer()
    .string(sessionId)
    .byte(userauthRequest)
    .string(claimedUser)
    .text(service)
    .text(hostKey.length === 0 ? 'publickey' : hostBound)
    .bool(true)
    .text(algorithm)
    .string(blob);
  return (hostKey.length === 0 ? signed : signed.string(hostKey)).done();
}

/** A client that was led to another server has signed that server's key. */
export function isOfThisServer({ firstHostKey }: Connection, hostKey: Buffer): boolean {
  return hostKey.length === 0 || (firstHostKey?.equals(hostKey) ?? false);
}
