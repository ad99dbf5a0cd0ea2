/**
 * RevokedKeys (sshd_config(5)): a revocation list of ssh-keygen -k, or public keys one a line. A
 * revoked authority takes all its certificates with it. Runs in: monitor.
 */
import type { Certificate } from './certificate.ts';
import { keysOf } from './key-list.ts';
import { isKrl, Krl } from './krl.ts';
import type { PublicKey } from './public-key.ts';

export interface RevokedKeys {
  /** The key by itself, as of a user or as of an authority. */
  revokesKey(key: PublicKey): boolean;
  /** The certificate by its serial number or id. */
  revokesCertificate(certificate: Certificate): boolean;
}

/** A listed certificate revokes the key within it. */
function listed(content: Buffer): RevokedKeys {
  const blobs = new Set<string>();
  for (const blob of keysOf(content)) {
    blobs.add(blob.toString('latin1'));
  }
  return {
    revokesKey: ({ blob }) => blobs.has(blob.toString('latin1')),
    revokesCertificate: () => false,
  };
}

/** Throws KrlError, KeyListError for a list that cannot be understood. */
export function parseRevokedKeys(content: Buffer): RevokedKeys {
  return isKrl(content) ? new Krl(content) : listed(content);
}
