/** A user's certificate: refused, or exactly one that its authority has signed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  certificateObjection,
  isCertificate,
  parseCertificate,
  plainKeyBlob,
} from '../../../keys/certificate.ts';
import { optionsOfCertificate } from '../../../keys/certificate-options.ts';
import { parsePublicKey } from '../../../keys/public-key.ts';
import type { FuzzTarget } from '../target.ts';

const algorithms = [
  ...['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  ...['rsa-sha2-512', 'rsa-sha2-256', 'sk-ssh-ed25519@openssh.com'],
];
const folder = new URL('../corpus/certificate/', import.meta.url);
/** Made by ssh-keygen; what else is good is one of these. */
const names = ['ed25519', 'ecdsa', 'rsa', 'all-options', 'usable', 'sk-ed25519', 'sk-ecdsa'];
const genuine = names.map((name) => readFileSync(new URL(`made-${name}`, folder)));

export const certificate: FuzzTarget = {
  name: 'certificate',
  isStream: false,
  perSecond: 1_500,
  seeds: () => [],
  async run([input = Buffer.alloc(0)]) {
    const parsed = parseCertificate(input, algorithms);
    parsePublicKey(input);
    isCertificate(input);
    plainKeyBlob(input);
    if (parsed.ok) {
      assert.ok(
        genuine.some((one) => one.equals(input)),
        'a certificate that was changed counts',
      );
      certificateObjection(parsed.certificate, 'user', 0, 'alice');
      optionsOfCertificate(parsed.certificate);
    } else {
      assert.ok(parsed.reason.length < 1_000);
    }
  },
};
