/**
 * session-bind@openssh.com (OpenSSH's PROTOCOL.agent §1): the agent learns to which host a connection
 * is forwarded, before that host says a word to it. Without it the agent takes what comes for the
 * person's own: it loads modules, and refuses keys that are bound to a way. Runs in: user.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { maxAgentFrameBytes } from '../../../keys/agent.ts';
import type { ClientSession } from '../../ssh/client/session.ts';
import { Writer } from '../../ssh/wire/writer.ts';

/** SSH_AGENTC_EXTENSION */
const extension = 27;
/** An agent answers at once; one that does not would keep the channel waiting for ever. */
const answerMs = 10_000;

async function take(agent: Socket, count: number, signal: AbortSignal): Promise<Buffer> {
  for (;;) {
    const bytes = agent.read(count) as Buffer | null;
    if (bytes !== null && bytes.length === count) {
      return bytes;
    }
    if (bytes !== null || agent.readableEnded || agent.destroyed) {
      throw new Error('the agent ends before its answer');
    }
    await Promise.race([once(agent, 'readable', { signal }), once(agent, 'close', { signal })]);
  }
}

/** False: it does not answer. That an agent knows nothing of it is an answer, as for OpenSSH. */
export async function bindAgent(agent: Socket, session: ClientSession): Promise<boolean> {
  const { hostKey, signature } = session.hostProof;
  const body = new Writer()
    .byte(extension)
    .text('session-bind@openssh.com')
    .string(hostKey)
    .string(session.sessionId)
    .string(signature)
    .bool(true)
    .done();
  agent.write(new Writer().string(body).done());
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), answerMs);
  try {
    const length = (await take(agent, 4, over.signal)).readUInt32BE();
    if (length === 0 || length > maxAgentFrameBytes) {
      return false;
    }
    await take(agent, length, over.signal);
    return true;
  } catch {
    return false; // it has ended, or takes too long: told as an agent that does not answer
  } finally {
    clearTimeout(timer);
    over.abort();
  }
}
