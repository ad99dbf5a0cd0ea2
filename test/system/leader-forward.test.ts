/**
 * The agent's socket, displays, and what runs in front of a program, as a leader makes and removes
 * them. Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import { inLab, makeUser, type LabUser } from '../support/lab.ts';
import {
  begin,
  type DrivenLeader,
  statusOf,
  until,
  ZygoteDriver,
} from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);
const [EPERM, ENOENT, ESRCH, EEXIST, EAGAIN, EINVAL, EPROTO, EADDRINUSE] = [
  1, 2, 3, 17, 11, 22, 71, 98,
] as const;
const isErrno = (code: number) => (error: unknown) =>
  error instanceof CallFailure && error.code === code;
const words = (...list: readonly string[]) => list.map((word) => Buffer.from(word));

function isReachable(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

describe('forwarding made by a leader', lab, () => {
  let driver: ZygoteDriver;
  let alice: LabUser;
  before(() => {
    alice = makeUser('alice');
    makeUser('bob');
    driver = new ZygoteDriver();
  });
  after(() => driver.close());

  const enter = async (user = 'alice'): Promise<DrivenLeader> => {
    const leader = await driver.fork();
    await leader.enter(user);
    return leader;
  };
  const display = {
    offset: 10,
    loopbackOnly: true,
    family: 0,
    keepsNumber: true,
    xauth: '/bin/sh',
  };
  const undo = (number: number, command: string) => ({
    display: number,
    file: '/bin/sh',
    arguments: words('sh', '-c', command),
    input: Buffer.from('the input\n'),
    environment: words('PATH=/usr/bin:/bin', 'MARK=of-the-session'),
  });

  describe('agent', () => {
    test('the user’s, for nobody else, once, and removed by the end', async () => {
      const leader = await enter();
      const { path: socket, descriptor } = await leader.client.agentListen();
      assert.equal(socket.startsWith('/tmp/ssh-'), true);
      assert.equal(path.basename(socket), `agent.${leader.client.pid}`);
      const folder = statSync(path.dirname(socket));
      const file = statSync(socket);
      assert.deepEqual(
        [folder.uid, folder.gid, folder.mode & 0o7777, file.uid, file.mode & 0o7777],
        [alice.uid, alice.gid, 0o700, alice.uid, 0o600],
      );
      await assert.rejects(leader.client.agentListen(), isErrno(EEXIST));
      closeSync(descriptor);
      await leader.client.end(0);
      assert.equal(existsSync(path.dirname(socket)), false);
    });

    test('removed when the monitor is gone, and when the leader is told to end by a signal', async () => {
      for (const end of [
        (leader: DrivenLeader) => leader.client.drop(),
        (leader: DrivenLeader) => process.kill(leader.client.pid, 'SIGTERM'),
      ]) {
        const leader = await enter();
        const { path: socket, descriptor } = await leader.client.agentListen();
        closeSync(descriptor);
        end(leader);
        await until(() => !existsSync(path.dirname(socket)), 'the directory is gone');
      }
    });

    test('removed when the end comes while it is being made', async () => {
      const count = (): number =>
        readdirSync('/tmp').filter((name) => name.startsWith('ssh-')).length;
      for (let round = 0; round < 10; round++) {
        const leader = await enter();
        const made = leader.client.agentListen().then(
          ({ descriptor }) => closeSync(descriptor),
          () => undefined, // it ended first
        );
        leader.client.drop();
        await Promise.race([made, leader.gone]);
        await until(
          () => statusOf(leader.client.pid, 'Name') === undefined,
          'the leader has ended',
        );
      }
      await until(() => count() === 0, 'nothing is left');
    });

    test('what the user puts into the directory, or in its place, takes nothing of others with it', async () => {
      mkdirSync('/tmp/of-root');
      writeFileSync('/tmp/of-root/agent.1', 'root’s');
      const leader = await enter();
      const { path: socket, descriptor } = await leader.client.agentListen();
      closeSync(descriptor);
      const folder = path.dirname(socket);
      const name = path.basename(socket);
      const { status } = await leader.run(
        `rm -r ${folder} && ln -s /tmp/of-root ${folder} && test ! -e ${folder}/${name}`,
      );
      assert.equal(status, 0);
      writeFileSync(`/tmp/of-root/${name}`, 'root’s');
      await leader.client.end(0);
      assert.equal(existsSync(`/tmp/of-root/${name}`), true, 'it acts as the user');
      assert.equal(existsSync('/tmp/of-root/agent.1'), true);
    });

    test('not before the session is established', async () => {
      const leader = await driver.fork();
      await begin(leader.client, 'alice');
      await assert.rejects(leader.client.agentListen(), isErrno(EPROTO));
      await assert.rejects(leader.client.x11Listen(display), isErrno(EPROTO));
      await leader.client.end(0);
    });

    test('not of a desktop’s leader', async () => {
      const leader = await driver.fork();
      await leader.enter('alice', '', 1);
      await assert.rejects(leader.client.agentListen(), isErrno(EPERM));
      await assert.rejects(leader.client.x11Listen(display), isErrno(EPERM));
      await leader.client.end(0);
    });
  });

  describe('displays', () => {
    test('numbers as sshd gives them, sockets of the user, both families', async () => {
      const leader = await enter();
      const other = await enter('bob');
      const first = await leader.client.x11Listen(display);
      const second = await other.client.x11Listen(display);
      assert.deepEqual([first.display, second.display], [10, 11]);
      assert.ok(first.descriptors.length >= 1 && first.descriptors.length <= 2);
      const line = readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .find((one) => /:177A 0/.test(one));
      assert.equal(line?.trim().split(/\s+/)[7], String(alice.uid));
      for (const { descriptors } of [first, second]) {
        descriptors.forEach((descriptor) => closeSync(descriptor));
      }
      assert.equal(await isReachable(6010), true, 'the leader holds it');
      await leader.client.x11Close(10);
      assert.equal(await isReachable(6010), false);
      await Promise.all([leader.client.end(0), other.client.end(0)]);
      assert.equal(await isReachable(6011), false);
    });

    test('a number that is taken on one address is not used on the other', async () => {
      const taken: Server = createServer();
      await new Promise<void>((resolve) => taken.listen(6010, '::1', resolve));
      const leader = await enter();
      const { display: number, descriptors } = await leader.client.x11Listen(display);
      assert.equal(number, 11);
      descriptors.forEach((descriptor) => closeSync(descriptor));
      const v4 = await leader.client.x11Listen({ ...display, family: 4 });
      assert.deepEqual([v4.display, v4.descriptors.length], [10, 1]);
      v4.descriptors.forEach((descriptor) => closeSync(descriptor));
      await leader.client.end(0);
      await new Promise((resolve) => taken.close(resolve));
    });

    test('without xauth, out of range, and more than there may be: refused', async () => {
      const leader = await enter();
      await assert.rejects(
        leader.client.x11Listen({ ...display, xauth: '/none' }),
        isErrno(ENOENT),
      );
      await assert.rejects(
        leader.client.x11Listen({ ...display, offset: 65_536 }),
        isErrno(EINVAL),
      );
      await assert.rejects(
        leader.client.x11Listen({ ...display, offset: 60_000 }),
        isErrno(EADDRINUSE),
      );
      await assert.rejects(leader.client.x11Close(10), isErrno(ESRCH));
      await assert.rejects(leader.client.x11Undo(undo(10, 'true')), isErrno(ESRCH));
      const descriptors: number[] = [];
      for (let count = 0; count < 64; count++) {
        descriptors.push(...(await leader.client.x11Listen({ ...display, family: 4 })).descriptors);
      }
      await assert.rejects(leader.client.x11Listen({ ...display, family: 4 }), isErrno(EAGAIN));
      descriptors.forEach((descriptor) => closeSync(descriptor));
      await leader.client.end(0);
    });

    test('the undo runs as the user, in the environment it was given, before the number is free', async () => {
      const leader = await enter();
      const { display: number, descriptors } = await leader.client.x11Listen(display);
      descriptors.forEach((descriptor) => closeSync(descriptor));
      const command = '(id -un; echo $MARK; cat; sleep 0.3) > /tmp/undone';
      await leader.client.x11Undo(undo(number, 'echo replaced >/tmp/undone'));
      await leader.client.x11Undo(undo(number, command));
      const closed = leader.client.x11Close(number);
      await until(() => existsSync('/tmp/undone'), 'it runs');
      assert.equal(await isReachable(6000 + number), true, 'not free yet');
      await assert.rejects(leader.client.x11Close(number), isErrno(ESRCH));
      await closed;
      assert.equal(readFileSync('/tmp/undone', 'utf8'), 'alice\nof-the-session\nthe input\n');
      assert.equal(await isReachable(6000 + number), false);
      await leader.client.end(0);
    });

    test('the end of the login runs what is left to undo, also one that had begun', async () => {
      const leader = await enter();
      for (const name of ['one', 'two']) {
        const { display: number, descriptors } = await leader.client.x11Listen(display);
        descriptors.forEach((descriptor) => closeSync(descriptor));
        await leader.client.x11Undo(undo(number, `sleep 0.2; echo done > /tmp/end-${name}`));
      }
      leader.client.x11Close(10).catch(() => undefined); // the link goes first
      leader.client.drop();
      await until(() => existsSync('/tmp/end-one') && existsSync('/tmp/end-two'), 'both are done');
    });

    test('an undo that hangs does not hold the end up for long', async () => {
      const leader = await enter();
      const { display: number, descriptors } = await leader.client.x11Listen(display);
      descriptors.forEach((descriptor) => closeSync(descriptor));
      await leader.client.x11Undo(undo(number, 'exec sleep 20'));
      const startedMs = performance.now();
      await leader.client.end(0);
      assert.ok(performance.now() - startedMs < 10_000);
    });
  });

  describe('in front of a program', () => {
    const candidate = (exists: string, command: string, input = '') => ({
      exists,
      file: '/bin/sh',
      arguments: words('sh', '-c', command),
      input: Buffer.from(input),
    });

    test('the first that is there runs to its end, with its input, then the program', async () => {
      const leader = await enter();
      const { stdout, status } = await leader.run('echo program', {
        before: [
          candidate('/none', 'echo wrong'),
          candidate('/etc/passwd', 'id -un; cat; sleep 0.1; echo over', 'secret\n'),
          candidate('', 'echo wrong too'),
        ],
      });
      assert.deepEqual([stdout, status], ['alice\nsecret\nover\nprogram\n', 0]);
      await leader.client.end(0);
    });

    test('none of them there: the program alone', async () => {
      const leader = await enter();
      const { stdout } = await leader.run('echo program', { before: [candidate('/none', 'id')] });
      assert.equal(stdout, 'program\n');
      await leader.client.end(0);
    });

    test('one that cannot be started, and a program that cannot', async () => {
      const leader = await enter();
      const missing = { ...candidate('', 'x'), file: '/nonexistent' };
      const { stdout, status } = await leader.run('echo program', { before: [missing] });
      assert.deepEqual([stdout, status], ['program\n', 0]);
      const failed = await leader.run('x', {
        file: '/nonexistent',
        before: [candidate('', 'true')],
      });
      assert.deepEqual(
        [failed.stderr, failed.status],
        ['/nonexistent: No such file or directory\n', 1],
      );
      await leader.client.end(0);
    });

    test('one that does not read its input ends all the same', async () => {
      const leader = await enter();
      const { stdout } = await leader.run('echo program', {
        before: [candidate('', 'exec <&-; sleep 0.1', 'x'.repeat(4096))],
      });
      assert.equal(stdout, 'program\n');
      await leader.client.end(0);
    });
  });
});
