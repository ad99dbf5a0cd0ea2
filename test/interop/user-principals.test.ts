/**
 * AuthorizedPrincipalsFile and AuthorizedPrincipalsCommand with stock ssh, against sshdesk and
 * Debian's sshd at once: the same verdict, the same effect, the same lines. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { BothServers } from '../support/both-servers.ts';
import { blobOf, type CertificateRequest, certify } from '../support/certificates.ts';
import {
  authorize,
  findUser,
  inLab,
  makeKey,
  makeUser,
  run,
  type TestKey,
} from '../support/lab.ts';

const lab = inLab(import.meta.url, 300_000);
const trustedFile = '/etc/ssh/trusted_user_ca';
const lists = '/etc/principals';
const command = '/etc/commands/principals';
const witness = '/home/lookup/witness';

interface Row {
  readonly name: string;
  /** Default: one that lists the account's name alone. */
  readonly certificate?: CertificateRequest;
  /** The list of the account; undefined: there is none. */
  readonly list?: string;
  readonly mode?: number;
  /** What the command's script does; undefined: it prints nothing. */
  readonly script?: string;
  readonly prints: string | undefined;
  readonly args?: readonly string[];
}

const byFile: readonly Row[] = [
  { name: 'no list: nobody, not even by the own name', prints: undefined },
  { name: 'an empty list', list: '', prints: undefined },
  { name: 'the own name in it', list: 'alice\n', prints: 'ran\n' },
  { name: 'the own name not in it', list: 'bob\n', prints: undefined },
  {
    name: 'another name that is in it',
    certificate: { principals: 'staff' },
    list: '# who\n\nbob\n  staff  # all of them\n',
    prints: 'ran\n',
  },
  {
    name: 'one of several of each',
    certificate: { principals: 'a,b,staff' },
    list: 'x\nstaff\ny',
    prints: 'ran\n',
  },
  { name: 'no principals', certificate: {}, list: 'alice\n\n', prints: undefined },
  { name: 'a list with commas', list: 'alice,bob\n', prints: undefined },
  { name: 'a pattern', list: '*\nali*\n', prints: undefined },
  { name: 'another case', list: 'Alice\n', prints: undefined },
  { name: 'a carriage return', list: 'alice\r\n', prints: undefined },
  { name: 'a forced command', list: 'command="echo \\"a b\\"" alice\n', prints: 'a b\n' },
  {
    name: 'a forced command there and in the certificate',
    certificate: { principals: 'alice', options: ['force-command=echo one'] },
    list: 'command="echo two" alice\n',
    prints: undefined,
  },
  { name: 'no-pty', list: 'no-pty alice\n', args: ['-tt'], prints: 'no terminal' },
  { name: 'restrict, pty', list: 'restrict,pty\talice\n', prints: 'ran\n' },
  { name: 'from= of here', list: 'from="127.0.0.1" alice\n', prints: 'ran\n' },
  { name: 'from= of elsewhere', list: 'from="10.0.0.0/8" alice\n', prints: undefined },
  { name: 'an expired line', list: 'expiry-time="20200101" alice\n', prints: undefined },
  { name: 'an unknown option', list: 'nonsense alice\n', prints: undefined },
  { name: 'an unknown option, then a good line', list: 'nonsense alice\nalice\n', prints: 'ran\n' },
  { name: 'words in front that are no options', list: 'bob alice\n', prints: undefined },
  { name: 'options and another word', list: 'no-pty bob alice\n', prints: 'ran\n' },
  { name: 'a list that others can write', list: 'alice\n', mode: 0o666, prints: undefined },
  {
    name: 'an expired certificate',
    certificate: { principals: 'alice', validity: '20200101:20200102' },
    list: 'alice\n',
    prints: undefined,
  },
  {
    name: 'a host certificate',
    certificate: { principals: 'alice', isHost: true },
    list: 'alice\n',
    prints: undefined,
  },
];

const byCommand: readonly Row[] = [
  { name: 'nothing printed', prints: undefined },
  { name: 'the name printed', script: 'echo alice', prints: 'ran\n' },
  { name: 'another name', script: 'echo bob', prints: undefined },
  {
    name: 'a name that the file has not',
    certificate: { principals: 'staff' },
    list: 'bob\n',
    script: 'echo x; echo staff',
    prints: 'ran\n',
  },
  {
    name: 'the file comes first',
    list: 'alice\n',
    script: 'echo \'command="echo no" alice\'',
    prints: 'ran\n',
  },
  { name: 'options', script: 'echo \'command="echo cmd" alice\'', prints: 'cmd\n' },
  { name: 'a failure', script: 'echo alice; exit 2', prints: undefined },
  { name: 'a signal', script: 'echo alice; kill -9 $$', prints: undefined },
];

describe('principals', lab, () => {
  let authority: TestKey;
  let key: TestKey;
  let withFile: BothServers;
  let withBoth: BothServers;

  before(async () => {
    makeUser('alice');
    run('useradd', ['-r', '-m', '-s', '/usr/sbin/nologin', 'lookup']);
    mkdirSync(lists, { mode: 0o755 });
    mkdirSync('/etc/commands', { mode: 0o755 });
    [authority, key] = [makeKey('ed25519'), makeKey('ecdsa')];
    writeFileSync(trustedFile, `${authority.line}\n`);
    const config = [
      'LogLevel VERBOSE',
      `TrustedUserCAKeys ${trustedFile}`,
      `AuthorizedPrincipalsFile ${lists}/%u%%`,
    ];
    withFile = await BothServers.start(config);
    withBoth = await BothServers.start([
      ...config,
      `AuthorizedPrincipalsCommand ${command} %u %U %h %t %T %f %F %k %K %i %s`,
      'AuthorizedPrincipalsCommandUser lookup',
    ]);
  });
  after(async () => {
    await withFile?.[Symbol.asyncDispose]();
    await withBoth?.[Symbol.asyncDispose]();
  });

  const check = async (row: Row, both: BothServers): Promise<void> => {
    const certificate = certify(
      authority,
      key,
      row.certificate ?? { principals: 'alice', id: 'at work', serial: 7 },
    );
    rmSync(`${lists}/alice%`, { force: true });
    if (row.list !== undefined) {
      writeFileSync(`${lists}/alice%`, row.list);
      chmodSync(`${lists}/alice%`, row.mode ?? 0o644);
    }
    writeFileSync(command, `#!/bin/sh\n${row.script ?? ''}\n`);
    chmodSync(command, 0o755);
    const { ours, theirs } = await both.each(certificate, { args: row.args ?? [] });
    assert.equal(ours.printed, row.prints, ours.lines.join('\n'));
    assert.equal(theirs.printed, row.prints, theirs.lines.join('\n'));
    assert.deepEqual(ours.lines, theirs.lines);
  };

  for (const row of byFile) {
    test(`AuthorizedPrincipalsFile: ${row.name}`, async () => await check(row, withFile));
  }
  for (const row of byCommand) {
    test(`AuthorizedPrincipalsCommand: ${row.name}`, async () => await check(row, withBoth));
  }

  test('AuthorizedPrincipalsCommand: what it is told, and as whom it runs', async () => {
    const script = `id -un > ${witness}.$$; printf '%s\\n' "$#" "$@" >> ${witness}.$$; echo alice`;
    const request = { principals: 'alice', id: 'two words', serial: 18446744073709551615n };
    await check({ name: '', certificate: request, script, prints: 'ran\n' }, withBoth);
    const certificate = certify(authority, key, request);
    await withBoth.each(certificate);
    const fingerprint = (line: string): string =>
      `SHA256:${createHash('sha256').update(blobOf(line)).digest('base64').replace(/=+$/, '')}`;
    const seen = run('sh', ['-c', `cat ${witness}.*`])
      .trim()
      .split('\n');
    const records = Array.from({ length: seen.length / 13 }, (_, at) =>
      seen.slice(at * 13, at * 13 + 13),
    );
    assert.ok(records.length >= 8, 'asked about and signed with, twice, by both');
    for (const record of records) {
      const blob = record[9] as string;
      assert.deepEqual(record, [
        'lookup',
        '11',
        'alice',
        String(findUser('alice').uid),
        '/home/alice',
        'ecdsa-sha2-nistp256-cert-v01@openssh.com',
        'ssh-ed25519',
        fingerprint(key.line),
        fingerprint(authority.line),
        blob,
        blobOf(authority.line).toString('base64'),
        'two words',
        '18446744073709551615',
      ]);
      assert.match(blob, /^AAAA/);
    }
  });

  test('AuthorizedPrincipalsCommand without arguments, as the user who logs in', async () => {
    await using both = await BothServers.start([
      'LogLevel VERBOSE',
      `TrustedUserCAKeys ${trustedFile}`,
      `AuthorizedPrincipalsCommand ${command}`,
      'AuthorizedPrincipalsCommandUser %u',
    ]);
    const script = '[ $# = 0 ] && [ "$(id -un)" = alice ] && echo alice';
    await check({ name: '', script, prints: 'ran\n' }, both);
  });

  test('lists do not count for a cert-authority line of the user', async () => {
    const alice = findUser('alice');
    const own = makeKey('ed25519');
    authorize(alice, [`cert-authority ${own.line}`]);
    rmSync(`${lists}/alice%`, { force: true });
    const login = await withFile.login(certify(own, key, { principals: 'alice', id: 'own' }));
    assert.equal(login.printed, 'ran\n');
    assert.ok(
      readFileSync(`${alice.home}/.ssh/authorized_keys`, 'utf8').includes('cert-authority'),
    );
  });
});
