/** scp in both protocols and sftp, compared byte for byte. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { inLab, type LabUser, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { copy, remote } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

describe('copying files', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  const content = randomBytes(100 * 1024 * 1024);
  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    writeFileSync('/tmp/sent', content);
    server = await startServer({
      config: ['UsePAM yes', 'Subsystem sftp /usr/lib/openssh/sftp-server'],
    });
  });
  after(async () => await server?.stop());

  for (const [name, args] of [
    ['the sftp protocol', []],
    ['the old protocol', ['-O']],
  ] as const) {
    test(`scp with ${name} carries 100 MB there and back`, { timeout: 50_000 }, async () => {
      const up = await copy('scp', server, { key, args }, '/tmp/sent', remote('there'));
      assert.equal(up.status, 0, up.stderr);
      assert.ok(readFileSync('/home/alice/there').equals(content), 'what arrived is another');
      assert.equal(statSync('/home/alice/there').uid, alice.uid);
      const down = await copy('scp', server, { key, args }, remote('there'), '/tmp/back');
      assert.equal(down.status, 0, down.stderr);
      assert.ok(readFileSync('/tmp/back').equals(content), 'what came back is another');
      rmSync('/tmp/back');
      rmSync('/home/alice/there');
    });

    test(`scp -rp with ${name} keeps a tree, its modes and times`, async () => {
      rmSync('/tmp/tree', { recursive: true, force: true });
      mkdirSync('/tmp/tree/deep/er', { recursive: true });
      writeFileSync('/tmp/tree/a file', 'a', { mode: 0o640 });
      writeFileSync('/tmp/tree/deep/er/ünïcode', 'u', { mode: 0o755 });
      run('touch', ['-d', '2001-02-03 04:05:06', '/tmp/tree/a file']);
      const up = await copy(
        'scp',
        server,
        { key, args: [...args, '-rp'] },
        '/tmp/tree',
        remote('tree'),
      );
      assert.equal(up.status, 0, up.stderr);
      assert.equal(run('diff', ['-r', '/tmp/tree', '/home/alice/tree']), '');
      const there = statSync('/home/alice/tree/a file');
      assert.deepEqual(
        [there.mode & 0o777, there.mtimeMs, there.uid],
        [0o640, statSync('/tmp/tree/a file').mtimeMs, alice.uid],
      );
      rmSync('/home/alice/tree', { recursive: true });
    });
  }

  test('sftp puts, lists, renames, links, changes modes, gets and removes', async () => {
    writeFileSync('/tmp/small', 'small\n');
    const batch = [
      ...['put /tmp/small one', 'rename one two', 'symlink two three', 'chmod 600 two'],
      ...['mkdir folder', 'put /tmp/small folder/inside', 'ls -1', 'get two /tmp/got'],
      ...['rm three', 'rm folder/inside', 'rmdir folder', 'pwd', 'ls -1'],
    ];
    const outcome = await copy(
      'sftp',
      server,
      { key, args: ['-b', '-'], input: `${batch.join('\n')}\n` },
      'alice@127.0.0.1',
    );
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /ls -1\nfolder *\nthree *\ntwo *\n/);
    assert.match(outcome.text, /Remote working directory: \/home\/alice\n/);
    assert.match(outcome.text, /ls -1\ntwo *\n/);
    assert.equal(readFileSync('/tmp/got', 'utf8'), 'small\n');
    assert.deepEqual(
      [statSync('/home/alice/two').mode & 0o777, statSync('/home/alice/two').uid],
      [0o600, alice.uid],
    );
  });

  test('sftp resumes half a file', async () => {
    writeFileSync('/home/alice/half', content.subarray(0, 30_000_000));
    chownSync('/home/alice/half', alice.uid, alice.gid);
    const outcome = await copy(
      'sftp',
      server,
      { key, args: ['-b', '-'], input: 'reput /tmp/sent half\n' },
      'alice@127.0.0.1',
    );
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/home/alice/half').equals(content));
  });

  test('what the user may not read is refused by the file system', async () => {
    writeFileSync('/tmp/secret', 's', { mode: 0o600 });
    symlinkSync('/etc/shadow', '/home/alice/shadow');
    for (const file of ['/tmp/secret', '/etc/shadow', 'shadow']) {
      const outcome = await copy('scp', server, { key }, remote(file), '/tmp/taken');
      assert.equal(outcome.status, 1);
      assert.match(outcome.stderr, /Permission denied/);
    }
  });

  test('an unknown subsystem is refused and the connection says so', async () => {
    const outcome = await copy(
      'sftp',
      server,
      { key, args: ['-s', 'nonesuch'] },
      'alice@127.0.0.1',
    );
    assert.equal(outcome.status, 255);
    assert.match(outcome.stderr, /subsystem request failed on channel 0/);
  });
});
