/**
 * `sshdesk connect` and the host keys of Debian's sshd: certificates, authorities, revocations, files
 * that cannot be trusted. Each refusal has the exit code of the reference.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { output, run } from '../support/child.ts';
import { DebianSshd, makeKey } from '../support/debian-sshd.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');
const isRoot = process.getuid?.() === 0;
const { SSH_AUTH_SOCK: _agent, ...environment } = process.env;
const hostKeyExit = 6;
const emptyList = 'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 103 Welcome to: h user: u\nNX> 105 ';

/** A desktop whose list is empty: the shortest thing that shows a login. */
async function displayIn(folder: string): Promise<string> {
  const script = join(folder, 'display.mjs');
  await writeFile(
    script,
    `process.stdout.write(${JSON.stringify(emptyList)});
process.stdin.once('data', () => process.stdout.write('L\\nNX> 127 Available sessions: \\n\\nNX> 148 x\\nNX> 105 '));
process.stdin.on('end', () => process.exit(0));`,
  );
  return `${process.execPath} ${script}`;
}

const keyOf = async (path: string): Promise<string> =>
  (await readFile(`${path}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');

describe('connect trusts a host', { skip: isRoot ? false : 'needs root', timeout: 120_000 }, () => {
  let folder: string;
  let sshd: DebianSshd;
  let host: string;
  let hostKey: string;
  let authority: string;
  let known: string;

  /** Debian's sshd with this host key and a certificate of the authority. */
  async function serverWith(...options: string[]): Promise<DebianSshd> {
    const copy = await mkdtemp(join(folder, 'certified-'));
    const file = join(copy, 'host');
    for (const end of ['', '.pub']) await copyFile(`${hostKey}${end}`, `${file}${end}`);
    await output('ssh-keygen', ['-q', '-s', authority, '-I', 'id', ...options, `${file}.pub`]);
    return await DebianSshd.start({
      hostKeys: [],
      config: [`HostKey ${file}`, `HostCertificate ${file}-cert.pub`],
      subsystems: { display: await displayIn(copy) },
    });
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-trust-'));
    authority = join(folder, 'ca');
    known = join(folder, 'known_hosts');
    await makeKey(authority, 'ed25519');
    hostKey = join(folder, 'host');
    await makeKey(hostKey, 'ed25519');
    sshd = await serverWith('-h', '-n', '127.0.0.1');
    host = `[127.0.0.1]:${sshd.port}`;
  });
  after(async () => {
    await sshd?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const list = (lines: string, ...options: string[]) =>
    listFrom(() => writeFile(known, lines), ...options);
  async function listFrom(prepare: () => Promise<unknown>, ...options: string[]) {
    await rm(known, { force: true, recursive: true });
    await prepare();
    const args = [
      ...[cli, 'connect', '-F', 'none', '-i', sshd.userKey, '--batch', '--list', '--json'],
      ...['-o', `UserKnownHostsFile=${known}`, '-o', 'GlobalKnownHostsFile=none'],
      ...options.flatMap((option) => ['-o', option]),
      `root@127.0.0.1:${sshd.port}`,
    ];
    return await run(process.execPath, args, { env: environment });
  }
  const authorityLine = async (): Promise<string> =>
    `@cert-authority ${host} ${await keyOf(authority)}\n`;

  test('by a certificate of its authority, with nothing written and nothing asked', async () => {
    const { code, stderr } = await list(await authorityLine(), 'StrictHostKeyChecking=yes');
    assert.equal(code, 0, stderr);
    assert.equal(stderr, '');
    assert.equal(await readFile(known, 'utf8'), await authorityLine());
    const bare = `@cert-authority 127.0.* ${await keyOf(authority)}\n`;
    assert.equal((await list(bare, 'StrictHostKeyChecking=yes')).code, 0, 'a line without a port');
    const alias = `@cert-authority desk ${await keyOf(authority)}\n`;
    const aliased = await list(alias, 'StrictHostKeyChecking=yes', 'HostKeyAlias=desk');
    assert.equal(aliased.code, hostKeyExit, 'the certificate is not for the alias');
    assert.match(aliased.stderr, /it is for 127\.0\.0\.1, not for desk/);
  });

  test('not by one that CASignatureAlgorithms leaves out', async () => {
    const { code, stderr } = await list(
      await authorityLine(),
      'CASignatureAlgorithms=rsa-sha2-512',
    );
    assert.equal(code, hostKeyExit);
    assert.match(stderr, /certificate .* does not count: .*ssh-ed25519[^]*not known/);
  });

  test('not by a revoked authority, key or certificate, in known_hosts and in lists', async () => {
    const lines = `${await authorityLine()}${host} ${await keyOf(hostKey)}\n`;
    const krl = join(folder, 'krl');
    await output('ssh-keygen', ['-q', '-k', '-f', krl, `${authority}.pub`]);
    const text = join(folder, 'revoked');
    await copyFile(`${hostKey}.pub`, text);
    const broken = join(folder, 'broken');
    await writeFile(broken, 'no key\n');
    const rows: readonly (readonly [string, string[], RegExp])[] = [
      [
        `${lines}@revoked * ${await keyOf(authority)}\n`,
        [],
        /authority .* revoked by .*known_hosts:3/,
      ],
      [
        `@revoked ${host} ${await keyOf(hostKey)}\n${lines}`,
        [],
        /the host key of .* is revoked by .*known_hosts:1/,
      ],
      [lines, [`RevokedHostKeys=${krl}`], /authority .* is revoked by .*krl/],
      [lines, [`RevokedHostKeys=${text}`], /the host key of .* is revoked by .*revoked/],
      [lines, [`RevokedHostKeys=${broken}`], /broken: line 1 is not a public key/],
      [lines, ['RevokedHostKeys=/nonexistent'], /RevokedHostKeys \/nonexistent: no such file/],
    ];
    for (const [content, options, expected] of rows) {
      const { code, stderr } = await list(content, 'StrictHostKeyChecking=no', ...options);
      assert.equal(code, hostKeyExit, expected.source);
      assert.match(stderr, expected);
    }
  });

  test('a changed key names the line and the command that forgets it; the command works', async () => {
    const other = join(folder, 'other');
    await makeKey(other, 'ed25519');
    const lines = `# mine\n${host} ${await keyOf(other)}\n`;
    const { code, stderr } = await list(lines, 'StrictHostKeyChecking=accept-new');
    assert.equal(code, hostKeyExit);
    assert.match(stderr, new RegExp(`HAS CHANGED[^]*known from ${known}:2 is SHA256:`));
    const command = /^ {2}(ssh-keygen .*)$/m.exec(stderr)?.[1] ?? '';
    assert.equal(command, `ssh-keygen -f '${known}' -R '${host}'`);
    await output('sh', ['-c', command]);
    assert.equal(await readFile(known, 'utf8'), '# mine\n');
    const lent = ['ForwardAgent=/nonexistent', 'LocalForward=0 127.0.0.1:1'];
    const careless = await list(lines, 'StrictHostKeyChecking=no', ...lent);
    assert.equal(careless.code, 0, careless.stderr);
    assert.match(careless.stderr, /HAS CHANGED[^]*Connecting without passwords/);
    assert.match(careless.stderr, /Neither the agent nor ports are forwarded/);
  });

  test('an unknown key with --batch is refused, and with accept-new kept behind what is there', async () => {
    const { code, stderr } = await list('# no end', 'StrictHostKeyChecking=ask');
    assert.equal(code, hostKeyExit);
    assert.match(stderr, /not known, and nobody may be asked\. ED25519 key fingerprint is SHA256:/);
    for (const hashed of ['yes', 'no']) {
      const options = ['StrictHostKeyChecking=accept-new', `HashKnownHosts=${hashed}`];
      assert.equal((await list('# no end', ...options)).code, 0);
      const lines = (await readFile(known, 'utf8')).split('\n');
      assert.equal(lines.length, 3);
      assert.equal(lines[0], '# no end');
      assert.equal(lines[1]?.startsWith('|1|'), hashed === 'yes');
    }
  });

  test('not with a file that cannot be read as one', async () => {
    const rows: readonly (readonly [() => Promise<unknown>, RegExp])[] = [
      [() => mkdir(known), /known_hosts: not a regular file/],
      [() => symlink(known, known), /known_hosts: ELOOP/],
      [() => output('mkfifo', [known]), /known_hosts: not a regular file/],
      [() => output('truncate', ['-s', '17M', known]), /known_hosts: too large/],
    ];
    for (const [prepare, expected] of rows) {
      const { code, stderr } = await listFrom(prepare, 'StrictHostKeyChecking=no');
      assert.equal(code, hostKeyExit, expected.source);
      assert.match(stderr, expected);
    }
  });

  test('lines of a megabyte, NULs and ten thousand others hide nothing', async () => {
    const noise = [
      'x'.repeat(1024 * 1024),
      `${host} ssh-ed25519 AAAA\0AAAA`,
      '\0\0\0',
      `${host} ssh-ed25519 !!!!`,
      ...Array.from({ length: 10_000 }, (_each, at) => `h${at} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5`),
    ].join('\n');
    const good = `${host} ${await keyOf(hostKey)}\n`;
    assert.equal((await list(`${noise}\n${good}`, 'StrictHostKeyChecking=yes')).code, 0);
  });

  test('not by a certificate that is expired, for others, of nobody', async () => {
    const rows: readonly (readonly [string[], RegExp])[] = [
      [['-h', '-n', 'other'], /it is for other, not for 127\.0\.0\.1/],
      [['-h', '-n', '127.0.0.1', '-V', '20200101:20210101'], /expired/],
      [['-h', '-n', '127.0.0.1', '-V', '20900101:20910101'], /not yet valid/],
      [['-h'], /lacks principal list/],
    ];
    for (const [options, expected] of rows) {
      await using server = await serverWith(...options);
      await writeFile(known, `@cert-authority * ${await keyOf(authority)}\n`);
      const { code, stderr } = await run(
        process.execPath,
        [
          ...[cli, 'connect', '-F', 'none', '--batch', '--list'],
          ...['-o', `UserKnownHostsFile=${known}`, `root@127.0.0.1:${server.port}`],
        ],
        { env: environment },
      );
      assert.equal(code, hostKeyExit, stderr);
      assert.match(stderr, expected);
    }
  });
});
