/** RevokedKeys: a list of ssh-keygen -k or of keys, or an error of its own; in bounded time. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parseCertificate } from '../../../keys/certificate.ts';
import { KeyListError } from '../../../keys/key-list.ts';
import { KrlError } from '../../../keys/krl.ts';
import { parsePublicKey } from '../../../keys/public-key.ts';
import { parseRevokedKeys } from '../../../keys/revoked-keys.ts';
import type { FuzzTarget } from '../target.ts';

const made = readFileSync(new URL('../corpus/certificate/made-ed25519', import.meta.url));

export const revokedKeys: FuzzTarget = {
  name: 'revoked-keys',
  isStream: false,
  perSecond: 3_000,
  seeds: () => [Buffer.from('# none\n\nssh-ed25519 AAAA\n')],
  async run([input = Buffer.alloc(0)]) {
    const parsed = parseCertificate(made, ['ssh-ed25519']);
    assert.ok(parsed.ok);
    const startedMs = performance.now();
    try {
      const revoked = parseRevokedKeys(input);
      revoked.revokesCertificate(parsed.certificate);
      revoked.revokesKey(parsed.certificate.authority);
      const plain = parsePublicKey(made);
      if (plain.ok) {
        revoked.revokesKey(plain.key);
      }
    } catch (error) {
      const isExpected = error instanceof KrlError || error instanceof KeyListError;
      assert.ok(isExpected, (error as Error).stack);
    }
    assert.ok(performance.now() - startedMs < 2_000, 'it takes seconds');
  },
};
