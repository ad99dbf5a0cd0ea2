/**
 * Incidents of other servers with keys and certificates: flags, principals, authorities, revocation,
 * addresses. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { before, describe } from 'node:test';
import { generateKey } from '../../../keys/keygen.ts';
import { publicLine } from '../../../keys/public-key.ts';
import { FidoKey } from '../../support/fido.ts';
import {
  authorityOf,
  forge,
  type ForgedFields,
  optionText,
} from '../../support/forged-certificate.ts';
import { incidentScene } from '../../support/incident.ts';
import { authorize, inLab } from '../../support/lab.ts';
import {
  acceptable,
  accepted,
  answerTo,
  certificateType,
  refused,
  signer,
} from '../../support/publickey-attempt.ts';
import { serverKind } from '../../support/server.ts';

const lab = inLab(import.meta.url, 200_000);
const trustedFile = '/etc/ssh/incident_user_ca';
const revokedFile = '/etc/ssh/incident_revoked';

const authority = generateKey({ type: 'ed25519' }).key;
const by = authorityOf(authority, 'ssh-ed25519');
const authorityLine = publicLine(authority.publicBlob);
const fido = new FidoKey('sk-ssh-ed25519@openssh.com');

describe('keys and certificates', lab, () => {
  before(() => {
    writeFileSync(trustedFile, `${authorityLine}\n`);
    writeFileSync(revokedFile, '');
  });
  const { incident, key, alice } = incidentScene({
    config: [`TrustedUserCAKeys ${trustedFile}`, `RevokedKeys ${revokedFile}`],
    removals: [
      {
        file: 'src/monitor/requests/publickey.ts',
        check: '(fido.flags & fidoFlags.userPresent) === 0',
        instead: 'fido.flags < 0',
      },
      {
        file: 'keys/authorized-keys.ts',
        check: 'certificate.principals.some(',
        instead: "certificate.principals.flatMap((name) => name.split(',')).some(",
      },
      {
        file: 'keys/certificate.ts',
        check: "throw new Refusal('the authority is itself a certificate');",
        instead: 'return readKeyWithin(blob, new Reader(blob)).key;',
      },
      {
        file: 'src/monitor/user-key.ts',
        check: ' || revoked.revokesKey(certificate.authority)',
        instead: '',
      },
      {
        file: 'keys/key-use.ts',
        check: '!matchNetworkList(use.remoteAddress, sourceAddress)',
        instead: 'use.nowMs < 0',
      },
    ],
  });
  const sign = signer(key);
  const certificate = (fields: Partial<ForgedFields> = {}) =>
    forge({ key: key.blob, certificateType, ...fields }, by);
  const certified = (blob: Buffer) => ({ algorithm: certificateType, blob, sign });
  /** The key of the bystander stays. */
  const allow = (...lines: readonly string[]) => authorize(alice(), [...lines, key.line]);

  incident(
    'CVE-2026-39831: a FIDO signature that is right in all but its flags opens nothing',
    async ({ port }) => {
      const line = publicLine(fido.publicBlob);
      const attempt = (flags: number) =>
        answerTo(port, {
          algorithm: fido.type,
          blob: fido.publicBlob,
          sign: (data) => fido.sign(data, { flags }),
        });
      allow(line);
      assert.equal(await attempt(1), accepted);
      assert.equal(await attempt(0), refused);
      assert.equal(await attempt(0xfe), refused);
      allow(`verify-required ${line}`);
      assert.equal(await attempt(1), refused);
      assert.equal(await attempt(5), accepted);
      allow(`no-touch-required ${line}`);
      assert.equal(await attempt(0), accepted);
    },
    { seen: true },
  );

  incident(
    'CVE-2024-7594: principals are compared as a whole, and none is nobody',
    async ({ port }) => {
      allow(`cert-authority,principals="ops,web" ${authorityLine}`);
      const attempt = (...principals: readonly string[]) =>
        answerTo(port, certified(certificate({ principals })));
      assert.equal(await attempt('web'), accepted);
      for (const name of ['bob,alice', 'alice,bob', 'alice ', 'ALICE', '*', 'alic?', '', 'ops,']) {
        // OpenSSH up to 10.2 splits the certificate's own names at commas too.
        if (serverKind === 'sshdesk' || name !== 'ops,') {
          assert.equal(await attempt(name), refused, name);
        }
      }
      assert.equal(await attempt(), refused);
    },
    { seen: true },
  );

  incident(
    'CVE-2025-49825: a certificate is no authority, whoever certified it',
    async ({ port }) => {
      const inner = generateKey({ type: 'ed25519' }).key;
      const innerLine = publicLine(inner.publicBlob);
      const signs = (publicBlob: Buffer) => ({
        publicBlob,
        sign: (data: Buffer) => inner.sign('ssh-ed25519', data),
      });
      for (const subject of [1, 2]) {
        const nested = forge({ key: inner.publicBlob, certificateType, subject }, by);
        const blob = forge({ key: key.blob, certificateType }, signs(nested));
        for (const line of [
          `cert-authority ${certificateType} ${nested.toString('base64')}`,
          `cert-authority ${innerLine}`,
        ]) {
          allow(line);
          assert.equal(await answerTo(port, certified(blob)), refused);
        }
      }
      allow(`cert-authority ${innerLine}`);
      const plain = forge({ key: key.blob, certificateType }, signs(inner.publicBlob));
      assert.equal(await answerTo(port, certified(plain)), accepted);
    },
    { seen: true },
  );

  incident(
    'CVE-2026-42508: what a revoked authority has signed opens nothing',
    async ({ port }) => {
      const attempt = certified(certificate());
      allow(`cert-authority ${authorityLine}`);
      assert.equal(await answerTo(port, attempt), accepted);
      writeFileSync(revokedFile, `${authorityLine}\n`);
      try {
        assert.equal(await answerTo(port, attempt), refused);
        const { sign: _sign, ...query } = attempt;
        assert.equal(await answerTo(port, query), refused);
      } finally {
        writeFileSync(revokedFile, '');
      }
    },
    { seen: true },
  );

  incident(
    'CVE-2026-46595: source-address holds whoever trusts the certificate, also for a question',
    async ({ port }) => {
      const from = (list: string) =>
        certified(certificate({ criticalOptions: [['source-address', optionText(list)]] }));
      for (const lines of [[], [`cert-authority ${authorityLine}`]]) {
        allow(...lines);
        for (const [list, isIn] of [
          ['10.0.0.0/8', false],
          ['10.0.0.0/8,127.0.0.1', true],
        ] as const) {
          const attempt = from(list);
          assert.equal(await answerTo(port, attempt), isIn ? accepted : refused, list);
          const { sign: _sign, ...query } = attempt;
          assert.equal(await answerTo(port, query), isIn ? acceptable : refused, list);
        }
      }
    },
    { seen: true },
  );
});
