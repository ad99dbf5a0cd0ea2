/**
 * `prove-host-keys`: signatures that show the client that the host has the keys it named after login
 * (OpenSSH PROTOCOL §2.5). The monitor builds the signed bytes over its own session identifier, so
 * that nothing else can be had signed this way. Runs in: monitor.
 */
import { CallFailure } from '../../ssh/wire/peer.ts';
import { Writer } from '../../ssh/wire/writer.ts';
import type { Connection } from '../connection.ts';
import type { HostKey, HostKeys } from '../host-keys.ts';
import { ProveHostKeys } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';
import { TokenAway } from '../token-host-key.ts';

/** errno EPERM */
const refusedCode = 1;
/** errno EIO */
const cannotSign = 5;
/** A client asks once, when it has learnt what it lacks; each answer costs a signature per key. */
const maxProofs = 4;

/** RSA as in the key exchange, if that was RSA; else the stronger. */
function algorithmFor(key: HostKey, connection: Connection): string {
  if (key.type !== 'ssh-rsa') {
    return key.type;
  }
  return connection.hostKeyAlgorithm.startsWith('rsa-')
    ? connection.hostKeyAlgorithm
    : 'rsa-sha2-512';
}

export function signedProof(sessionId: Buffer, publicBlob: Buffer): Buffer {
  return new Writer()
    .text('hostkeys-prove-00@openssh.com')
    .string(sessionId)
    .string(publicBlob)
    .done();
}

export interface ProveHostKeysHost {
  readonly hostKeys: HostKeys;
  /** The plain keys that clients are told of. */
  readonly announced: readonly Buffer[];
}

export function proveHostKeys({ hostKeys, announced }: ProveHostKeysHost): AnyRow {
  const proofs = new WeakMap<Connection, number>();
  return row({
    schema: ProveHostKeys,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: true,
    async handle(connection, { keys: blobs }) {
      const { sessionId } = connection;
      const count = (proofs.get(connection) ?? 0) + 1;
      proofs.set(connection, count);
      const isAllowed =
        count <= maxProofs &&
        new Set(blobs.map((blob) => blob.toString('base64'))).size === blobs.length &&
        blobs.every((blob) => announced.some((one) => one.equals(blob)));
      if (!isAllowed || sessionId === undefined) {
        throw new CallFailure(refusedCode, 'no such host keys');
      }
      const signatures: Buffer[] = [];
      for (const blob of blobs) {
        const key = hostKeys.find(blob) as HostKey;
        try {
          // One after another: an agent is asked for one thing at a time.
          signatures.push(
            await key.sign(algorithmFor(key, connection), signedProof(sessionId, blob)),
          );
        } catch (error) {
          const line = `prove-host-keys: ${key.type}: ${(error as Error).message}`;
          connection.log.at(error instanceof TokenAway ? 'DEBUG1' : 'ERROR', line);
          throw new CallFailure(cannotSign, 'a host key cannot be used');
        }
      }
      return { values: { signatures } };
    },
  });
}
