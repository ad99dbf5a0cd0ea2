/**
 * What is said to an agent that holds keys (draft-ietf-sshm-ssh-agent): which keys it has, and its
 * signature with one of them. Answers are a stranger's bytes: bounded, refused when malformed. Pure.
 * Runs in: monitor (host keys that an agent holds).
 */
import { ProtocolError } from '../src/base/errors.ts';
import { list, record, string, uint32 } from '../src/ssh/wire/field.ts';
import { message } from '../src/ssh/wire/message.ts';

/** As OpenSSH's own agent client. */
export const maxAgentFrameBytes = 256 * 1024;
const maxAgentIdentities = 2048;

const RequestIdentities = message(11, 'AGENTC_REQUEST_IDENTITIES', {});
const IdentitiesAnswer = message(12, 'AGENT_IDENTITIES_ANSWER', {
  identities: list(record({ blob: string, comment: string }), maxAgentIdentities),
});
const SignRequest = message(13, 'AGENTC_SIGN_REQUEST', {
  blob: string,
  data: string,
  flags: uint32,
});
const SignResponse = message(14, 'AGENT_SIGN_RESPONSE', { signature: string });
const failure = 5;
const flagsOf: Readonly<Record<string, number>> = { 'rsa-sha2-256': 2, 'rsa-sha2-512': 4 };

export const identitiesRequest: Buffer = RequestIdentities.encode({});

/** The public blobs. Throws ProtocolError. */
export function readIdentities(answer: Buffer): readonly Buffer[] {
  refuseFailure(answer);
  return IdentitiesAnswer.decode(answer).identities.map(({ blob }) => blob);
}

export function signRequest(blob: Buffer, algorithm: string, data: Buffer): Buffer {
  return SignRequest.encode({ blob, data, flags: flagsOf[algorithm] ?? 0 });
}

/** `string algorithm · string value`. Throws ProtocolError, also for an agent that will not. */
export function readSignature(answer: Buffer): Buffer {
  refuseFailure(answer);
  return SignResponse.decode(answer).signature;
}

function refuseFailure(answer: Buffer): void {
  if (answer[0] === failure) {
    throw new ProtocolError('agent refused operation');
  }
}
