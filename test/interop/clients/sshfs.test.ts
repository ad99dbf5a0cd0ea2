/** sshfs: files of the server as a file system here. Needs /dev/fuse. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { after, before, describe } from 'node:test';
import {
  can,
  inLabWith,
  largeFile,
  password,
  program,
  Stage,
} from '../../support/foreign-client.ts';
import { run, type TestKey } from '../../support/lab.ts';
import { missingClient } from '../../support/missing-client.ts';

const lab = inLabWith(import.meta.url, 'sshfs');

function fuseIsMissing(): string | false {
  try {
    closeSync(openSync('/dev/fuse', 'r+'));
    return false;
  } catch (error) {
    return `${missingClient}sshfs cannot mount here: ${(error as Error).message}`;
  }
}

describe('sshfs', { ...lab, skip: lab.skip === false ? fuseIsMissing() : lab.skip }, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
    mkdirSync('/tmp/mounted');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** Mounts alice's home; gone at the end of the test. */
  const mount = async (key?: TestKey): Promise<AsyncDisposable> => {
    const outcome = await program(
      '/usr/bin/sshfs',
      [
        ...['alice@127.0.0.1:', '/tmp/mounted', '-p', String(stage.port), '-F', '/dev/null'],
        ...['-o', `UserKnownHostsFile=${stage.server.knownHosts}`],
        ...['-o', 'StrictHostKeyChecking=yes,idmap=none'],
        ...(key === undefined
          ? ['-o', 'password_stdin,PreferredAuthentications=password']
          : ['-o', `IdentityFile=${key.file},IdentitiesOnly=yes,BatchMode=yes`]),
      ],
      { ...(key === undefined ? { input: `${password}\n` } : {}) },
    );
    assert.equal(outcome.status, 0, outcome.stderr);
    return {
      [Symbol.asyncDispose]: async () => {
        // Written back before this returns; its ssh ends with it.
        const gone = await program('/usr/bin/umount', ['/tmp/mounted']);
        assert.equal(gone.status, 0, gone.stderr);
      },
    };
  };

  can('key ed25519', 'mounts and lists', async () => {
    stage.offer('seen', 'seen\n');
    await using _ = await mount(stage.ed25519);
    assert.ok(readdirSync('/tmp/mounted').includes('seen'));
    assert.equal(statSync('/tmp/mounted/seen').uid, stage.alice.uid);
  });

  can('key rsa', 'mounts and lists', async () => {
    await using _ = await mount(stage.rsa);
    assert.ok(readdirSync('/tmp/mounted').includes('.bashrc'));
  });

  can('password', 'mounts and lists', async () => {
    await using _ = await mount();
    assert.ok(readdirSync('/tmp/mounted').includes('.bashrc'));
  });

  can('upload', '9 MiB arrive as they were', async () => {
    {
      await using _ = await mount(stage.ed25519);
      copyFileSync(largeFile, '/tmp/mounted/up');
    }
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB arrive as they are', async () => {
    stage.offer('down', stage.large);
    await using _ = await mount(stage.ed25519);
    assert.ok(readFileSync('/tmp/mounted/down').equals(stage.large));
  });

  can('sftp', 'renames over a file, writes in the middle, cuts, links, measures', async () => {
    await using _ = await mount(stage.ed25519);
    writeFileSync('/tmp/mounted/one', 'one');
    writeFileSync('/tmp/mounted/two', 'two');
    renameSync('/tmp/mounted/one', '/tmp/mounted/two');
    assert.equal(readFileSync('/home/alice/two', 'utf8'), 'one');
    const file = openSync('/tmp/mounted/two', 'r+');
    writeSync(file, 'XX', 5_000_000);
    closeSync(file);
    assert.equal(statSync('/home/alice/two').size, 5_000_002);
    run('truncate', ['-s', '3', '/tmp/mounted/two']);
    assert.equal(readFileSync('/home/alice/two', 'utf8'), 'one');
    run('ln', ['-s', 'two', '/tmp/mounted/three']);
    assert.equal(readFileSync('/tmp/mounted/three', 'utf8'), 'one');
    unlinkSync('/tmp/mounted/three');
    // statvfs@openssh.com
    assert.match(run('df', ['--output=fstype,size', '/tmp/mounted']), /fuse\.sshfs +\d+/);
  });
});
