/**
 * Method `publickey` (RFC 4252 §7) and publickey-hostbound-v00@openssh.com (OpenSSH's PROTOCOL §3.1):
 * query and signature. Runs in: worker. Which algorithms count, what was signed and by whom is asked
 * of the authority, with the key that comes with the signature and no other.
 */
import { ProtocolError } from '../../../base/errors.ts';
import type { Reader } from '../../wire/reader.ts';
import { string, text } from '../../wire/field.ts';
import { message } from '../../wire/message.ts';
import { type Method, type MethodContext, type MethodStep, outcomeOf } from '../method.ts';

/** RFC 4252 §7 */
export const PublicKeyOk = message(60, 'USERAUTH_PK_OK', { algorithm: text, blob: string });

const noHostKey = Buffer.alloc(0);

function readHostKey(fields: Reader): Buffer {
  const hostKey = fields.string();
  if (hostKey.length === 0) {
    throw new ProtocolError('a hostbound request without a host key');
  }
  return hostKey;
}

async function start(
  fields: Reader,
  { authority }: MethodContext,
  isHostBound: boolean,
): Promise<MethodStep> {
  const isSigned = fields.bool();
  const algorithm = fields.text();
  const blob = fields.string();
  const hostKey = isHostBound ? readHostKey(fields) : noHostKey;
  const signature = isSigned ? fields.string() : undefined;
  fields.end();
  if (signature !== undefined) {
    return outcomeOf(authority.checkKey(algorithm, blob, signature, hostKey));
  }
  const outcome = await authority.queryKey(algorithm, blob, hostKey);
  if (outcome.is !== 'acceptable') {
    return { is: 'outcome', outcome };
  }
  return {
    is: 'message',
    // The algorithm that was asked for, not the type within the blob: rsa-sha2-512 stays that.
    payload: PublicKeyOk.encode({ algorithm, blob }),
    ...(outcome.banner === undefined ? {} : { banner: outcome.banner }),
  };
}

export const publickey: Method = {
  name: 'publickey',
  start: (fields, context) => start(fields, context, false),
};

export const publickeyHostbound: Method = {
  name: 'publickey-hostbound-v00@openssh.com',
  start: (fields, context) => start(fields, context, true),
};
