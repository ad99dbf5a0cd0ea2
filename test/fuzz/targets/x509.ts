/**
 * Certificates of cards, lists of revocations and subjects: an error of its own or a value, and nothing
 * but what the authority has signed is believed; in bounded time.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readCardSubjects } from '../../../keys/card-mapping.ts';
import { RevocationList } from '../../../keys/crl.ts';
import { DerError } from '../../../keys/der.ts';
import { readPem } from '../../../keys/pem.ts';
import { blobOfSpki } from '../../../keys/spki.ts';
import { readX509 } from '../../../keys/x509.ts';
import { pathObjection, readAuthorities } from '../../../keys/x509-path.ts';
import { ConfigError } from '../../../src/base/errors.ts';
import type { FuzzTarget } from '../target.ts';

const made = (name: string): Buffer =>
  readFileSync(new URL(`../corpus/x509/${name}`, import.meta.url));
const pem = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`;

const nowMs = Date.UTC(2030, 0, 1);
const authorities = readAuthorities(
  Buffer.from(pem(made('made-authority')) + pem(made('made-rsa-authority'))),
);
const list = new RevocationList(made('made-list'));
const signed = ['made-card', 'made-card-by-rsa'].map((name) => readX509(made(name)).signed);

function tryEach(input: Buffer): void {
  const certificate = readX509(input);
  const { spki } = certificate;
  if (pathObjection(certificate, { authorities, revocations: undefined }, nowMs) === undefined) {
    assert.ok(
      signed.some((bytes) => bytes.equals(certificate.signed)),
      'a changed certificate is believed',
    );
  }
  pathObjection(certificate, { authorities, revocations: [list] }, nowMs);
  blobOfSpki(spki);
}

export const x509: FuzzTarget = {
  name: 'x509',
  isStream: false,
  perSecond: 2_000,
  seeds: () => [Buffer.from(pem(made('made-card'))), Buffer.from('alice CN=Alice\\, A,O=Lab\n')],
  async run([input = Buffer.alloc(0)]) {
    const startedMs = performance.now();
    for (const read of [
      () => tryEach(input),
      () => new RevocationList(input).revokedAtMs('00'),
      () => readAuthorities(input),
      () => readPem(input, { label: 'CERTIFICATE', maxBlocks: 4 }).forEach(tryEach),
      () => readCardSubjects(input),
    ]) {
      try {
        read();
      } catch (error) {
        const isExpected = error instanceof DerError || error instanceof ConfigError;
        assert.ok(isExpected, (error as Error).stack);
      }
    }
    assert.ok(performance.now() - startedMs < 2_000, 'it takes seconds');
  },
};
