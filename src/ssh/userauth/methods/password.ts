/** Method `password` (RFC 4252 §8). Runs in: worker. The password is erased after one use. */
import { passwordBytes } from '../../../base/limits.ts';
import { type Method, outcomeOf } from '../method.ts';

export const password: Method = {
  name: 'password',
  async start(fields, { authority }) {
    const isChange = fields.bool();
    const secret = fields.string();
    try {
      if (isChange) {
        // Expired passwords are changed within keyboard-interactive; sshd refuses this form too.
        const replacement = fields.string();
        replacement.fill(0);
        fields.end();
        return await outcomeOf(authority.refuseMethod('password'));
      }
      fields.end();
      if (secret.length > passwordBytes) {
        return await outcomeOf(authority.refuseMethod('password'));
      }
      return await outcomeOf(authority.password(secret));
    } finally {
      secret.fill(0);
    }
  },
};
