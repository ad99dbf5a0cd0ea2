/**
 * OpenSSH PROTOCOL §2.5: the server names all its host keys after login (hostkeys-00@openssh.com) and
 * proves those that the client asks for (hostkeys-prove-00@openssh.com). The proof is the privileged
 * half's. Runs in: worker.
 */
import type { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import type { GlobalRequestHandler } from './global-requests.ts';
import { GlobalRequest } from './messages.ts';

/** As many as anybody has; a client that names more is answered with FAILURE. */
export const maxProvenHostKeys = 64;

export interface HostKeyProver {
  /** One signature per key, in order; undefined: not for these. */
  prove(publicBlobs: readonly Buffer[]): Promise<readonly Buffer[] | undefined>;
}

/** The payload that names the keys. */
export function announceHostKeys(publicBlobs: readonly Buffer[]): Buffer {
  const data = new Writer();
  for (const blob of publicBlobs) {
    data.string(blob);
  }
  return GlobalRequest.encode({
    name: 'hostkeys-00@openssh.com',
    wantReply: false,
    data: data.done(),
  });
}

/** Some versions of this client end the connection when they hear of host keys (as in sshd). */
export function understandsHostKeys(peerVersion: string): boolean {
  return !/^SSH-[^-]*-TTSSH\/2\.7[0-2]/.test(peerVersion);
}

export function hostKeysProve(prover: HostKeyProver): [string, GlobalRequestHandler] {
  return [
    'hostkeys-prove-00@openssh.com',
    async (fields: Reader) => {
      const blobs: Buffer[] = [];
      while (fields.left > 0) {
        if (blobs.length >= maxProvenHostKeys) {
          return false;
        }
        // A copy: the payload is gone when the answer comes.
        blobs.push(Buffer.from(fields.string()));
      }
      const signatures = blobs.length === 0 ? undefined : await prover.prove(blobs);
      if (signatures === undefined) {
        return false;
      }
      return signatures.reduce((to, one) => to.string(one), new Writer()).done();
    },
  ];
}
