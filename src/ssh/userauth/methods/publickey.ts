/**
 * Method `publickey` (RFC 4252 §7): query and signature. Runs in: worker. What was signed and by
 * whom is checked by the authority, with the key that comes with the signature and no other.
 */
import { string, text } from '../../wire/field.ts';
import { message } from '../../wire/message.ts';
import { type Method, outcomeOf } from '../method.ts';

/** RFC 4252 §7 */
export const PublicKeyOk = message(60, 'USERAUTH_PK_OK', { algorithm: text, blob: string });

export const publickey: Method = {
  name: 'publickey',
  async start(fields, { authority, acceptedUserKeyAlgorithms }) {
    const isSigned = fields.bool();
    const algorithm = fields.text();
    const blob = fields.string();
    const signature = isSigned ? fields.string() : undefined;
    fields.end();
    if (!acceptedUserKeyAlgorithms.includes(algorithm)) {
      return outcomeOf(authority.refuseMethod('publickey'));
    }
    if (signature !== undefined) {
      return outcomeOf(authority.checkKey(algorithm, blob, signature));
    }
    const outcome = await authority.queryKey(algorithm, blob);
    if (outcome.is !== 'acceptable') {
      return { is: 'outcome', outcome };
    }
    return {
      is: 'message',
      // The algorithm that was asked for, not the type within the blob: rsa-sha2-512 stays that.
      payload: PublicKeyOk.encode({ algorithm, blob }),
      ...(outcome.banner === undefined ? {} : { banner: outcome.banner }),
    };
  },
};
