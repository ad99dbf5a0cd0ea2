/**
 * Method `publickey` (RFC 4252 §7): each key is offered first, and signs only when it is wanted.
 * Runs in: user.
 */
import type { ParsedKey } from 'ssh2';
import { SshdeskError } from '../../../base/errors.ts';
import { ClientFailure } from '../failure.ts';
import type { Identity } from '../identities.ts';
import { type ClientMethod, type MethodContext, type Outcome, outcomeOf } from '../method.ts';

export const publickey: ClientMethod = {
  name: 'publickey',
  begin(context) {
    const left = [...context.plan.identities];
    return async () => {
      for (let identity = left.shift(); identity; identity = left.shift()) {
        const outcome = await offer(identity, context);
        if (outcome) return outcome;
      }
      return null;
    };
  },
};

/** Null: nothing was sent that the server has not answered; go on with the next key. */
async function offer(identity: Identity, context: MethodContext): Promise<Outcome | null> {
  const { wire, plan } = context;
  if (identity.publicKey) {
    const algorithm = algorithmFor(identity.publicKey, context);
    const offered = { key: identity.publicKey, certificate: identity.certificate };
    const reply = await wire.queryKey(plan.user, offered, algorithm.name);
    if (reply.is !== 'key-accepted') return outcomeOf(reply);
  }
  const signer = await identity.unlock();
  if (!signer) return null;
  const algorithm = algorithmFor(signer.publicKey, context);
  const sign = (data: Buffer): Promise<Buffer> => signer.sign(data, algorithm.hash);
  try {
    const proven = { key: signer.publicKey, certificate: identity.certificate };
    return outcomeOf(await wire.proveKey(plan.user, proven, algorithm.name, sign));
  } catch (error) {
    if (error instanceof ClientFailure) throw error;
    const why = error instanceof SshdeskError ? error.detail : String(error);
    plan.conversation?.show(`${identity.label}: signing failed: ${why}\n`);
    return null;
  }
}

/** RFC 8332: SHA-1 signatures are never made. */
function algorithmFor(
  key: ParsedKey,
  { wire }: MethodContext,
): { name: string; hash: string | undefined } {
  if (key.type !== 'ssh-rsa') return { name: key.type, hash: undefined };
  const is256 = wire.signatureAlgorithms?.includes('rsa-sha2-512') === false;
  return is256
    ? { name: 'rsa-sha2-256', hash: 'sha256' }
    : { name: 'rsa-sha2-512', hash: 'sha512' };
}
