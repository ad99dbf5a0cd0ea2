/** Lines of authorized_keys, judged by Debian's sshd and by us: who gets in, and with what command. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { matchKey } from '../../keys/authorized-keys.ts';
import { DebianSshd } from '../support/debian-sshd.ts';

const run = promisify(execFile);
const isThere = existsSync('/usr/sbin/sshd') && process.getuid?.() === 0;
const skip = isThere ? false : 'needs root and the packages openssh-server, openssh-client';
let server: DebianSshd | undefined;

before(async () => {
  server = skip === false ? await DebianSshd.start() : undefined;
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
});

/** KEY: type and base64; TYPE, BASE64: the parts. */
const lines: readonly string[] = [
  'KEY',
  'KEY a comment # with more',
  '   \t KEY',
  'TYPE  \t BASE64',
  'KEY\r',
  '# KEY',
  'ssh-rsa BASE64',
  'BASE64',
  'no-pty KEY',
  'restrict,pty KEY',
  'RESTRICT,Command="echo a, b" KEY',
  'command="echo \\"q\\" \'s\' \\\\x" KEY',
  'command="echo one",no-user-rc KEY',
  'command="echo one" , no-pty KEY',
  'command="echo one", KEY',
  'command=echo KEY',
  'command="echo KEY',
  'command="echo a",command="echo b" KEY',
  'no-such-option KEY',
  'no-restrict KEY',
  'no-pty,,no-user-rc KEY',
  ',no-pty KEY',
  ', KEY',
  'no-pty, no-user-rc KEY',
  'no-ptyx KEY',
  'pty="yes" KEY',
  'cert-authority KEY',
  'principals="root" KEY',
  'from="127.0.0.1" KEY',
  'from="127.0.0.0/8" KEY',
  'from="127.0.0.1/8" KEY',
  'from="10.0.0.0/8,127.*" KEY',
  'from="!127.0.0.1,*" KEY',
  'from="!10.0.0.1" KEY',
  'from="10.0.0.0/8" KEY',
  'from="::1" KEY',
  'from="" KEY',
  'from="*" KEY',
  'from="127.0.0.1",from="127.0.0.1" KEY',
  'expiry-time="20990101" KEY',
  'expiry-time="209901011200" KEY',
  'expiry-time="20990101120000Z" KEY',
  'expiry-time="20200101" KEY',
  'expiry-time="20200101",expiry-time="20990101" KEY',
  'expiry-time="tomorrow" KEY',
  'expiry-time=20990101 KEY',
  'environment="A=b" KEY',
  'environment="A" KEY',
  'environment="A-B=c" KEY',
  'environment="A=1",environment="A=2" KEY',
  'permitopen="a:1",permitopen="[::1]:*" KEY',
  'permitopen="a" KEY',
  'permitopen="a:0" KEY',
  'permitopen="a:99999" KEY',
  'permitopen="*:*" KEY',
  'permitlisten="8080",permitlisten="a:1" KEY',
  'permitlisten="a:" KEY',
  'permitlisten="x" KEY',
  'tunnel="0" KEY',
  'tunnel="any" KEY',
  'tunnel="x" KEY',
  'no-touch-required,verify-required KEY',
  'touch-required KEY',
  'from="10.0.0.1" KEY\nKEY',
  'nonsense KEY\ncommand="echo two" KEY',
  'command="open KEY\nKEY',
  '\n\n# x\nno-pty KEY',
];

test('sshd and we agree about every line', { skip, timeout: 120_000 }, async () => {
  assert.ok(server !== undefined);
  const [type = '', base64 = ''] = readFileSync(`${server.userKey}.pub`, 'utf8').split(' ');
  const blob = Buffer.from(base64, 'base64');
  const args = [
    ...['-F', 'none', '-p', String(server.port), '-i', server.userKey],
    ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
    ...['-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes', '-o', 'LogLevel=ERROR'],
    ...['root@127.0.0.1', 'echo plain'],
  ];
  const differences: string[] = [];
  for (const line of lines) {
    const file = `${line
      .replaceAll('KEY', `${type} ${base64}`)
      .replaceAll('TYPE', type)
      .replaceAll('BASE64', base64)}\n`;
    writeFileSync(join(server.folder, 'authorized_keys'), file);
    const theirs = await run('ssh', args, { timeout: 20_000 }).then(
      ({ stdout }) => stdout,
      () => undefined,
    );
    const ours = matchKey(Buffer.from(file), blob, {
      nowMs: Date.now(),
      remoteAddress: '127.0.0.1',
      remoteHost: '127.0.0.1',
    });
    if ((ours.is === 'match') !== (theirs !== undefined)) {
      differences.push(
        `${JSON.stringify(line)}: ours ${ours.is}, theirs ${JSON.stringify(theirs)}`,
      );
      continue;
    }
    if (ours.is === 'match') {
      const command = ours.options.command ?? 'echo plain';
      const expected = await run('/bin/sh', ['-c', command], { timeout: 5000 });
      assert.equal(theirs, expected.stdout, JSON.stringify(line));
    }
  }
  assert.deepEqual(differences, []);
});
