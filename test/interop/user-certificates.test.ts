/**
 * Certificates of users with stock ssh, against sshdesk and Debian's sshd at once: the same verdict,
 * the same effect, the same lines in the log. Where sshdesk is stricter the row says so and why.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { BothServers } from '../support/both-servers.ts';
import { type CertificateRequest, certify } from '../support/certificates.ts';
import { authorize, inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';

const lab = inLab(import.meta.url, 300_000);
const trustedFile = '/etc/ssh/trusted_user_ca';
let alice: LabUser;
/** Trusted by TrustedUserCAKeys. */
let authority: TestKey;
/** Trusted by lines of authorized_keys. */
let ownAuthority: TestKey;
let stranger: TestKey;
let key: TestKey;
let both: BothServers;

interface Row {
  readonly name: string;
  readonly by?: 'authority' | 'ownAuthority' | 'stranger';
  readonly certificate: CertificateRequest;
  /** CA, TRUSTED, KEY, CERTIFICATE stand for the lines of ownAuthority, authority, and the user's. */
  readonly authorized?: readonly string[];
  /** What the command prints on success; undefined: refused. */
  readonly prints: string | undefined;
  /** sshd takes it, and we do not. */
  readonly isStricter?: boolean;
  readonly args?: readonly string[];
}

const all = { id: 'alice at work', principals: 'alice', serial: 7 };
const rows: readonly Row[] = [
  { name: 'the account as principal', certificate: all, prints: 'ran\n' },
  {
    name: 'one of several principals',
    certificate: { ...all, principals: 'root,alice,bob' },
    prints: 'ran\n',
  },
  { name: 'another principal', certificate: { ...all, principals: 'bob' }, prints: undefined },
  { name: 'a pattern as principal', certificate: { ...all, principals: '*' }, prints: undefined },
  { name: 'no principals', certificate: { id: 'x' }, prints: undefined },
  {
    name: 'the largest serial number',
    certificate: { ...all, serial: 18446744073709551615n },
    prints: 'ran\n',
  },
  { name: 'a host certificate', certificate: { ...all, isHost: true }, prints: undefined },
  { name: 'expired', certificate: { ...all, validity: '20200101:20200102' }, prints: undefined },
  {
    name: 'not yet valid',
    certificate: { ...all, validity: '20990101:20990102' },
    prints: undefined,
  },
  { name: 'valid now', certificate: { ...all, validity: '-1d:+1d' }, prints: 'ran\n' },
  { name: 'an unknown authority', by: 'stranger', certificate: all, prints: undefined },
  {
    name: 'a forced command',
    certificate: { ...all, options: ['force-command=echo forced'] },
    prints: 'forced\n',
  },
  {
    name: 'source-address here',
    certificate: { ...all, options: ['source-address=10.0.0.0/8,127.0.0.0/8'] },
    prints: 'ran\n',
  },
  {
    name: 'source-address elsewhere',
    certificate: { ...all, options: ['source-address=10.0.0.0/8'] },
    prints: undefined,
  },
  {
    name: 'an unknown critical option',
    certificate: { ...all, options: ['critical:no-such@example.org=x'] },
    prints: undefined,
  },
  {
    name: 'an unknown extension',
    certificate: { ...all, options: ['extension:no-such@example.org=x'] },
    prints: 'ran\n',
  },
  {
    name: 'an extension with data behind it',
    certificate: { ...all, options: ['clear', 'extension:permit-pty=x'] },
    prints: undefined,
  },
  {
    name: 'verify-required of a key that no authenticator holds',
    certificate: { ...all, options: ['verify-required'] },
    prints: 'ran\n',
  },
  {
    name: 'without permit-pty',
    certificate: { ...all, options: ['no-pty'] },
    args: ['-tt'],
    prints: 'no terminal',
  },
  {
    name: 'a cert-authority line',
    by: 'ownAuthority',
    certificate: all,
    authorized: ['cert-authority CA'],
    prints: 'ran\n',
  },
  {
    name: 'a line of the authority that is not cert-authority',
    by: 'ownAuthority',
    certificate: all,
    authorized: ['CA'],
    prints: undefined,
  },
  {
    name: 'cert-authority with principals=, listed',
    by: 'ownAuthority',
    certificate: { ...all, principals: 'admins' },
    authorized: ['cert-authority,principals="ops,admins" CA'],
    prints: 'ran\n',
  },
  {
    name: 'cert-authority with principals=, the account alone does not count',
    by: 'ownAuthority',
    certificate: all,
    authorized: ['cert-authority,principals="ops,admins" CA'],
    prints: undefined,
  },
  {
    name: 'cert-authority, another principal',
    by: 'ownAuthority',
    certificate: { ...all, principals: 'bob' },
    authorized: ['cert-authority CA'],
    prints: undefined,
  },
  {
    // OpenSSH up to 10.2 lets it in: nobody is named, so everybody is.
    name: 'cert-authority, no principals',
    by: 'ownAuthority',
    certificate: { id: 'x' },
    authorized: ['cert-authority CA'],
    prints: undefined,
    isStricter: true,
  },
  {
    name: 'cert-authority, the same forced command in both',
    by: 'ownAuthority',
    certificate: { ...all, options: ['force-command=echo both'] },
    authorized: ['cert-authority,command="echo both" CA'],
    prints: 'both\n',
  },
  {
    name: 'cert-authority, two forced commands',
    by: 'ownAuthority',
    certificate: { ...all, options: ['force-command=echo one'] },
    authorized: ['cert-authority,command="echo two" CA'],
    prints: undefined,
  },
  {
    name: 'cert-authority, forced by the line',
    by: 'ownAuthority',
    certificate: all,
    authorized: ['cert-authority,command="echo line" CA'],
    prints: 'line\n',
  },
  {
    name: 'cert-authority with from= of elsewhere',
    by: 'ownAuthority',
    certificate: all,
    authorized: ['cert-authority,from="10.0.0.0/8" CA'],
    prints: undefined,
  },
  {
    name: 'cert-authority, source-address of elsewhere',
    by: 'ownAuthority',
    certificate: { ...all, options: ['source-address=10.0.0.0/8'] },
    authorized: ['cert-authority,from="127.0.0.1" CA'],
    prints: undefined,
  },
  {
    name: 'cert-authority, expired line',
    by: 'ownAuthority',
    certificate: all,
    authorized: ['cert-authority,expiry-time="20200101" CA'],
    prints: undefined,
  },
  {
    name: 'cert-authority, expired certificate',
    by: 'ownAuthority',
    certificate: { ...all, validity: '20200101:20200102' },
    authorized: ['cert-authority CA'],
    prints: undefined,
  },
  {
    name: 'cert-authority, unknown critical option',
    by: 'ownAuthority',
    certificate: { ...all, options: ['critical:no-such@example.org'] },
    authorized: ['cert-authority CA'],
    prints: undefined,
  },
  {
    name: 'cert-authority, a second line that lets it in',
    by: 'ownAuthority',
    certificate: all,
    authorized: ['cert-authority,from="10.0.0.1" CA', 'ssh-dss AAAA', 'cert-authority CA'],
    prints: 'ran\n',
  },
  {
    name: 'trusted by root and by a line: which of both counts',
    certificate: all,
    authorized: ['cert-authority,command="echo line" TRUSTED'],
    prints: 'line\n',
  },
  {
    name: 'trusted by root for another name, by a line for this account',
    certificate: { ...all, principals: 'ops' },
    authorized: ['cert-authority,principals="ops",command="echo line" TRUSTED'],
    prints: 'line\n',
  },
  {
    name: 'the certified key has a line of its own: the certificate is not that key',
    by: 'stranger',
    certificate: { ...all, options: ['force-command=echo forced'] },
    authorized: ['cert-authority KEY'],
    prints: undefined,
  },
  {
    name: 'the certificate itself stands in a line',
    by: 'stranger',
    certificate: all,
    authorized: ['CERTIFICATE', 'cert-authority CERTIFICATE'],
    prints: undefined,
  },
  {
    name: 'cert-authority, restrict',
    by: 'ownAuthority',
    certificate: all,
    authorized: ['cert-authority,restrict CA'],
    args: ['-tt'],
    prints: 'no terminal',
  },
];

describe('certificates of users', lab, () => {
  before(async () => {
    alice = makeUser('alice');
    [authority, ownAuthority, stranger, key] = [
      makeKey('ed25519'),
      makeKey('ecdsa'),
      makeKey('ed25519'),
      makeKey('ed25519'),
    ] as const;
    writeFileSync(trustedFile, `# trusted\n\n${authority.line}\n`);
    const config = ['LogLevel VERBOSE', `TrustedUserCAKeys ${trustedFile}`];
    both = await BothServers.start(config);
  });
  after(async () => {
    await both[Symbol.asyncDispose]();
  });

  for (const row of rows) {
    test(row.name, async () => {
      const by = { authority, ownAuthority, stranger }[row.by ?? 'authority'];
      const certificate = certify(by, key, row.certificate);
      const lines = (row.authorized ?? []).map((line) =>
        line
          .replace('CERTIFICATE', certificate.line)
          .replace('TRUSTED', authority.line)
          .replace('KEY', key.line)
          .replace(/\bCA$/, ownAuthority.line),
      );
      authorize(alice, lines);
      const { ours, theirs } = await both.each(certificate, { args: row.args ?? [] });
      assert.equal(ours.printed, row.prints, ours.lines.join('\n'));
      if (row.isStricter === true) {
        assert.notEqual(theirs.printed, undefined);
        return;
      }
      assert.equal(theirs.printed, row.prints, theirs.lines.join('\n'));
      assert.deepEqual(ours.lines, theirs.lines);
    });
  }
});
