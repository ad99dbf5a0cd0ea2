/**
 * `sshdesk connect` with certificates of users: CertificateFile and the file beside the key, for keys
 * in files and in an agent, with Debian's sshd. Runs in: test.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { output, run } from '../support/child.ts';
import { DebianSshd, makeKey } from '../support/debian-sshd.ts';
import { SshAgent } from '../support/ssh-agent.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');
const isRoot = process.getuid?.() === 0;

describe('connect shows certificates', {
  skip: isRoot ? false : 'needs root',
  timeout: 60_000,
}, () => {
  let sshd: DebianSshd;
  let folder: string;
  let authority: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-certificates-'));
    authority = join(folder, 'ca');
    await makeKey(authority, 'ed25519');
    const display = join(folder, 'display');
    await writeFile(
      display,
      `#!/bin/sh\nprintf 'HELLO NXSERVER - Version 3.5.0-1 - OSS\\nNX> 105 '\nread line\nprintf 'L\\nNX> 127 Available sessions: \\n\\nNX> 148 x\\nNX> 105 '\ncat > /dev/null\n`,
      { mode: 0o755 },
    );
    sshd = await DebianSshd.start({
      config: [`TrustedUserCAKeys ${authority}.pub`, 'LogLevel VERBOSE'],
      subsystems: { display },
    });
  });
  after(async () => {
    await sshd?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  /** A key and its certificate, which is named `NAME-cert.pub` unless it is moved. */
  async function certified(name: string, type: string, ...options: string[]): Promise<string> {
    const file = join(folder, name);
    await makeKey(file, type);
    const sign = ['-q', '-s', authority, '-I', `id of ${name}`, '-n', 'root'];
    await output('ssh-keygen', [...sign, ...options, `${file}.pub`]);
    return file;
  }
  const list = (env: NodeJS.ProcessEnv, ...args: string[]) =>
    run(
      process.execPath,
      [
        ...[cli, 'connect', '-F', 'none', '--batch', '--list', '--json', ...args],
        ...['-o', `UserKnownHostsFile=${join(folder, 'known')}`],
        ...['-o', 'StrictHostKeyChecking=accept-new', `root@127.0.0.1:${sshd.port}`],
      ],
      { env: { ...process.env, SSH_AUTH_SOCK: '', ...env } },
    );
  const isAccepted = (name: string, type: string): boolean =>
    new RegExp(`Accepted publickey for root .* ssh2: ${type}-CERT .*id of ${name} `).test(sshd.log);

  for (const type of ['ed25519', 'ecdsa', 'rsa']) {
    test(`beside a key of type ${type}`, async () => {
      const file = await certified(`beside-${type}`, type);
      const { code, stderr } = await list({}, '-i', file);
      assert.equal(code, 0, stderr);
      assert.ok(isAccepted(`beside-${type}`, type.toUpperCase()), sshd.log);
    });

    test(`of CertificateFile, for a key of type ${type} that the agent alone has`, async () => {
      const file = await certified(`agent-${type}`, type);
      const certificate = join(folder, `moved-${type}`);
      await rename(`${file}-cert.pub`, certificate);
      await using agent = await SshAgent.start();
      await agent.add(file);
      await rm(file);
      const env = { SSH_AUTH_SOCK: agent.socket };
      const { code, stderr } = await list(env, '-o', `CertificateFile=${certificate}`);
      assert.equal(code, 0, stderr);
      assert.ok(isAccepted(`agent-${type}`, type.toUpperCase()), sshd.log);
    });
  }

  test('that are none for a login are told where they were named, and no login', async () => {
    const file = await certified('host', 'ed25519', '-h');
    const broken = join(folder, 'broken');
    await writeFile(broken, 'ssh-ed25519-cert-v01@openssh.com AAAA\n');
    const options = [`${file}-cert.pub`, broken, '/nonexistent', folder].flatMap((path) => [
      '-o',
      `CertificateFile=${path}`,
    ]);
    const { code, stderr } = await list({}, '-i', file, ...options);
    assert.equal(code, 5);
    assert.match(stderr, /host-cert\.pub: a certificate of a host/);
    assert.match(stderr, /broken: not a certificate/);
    assert.match(stderr, /\/nonexistent: no such file/);
    assert.match(stderr, /not a regular file/);
  });

  test('that the server does not take are followed by the key itself', async () => {
    const file = await certified('late', 'ed25519', '-V', '20200101:20210101');
    const key = await output('cat', [`${file}.pub`]);
    await writeFile(join(sshd.folder, 'authorized_keys'), key, { flag: 'a' });
    const { code, stderr } = await list({}, '-i', file, '-o', `CertificateFile=${file}-cert.pub`);
    assert.equal(code, 0, stderr);
  });
});
