/**
 * How a client connection can fail, one kind per exit code of `sshdesk connect`.
 * Runs in: user.
 */
import { SshdeskError } from '../../base/errors.ts';
import type { ErrorOptionsWithCause } from '../../base/errors.ts';

export type ClientFailureKind = 'connection' | 'authentication' | 'host-key' | 'desktop' | 'usage';

/** `detail` is a text for the person at the terminal; texts of the server in it are untrusted. */
export class ClientFailure extends SshdeskError {
  readonly code = 'SSHDESK_CLIENT';
  readonly kind: ClientFailureKind;
  constructor(kind: ClientFailureKind, detail: string, options?: ErrorOptionsWithCause) {
    super(detail, options);
    this.kind = kind;
  }
}
