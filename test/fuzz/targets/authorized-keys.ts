/**
 * A file of authorized_keys, for a plain key and for a certificate: what matches says so in its line,
 * and restricts at least as the line and the certificate do.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type KeyMatch, matchCertificate, matchKey } from '../../../keys/authorized-keys.ts';
import { parseCertificate } from '../../../keys/certificate.ts';
import { optionsEnd, parseKeyOptions } from '../../../keys/key-options.ts';
import { publicLine } from '../../../keys/public-key.ts';
import type { FuzzTarget } from '../target.ts';

const made = readFileSync(new URL('../corpus/certificate/made-usable', import.meta.url));
const use = { nowMs: 0, remoteAddress: '10.1.2.3', remoteHost: '10.1.2.3', user: 'alice' };
const maxMs = 2_000;

function opened() {
  const parsed = parseCertificate(made, ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512']);
  assert.ok(parsed.ok);
  return parsed.certificate;
}

const certificate = opened();
const authority = publicLine(certificate.authority.blob);
const own = publicLine(certificate.key.blob);

/** The key stands in the line that is said to match. */
function assertInLine(input: Buffer, found: KeyMatch, line: string): void {
  if (found.is === 'match') {
    const text = input.toString('latin1').split('\n')[found.line - 1] ?? '';
    assert.ok(text.includes((line.split(' ')[1] ?? '').replace(/=+$/, '')));
    assert.ok(!found.options.isCertAuthority);
  }
}

export const authorizedKeys: FuzzTarget = {
  name: 'authorized-keys',
  isStream: false,
  perSecond: 3_000,
  seeds: () =>
    [
      own,
      `restrict,pty,command="a \\"b\\", c",from="!10.0.0.1,10.*",no-user-rc ${own}\n`,
      `cert-authority,principals="alice,ops",no-pty ${authority} with a comment\n`,
      `environment="A=b",permitopen="[::1]:*",permitlisten="8080",tunnel="any",expiry-time="20300101Z" ${own}`,
      `# one\n\nssh-dss AAAAB3NzaC1kc3M=\nnonsense ${own}\nverify-required,no-touch-required ${own}\r\ncert-authority ${authority}\n`,
    ].map((text) => Buffer.from(text)),
  async run([input = Buffer.alloc(0)]) {
    const startedMs = performance.now();
    const text = input.toString('latin1');
    optionsEnd(text);
    parseKeyOptions(text);
    const plain = matchKey(input, certificate.key.blob, use);
    const certified = matchCertificate(input, certificate, use);
    assert.ok(performance.now() - startedMs < maxMs, 'it takes seconds');
    assertInLine(input, plain, own);
    assertInLine(input, certified, authority);
    if (certified.is === 'match') {
      assert.equal(certified.options.command, 'echo forced');
      assert.equal(certified.options.permitX11Forwarding, false);
    }
  },
};
