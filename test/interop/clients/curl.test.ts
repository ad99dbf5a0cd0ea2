/**
 * libssh2 by way of Debian's curl: sftp:// and scp://. libssh2 1.10 signs with RSA keys by SHA-1 only,
 * which sshd does not take either. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import {
  can,
  foreignClients,
  inLabWith,
  largeFile,
  password,
  program,
  type ProgramOptions,
  Stage,
} from '../../support/foreign-client.ts';
import { run, type TestKey } from '../../support/lab.ts';
import { serverKind, startServer } from '../../support/server.ts';
import type { ClientOutcome } from '../../support/stock-client.ts';

const lab = inLabWith(import.meta.url, 'curl');

describe('curl with libssh2', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make(foreignClients.curl.needs.lines);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const curl = async (
    path: string,
    key: TestKey | undefined,
    args: readonly string[] = [],
    more: ProgramOptions = {},
    port = stage.port,
  ): Promise<ClientOutcome> =>
    await program(
      '/usr/bin/curl',
      [
        ...['-q', '-sS', '--compressed-ssh', '--insecure', '--max-time', '40'],
        ...(key === undefined
          ? ['-K', '-']
          : ['--key', key.file, '--pubkey', `${key.file}.pub`, '-u', 'alice:']),
        ...[...args, path.replace('//', `//127.0.0.1:${port}`)],
      ],
      { ...(key === undefined ? { input: `user = "alice:${password}"\n` } : {}), ...more },
    );

  test('is built with libssh2', async () => {
    assert.match(run('/usr/bin/curl', ['--version']), /libssh2\/[\s\S]*scp sftp/);
  });

  test('finds nothing in common with the stock lists, as its row says', {
    skip: serverKind === 'sshd' ? 'sshd 9.2 offers it' : false,
  }, async () => {
    await using stock = await startServer();
    const outcome = await curl('sftp:///~/', stage.ed25519, [], {}, stock.port);
    assert.equal(outcome.status, 2);
    await stock.logged(/no matching .*MAC/);
  });

  can('key ed25519', 'lists the home', async () => {
    stage.offer('seen', 'x');
    const outcome = await curl('sftp:///~/', stage.ed25519);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /^-rw\S* .* alice .* seen$/m);
  });

  can('password', 'lists the home', async () => {
    const outcome = await curl('sftp:///~/', undefined);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /\.bashrc$/m);
  });

  can('keyboard-interactive', 'lists the home', async () => {
    const server = await stage.onlyDialogue();
    const outcome = await curl('sftp:///~/', undefined, [], {}, server.port);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /\.bashrc$/m);
  });

  can('upload', '9 MiB by sftp arrive as they were', async () => {
    const outcome = await curl('sftp:///~/up', stage.ed25519, ['-T', largeFile]);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB by sftp arrive as they are', async () => {
    rmSync('/tmp/got', { force: true });
    const outcome = await curl(`sftp://${largeFile}`, stage.ed25519, ['-o', '/tmp/got']);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  can('rekeyed', 'goes along with the server in an upload and a download', async () => {
    const { port } = await stage.rekeying();
    const up = await curl('sftp:///~/rekeyed', stage.ed25519, ['-T', largeFile], {}, port);
    assert.equal(up.status, 0, up.stderr);
    assert.ok(readFileSync('/home/alice/rekeyed').equals(stage.large));
    rmSync('/tmp/got', { force: true });
    const down = await curl('sftp:///~/rekeyed', stage.ed25519, ['-o', '/tmp/got'], {}, port);
    assert.equal(down.status, 0, down.stderr);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  can('sftp', 'resumes, takes a range, makes folders, renames and removes', async () => {
    stage.offer('half', stage.large.subarray(0, 20_000_000));
    const resumed = await curl('sftp:///~/half', stage.ed25519, ['-C', '-', '-T', largeFile]);
    assert.equal(resumed.status, 0, resumed.stderr);
    assert.ok(readFileSync('/home/alice/half').equals(stage.large));
    const range = await curl('sftp:///~/half', stage.ed25519, ['-r', '1000-1999']);
    assert.ok(range.stdout.equals(stage.large.subarray(1000, 2000)), range.stderr);
    const folder = '/home/alice/made';
    const orders = [
      ...[`mkdir ${folder}`, `rename /home/alice/half ${folder}/half`, `chmod 600 ${folder}/half`],
      ...[`rm ${folder}/half`, `rmdir ${folder}`],
    ];
    const outcome = await curl(
      'sftp:///~/',
      stage.ed25519,
      orders.flatMap((order) => ['-Q', order]),
    );
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.doesNotMatch(outcome.text, /made|half/);
  });

  can('scp', 'copies there and back', async () => {
    const up = await curl('scp:///home/alice/scp', stage.ed25519, ['-T', largeFile]);
    assert.equal(up.status, 0, up.stderr);
    assert.ok(readFileSync('/home/alice/scp').equals(stage.large));
    rmSync('/tmp/got', { force: true });
    const down = await curl('scp:///home/alice/scp', stage.ed25519, ['-o', '/tmp/got']);
    assert.equal(down.status, 0, down.stderr);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  can('host key pinned', 'takes the right one by SHA256 and refuses another', async () => {
    const pins = ['ed25519', 'ecdsa', 'rsa'].map(
      (type) =>
        /SHA256:(\S+)/.exec(
          run('ssh-keygen', ['-l', '-f', `${stage.server.folder}/host_${type}.pub`]),
        )?.[1] ?? '',
    );
    const outcomes = await Promise.all(
      pins.map(async (pin) => {
        return await curl('sftp:///~/', stage.ed25519, ['--hostpubsha256', pin]);
      }),
    );
    // It asks for one type, whichever it likes best.
    assert.equal(outcomes.filter(({ status }) => status === 0).length, 1);
    assert.equal(outcomes.filter(({ status }) => status === 60).length, 2);
  });
});
