/**
 * Files read and sockets connected as the user. Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  fstatSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, Socket } from 'node:net';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { readMemfd } from '../../src/base/socket.native.ts';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import { inLab, type LabUser, makeUser, run } from '../support/lab.ts';
import { begin, type DrivenLeader, ZygoteDriver } from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);
const maxBytes = 65_536;
const isErrno = (code: number) => (error: unknown) =>
  error instanceof CallFailure && error.code === code;
const [ENOENT, EACCES, EINVAL, ENAMETOOLONG] = [2, 13, 22, 36] as const;

describe('a leader', lab, () => {
  let driver: ZygoteDriver;
  let leader: DrivenLeader;
  let alice: LabUser;
  const keys = '/home/alice/.ssh/authorized_keys';

  before(async () => {
    alice = makeUser('alice', { authorizedKeys: ['ssh-ed25519 AAAA alice'] });
    makeUser('bob', { authorizedKeys: ['ssh-ed25519 AAAA bob'] });
    driver = new ZygoteDriver();
    leader = await driver.fork();
    await leader.enter('alice');
  });
  after(() => driver.close());

  async function read(path: string, strict = true, most = maxBytes): Promise<string> {
    const outcome = await leader.client.readFile(path, strict, most);
    if (outcome.is !== 'read') {
      return outcome.is === 'absent' ? 'absent' : `refused: ${outcome.reason}`;
    }
    const text = readMemfd(outcome.descriptor, most).toString('utf8');
    closeSync(outcome.descriptor);
    return text;
  }

  test('reads a key file of its user into memory that cannot be changed', async () => {
    const outcome = await leader.client.readFile(keys, true, maxBytes);
    assert.equal(outcome.is, 'read');
    const { descriptor } = outcome as { descriptor: number };
    assert.equal(readMemfd(descriptor, maxBytes).toString(), 'ssh-ed25519 AAAA alice\n');
    assert.equal(fstatSync(descriptor).size, 23);
    assert.throws(() => writeSync(descriptor, 'x'), { code: 'EPERM' });
    closeSync(descriptor);
  });

  test('tells an absent file from one that may not be read', async () => {
    assert.equal(await read('/home/alice/.ssh/nothing'), 'absent');
    assert.equal(await read(`${keys}/below`), 'absent');
    assert.equal(
      await read('/home/bob/.ssh/authorized_keys'),
      'refused: /home/bob/.ssh/authorized_keys cannot be opened: Permission denied',
    );
    assert.equal(
      await read('/etc/shadow', false),
      'refused: /etc/shadow cannot be opened: Permission denied',
    );
  });

  test('does not follow a link to where its user may not read', async () => {
    symlinkSync('/home/bob/.ssh/authorized_keys', '/home/alice/.ssh/link');
    assert.match(await read('/home/alice/.ssh/link', false), /Permission denied/);
  });

  test('refuses what is no regular file, without waiting for it', async () => {
    run('mkfifo', ['/home/alice/fifo']);
    assert.match(await read('/home/alice/fifo', false), /not a regular file/);
    assert.match(await read('/dev/zero', false), /not a regular file/);
    assert.match(await read('/home/alice', false), /not a regular file/);
  });

  test('refuses a file that is larger than wanted', async () => {
    assert.equal(await read(keys, true, 22), 'refused: larger than 22 bytes');
    assert.equal(await read(keys, true, 23), 'ssh-ed25519 AAAA alice\n');
    await assert.rejects(leader.client.readFile(keys, true, 1 << 30), isErrno(EINVAL));
  });

  test('is as strict as sshd about owners and modes up to the home directory', async () => {
    const good = 'ssh-ed25519 AAAA alice\n';
    const sharedGid = 100; // Debian's `users`
    const steps: readonly [string, () => void, () => void][] = [
      [
        `refused: bad ownership or modes for file ${keys}`,
        () => {
          chownSync(keys, alice.uid, sharedGid);
          chmodSync(keys, 0o620);
        },
        () => {
          chmodSync(keys, 0o600);
          chownSync(keys, alice.uid, alice.gid);
        },
      ],
      [
        'refused: bad ownership or modes for directory /home/alice/.ssh',
        () => {
          chownSync('/home/alice/.ssh', alice.uid, sharedGid);
          chmodSync('/home/alice/.ssh', 0o770);
        },
        () => {
          chmodSync('/home/alice/.ssh', 0o700);
          chownSync('/home/alice/.ssh', alice.uid, alice.gid);
        },
      ],
      [
        'refused: bad ownership or modes for directory /home/alice',
        () => chmodSync('/home/alice', 0o757),
        () => chmodSync('/home/alice', 0o755),
      ],
      [
        'refused: bad ownership or modes for directory /home/alice/.ssh',
        () => {
          chownSync('/home/alice/.ssh', 12_345, alice.gid);
          chmodSync('/home/alice/.ssh', 0o755);
        },
        () => {
          chmodSync('/home/alice/.ssh', 0o700);
          chownSync('/home/alice/.ssh', alice.uid, alice.gid);
        },
      ],
    ];
    for (const [verdict, spoil, mend] of steps) {
      spoil();
      assert.equal(await read(keys), verdict);
      assert.equal(await read(keys, false), good, 'not strict');
      mend();
      assert.equal(await read(keys), good);
    }
  });

  test('looks at every directory up to the root for a file outside of the home', async () => {
    mkdirSync('/etc/keys/deep', { recursive: true });
    writeFileSync('/etc/keys/deep/alice', 'key\n');
    assert.equal(await read('/etc/keys/deep/alice'), 'key\n');
    chmodSync('/etc/keys', 0o775);
    assert.equal(
      await read('/etc/keys/deep/alice'),
      'refused: bad ownership or modes for directory /etc/keys',
    );
    rmSync('/etc/keys', { recursive: true });
  });

  test('has nothing to read for somebody who does not exist', async () => {
    const other = await driver.fork();
    await begin(other.client, 'nosuchuser');
    const outcome = await other.client.readFile('/etc/passwd', false, maxBytes);
    assert.equal(outcome.is, 'absent');
    await other.client.end(0);
  });

  test('connects to a socket as its user, and is refused where the user is', async () => {
    const server = createServer((socket) => socket.end('hello')).listen('/home/alice/socket');
    await once(server, 'listening');
    await assert.rejects(leader.client.connectUnix('/home/alice/socket'), isErrno(EACCES));
    chownSync('/home/alice/socket', alice.uid, alice.gid);
    const socket = new Socket({ fd: await leader.client.connectUnix('/home/alice/socket') });
    const [data] = (await once(socket, 'data')) as [Buffer];
    assert.equal(data.toString(), 'hello');
    socket.destroy();
    server.close();
    await assert.rejects(leader.client.connectUnix('/home/alice/none'), isErrno(ENOENT));
    await assert.rejects(leader.client.connectUnix(`/${'x'.repeat(108)}`), isErrno(ENAMETOOLONG));
  });

  test('serves many orders at once, in any order', async () => {
    const outcomes = await Promise.all(Array.from({ length: 30 }, () => read(keys)));
    assert.ok(outcomes.every((text) => text === 'ssh-ed25519 AAAA alice\n'));
  });
});
