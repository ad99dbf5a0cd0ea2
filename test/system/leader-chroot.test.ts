/** ChrootDirectory, given to a leader by hand: every odd path, and what is left when it is refused. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { closeDescriptor } from '../../src/base/socket.native.ts';
import { findUser, inLab, makeUser, run } from '../support/lab.ts';
import { begin, type DrivenLeader, ZygoteDriver } from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);

describe('a leader with a ChrootDirectory', lab, () => {
  let zygote: ZygoteDriver;
  const root = '/var/roots/good';

  before(() => {
    makeUser('alice');
    const { uid, gid } = findUser('alice');
    mkdirSync(`${root}/bin`, { recursive: true });
    mkdirSync(`${root}/tmp`);
    chmodSync(`${root}/tmp`, 0o1777);
    copyFileSync('/bin/busybox', `${root}/bin/sh`);
    writeFileSync(`${root}/file`, '');
    mkdirSync('/var/roots/closed/in', { recursive: true });
    chmodSync('/var/roots/closed', 0o700);
    mkdirSync('/var/roots/open/in', { recursive: true });
    chmodSync('/var/roots/open', 0o777);
    mkdirSync('/home/alice/in');
    chownSync('/home/alice/in', 0, 0);
    mkdirSync('/var/roots/new\nline');
    chmodSync('/var/roots/new\nline', 0o777);
    symlinkSync('good', '/var/roots/relative');
    symlinkSync(root, '/var/roots/absolute');
    symlinkSync('../roots/./relative/', '/var/roots/twice');
    symlinkSync('loop', '/var/roots/loop');
    symlinkSync('/home/alice/in', '/var/roots/of-alice');
    symlinkSync('open/in', '/var/roots/of-all');
    symlinkSync('good', '/var/roots/by-alice');
    lchownSync('/var/roots/by-alice', uid, gid);
    symlinkSync('nothing', '/var/roots/dangling');
    symlinkSync(`/${'x/'.repeat(2000)}`, '/var/roots/long');
    symlinkSync('/proc/self/cwd/tmp', '/var/roots/by-proc');
    for (let at = 0; at < 45; at++) {
      symlinkSync(at === 0 ? 'good' : `chain${at - 1}`, `/var/roots/chain${at}`);
    }
    run('mkfifo', ['/var/roots/fifo']);
    zygote = new ZygoteDriver();
  });
  after(() => {
    zygote?.close();
    rmSync('/var/roots', { recursive: true, force: true });
  });

  const entered = async (
    path: string,
  ): Promise<{ readonly leader: DrivenLeader; readonly refusal: string }> => {
    const leader = await zygote.fork();
    await begin(leader.client, 'alice');
    return { leader, refusal: (await leader.client.establish('ssh', '', path)).rootRefusal };
  };

  for (const path of [
    root,
    `${root}/`,
    `/${root}//.`,
    '/var/roots/closed/../good',
    `${root}/bin/..`,
    '/var/roots/relative',
    '/var/roots/absolute/',
    '/var/roots/twice',
    '/var/roots/by-alice',
    '/var/roots/chain38',
  ]) {
    test(`${path} is entered`, async () => {
      const { leader, refusal } = await entered(path);
      assert.equal(refusal, '');
      const { stdout, status } = await leader.run('echo /*; echo /../*');
      assert.deepEqual([stdout, status], ['/bin /file /tmp\n/../bin /../file /../tmp\n', 0]);
      assert.equal(readlinkSync(`/proc/${leader.client.pid}/root`), '/');
      await leader.client.end(0);
    });
  }

  test('so are the root itself and one that only root may look into', async () => {
    for (const path of ['/', '///', '/var/roots/closed/in']) {
      const { leader, refusal } = await entered(path);
      assert.equal(refusal, '', path);
      await leader.client.end(0);
    }
  });

  const bad = 'bad ownership or modes for chroot directory';
  for (const [path, refusal] of [
    ['var/roots/good', 'chroot path does not begin at root'],
    ['nowhere', 'chroot path does not begin at root'],
    ['/var/roots/open', `${bad} "/var/roots/open"`],
    ['/var/roots/open/in', `${bad} component "/var/roots/open/"`],
    ['/var/roots/open/../good', `${bad} component "/var/roots/open/"`],
    ['/home/alice/in', `${bad} component "/home/alice/"`],
    ['/var/roots/of-alice', `${bad} component "/home/alice/"`],
    ['/var/roots/of-all', `${bad} component "/var/roots/open/"`],
    [`${root}/tmp`, `${bad} "${root}/tmp"`],
    ['/var/roots/by-proc', `${bad} "/proc/`],
    ['/var/roots/new\nline', `${bad} "/var/roots/new\nline"`],
    [`${root}/file`, `chroot path "${root}/file" is not a directory`],
    [`${root}/file/in`, `safely_chroot: stat("${root}/file/"): Not a directory`],
    ['/var/roots/fifo', 'chroot path "/var/roots/fifo" is not a directory'],
    [
      '/var/roots/loop',
      'safely_chroot: stat("/var/roots/loop"): Too many levels of symbolic links',
    ],
    ['/var/roots/chain44', 'safely_chroot: stat("/var/roots/chain'],
    ['/var/roots/dangling', 'safely_chroot: stat("/var/roots/nothing"): No such file or directory'],
    ['/var/roots/long/x', 'safely_chroot: stat("'],
    [`/${'n'.repeat(256)}`, 'safely_chroot: stat("'],
  ] as const) {
    test(`${JSON.stringify(path.slice(0, 40))} is refused, and nothing is done as the user`, async () => {
      const { leader, refusal: said } = await entered(path);
      if (refusal === `${bad} "/proc/`) {
        assert.match(said, /^(?:bad ownership|safely_chroot)/);
      } else {
        assert.ok(said.startsWith(refusal), said);
      }
      const { client } = leader;
      await assert.rejects(leader.run('true'), 'spawn');
      await assert.rejects(client.connectUnix('/run/x'), 'connect');
      await assert.rejects(client.listenUnix('/tmp/made', 0, false), 'listen');
      await assert.rejects(client.agentListen(), 'agent');
      const file = await client.readFile('/etc/passwd', false, 1_000_000).catch(() => 'failed');
      assert.equal(file, 'failed');
      assert.ok(!existsSync('/tmp/made'));
      await client.end(0);
    });
  }

  test('a path that is too long is no order', async () => {
    const leader = await zygote.fork();
    await begin(leader.client, 'alice');
    await assert.rejects(leader.client.establish('ssh', '', `/${'a/'.repeat(3000)}`));
    await assert.rejects(leader.run('true'));
    await leader.client.end(0);
  });

  test('files, sockets and programs are those inside', async () => {
    const { leader } = await entered(root);
    const { client } = leader;
    assert.deepEqual(await client.readFile('/etc/passwd', false, 1_000_000), { is: 'absent' });
    const outside = createServer();
    await new Promise<void>((resolve) => outside.listen('/tmp/outside', resolve));
    chmodSync('/tmp/outside', 0o777);
    await assert.rejects(client.connectUnix('/tmp/outside'));
    const made = await client.listenUnix('/tmp/inside', 0o177, false);
    assert.ok(made.is === 'listening' && existsSync(`${root}/tmp/inside`));
    made.descriptors.forEach(closeDescriptor);
    const { path, descriptor } = await client.agentListen();
    closeDescriptor(descriptor);
    assert.ok(existsSync(`${root}${path}`) && !existsSync(path));
    await assert.rejects(
      leader.run('true', { file: '/usr/bin/env' }).then(({ status }) => {
        assert.equal(status, 0);
      }),
    );
    await client.end(0);
    assert.ok(!existsSync(`${root}/tmp/inside`) && !existsSync(`${root}${path}`));
    outside.close();
  });
});
