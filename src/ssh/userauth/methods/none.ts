/**
 * Method `none` (RFC 4252 §5.2). As the first request it is answered by what `begin` says; the
 * service does that. Any later one is a failure like another. Runs in: worker.
 */
import { type Method, outcomeOf } from '../method.ts';

export const none: Method = {
  name: 'none',
  async start(fields, { authority }) {
    fields.end();
    return outcomeOf(authority.refuseMethod('none'));
  },
};
