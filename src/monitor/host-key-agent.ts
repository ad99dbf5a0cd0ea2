/**
 * HostKeyAgent: signatures by an agent that holds host keys. One connection per question, so an agent
 * that was started anew is found again. Runs in: monitor.
 */
import { connect } from 'node:net';
import {
  identitiesRequest,
  maxAgentFrameBytes,
  readIdentities,
  readSignature,
  signRequest,
} from '../../keys/agent.ts';
import { verify } from '../../keys/signature.ts';
import { ProtocolError } from '../base/errors.ts';

/** A key exchange waits for it; LoginGraceTime is longer. */
const agentAnswerMs = 10_000;

export class HostKeyAgent {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Public blobs of the keys that it holds. Rejects when it cannot be reached or makes no sense. */
  async identities(): Promise<readonly Buffer[]> {
    return readIdentities(await this.#ask(identitiesRequest));
  }

  /** `string algorithm · string value`; what is not a signature of this key is refused here. */
  async sign(blob: Buffer, algorithm: string, data: Buffer): Promise<Buffer> {
    const signature = readSignature(await this.#ask(signRequest(blob, algorithm, data)));
    if (!verify(algorithm, blob, signature, data)) {
      throw new ProtocolError(`the agent's answer is not a signature by ${algorithm}`);
    }
    return signature;
  }

  #ask(request: Buffer): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const socket = connect(this.path);
    const chunks: Buffer[] = [];
    let bytes = 0;
    socket.setTimeout(agentAnswerMs, () => socket.destroy(new Error('the agent does not answer')));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(request.length);
    socket.write(Buffer.concat([length, request]));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes < 4) {
        return;
      }
      const received = Buffer.concat(chunks);
      const wanted = received.readUInt32BE(0);
      if (wanted === 0 || wanted > maxAgentFrameBytes) {
        socket.destroy(new ProtocolError(`an agent's answer of ${wanted} bytes`));
      } else if (bytes >= 4 + wanted) {
        resolve(received.subarray(4, 4 + wanted));
        socket.destroy();
      } else {
        chunks.splice(0, chunks.length, received);
      }
    });
    socket.on('error', reject);
    // After `resolve` this says nothing.
    socket.on('close', () => reject(new ProtocolError('the agent closed without an answer')));
    return promise;
  }
}
