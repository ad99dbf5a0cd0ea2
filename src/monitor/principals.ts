/**
 * Which names a certificate of a trusted authority may list to open an account (sshd_config(5)
 * TrustedUserCAKeys): the account's own. The one place where that is decided. Runs in: monitor.
 */
import type { Certificate } from '../../keys/certificate.ts';
import type { KeyOptions } from '../../keys/key-options.ts';
import type { Authentication } from './authentication.ts';

export type PrincipalsDecision =
  /** Nothing else is configured: the certificate has to list the account's name. */
  | { readonly is: 'user-name' }
  /** A list was asked and holds one of the certificate's principals; `options`: of its line. */
  | { readonly is: 'listed'; readonly options: KeyOptions }
  /** A list was asked and holds none of them. */
  | { readonly is: 'unlisted' };

/** Asked only for certificates of an authority of TrustedUserCAKeys, and for valid accounts. */
export async function decidePrincipals(
  _authentication: Authentication,
  _certificate: Certificate,
): Promise<PrincipalsDecision> {
  return { is: 'user-name' };
}
