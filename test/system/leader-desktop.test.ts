/**
 * A desktop's leader: its directory, the socket by which a new monitor finds it, its end.
 * Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LeaderClient } from '../../pam/leader-client.ts';
import { DesktopDescribe, stdio } from '../../pam/leader-protocol.ts';
import { SeqpacketLink } from '../../src/base/link.native.ts';
import { closeDescriptor, connectSeqpacket } from '../../src/base/socket.native.ts';
import { removeDirectory } from '../../src/broker/directory-removal.ts';
import { call } from '../../src/ssh/wire/call.ts';
import { text } from '../../src/ssh/wire/field.ts';
import { CallFailure, Peer } from '../../src/ssh/wire/peer.ts';
import { inLab, type LabUser, makeUser, run, writePamService } from '../support/lab.ts';
import {
  begin,
  DrivenLeader,
  isAlive,
  leaderExecutable,
  order,
  readAll,
  until,
  ZygoteDriver,
} from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);
const isErrno = (code: number) => (error: unknown) =>
  error instanceof CallFailure && error.code === code;
const [EPROTO, EEXIST, ENOSYS] = [71, 17, 38] as const;

const id = '0123456789ABCDEF0123456789ABCDEF';
const startedAt = '2026-01-02T03:04:05Z';
const xauthority = Buffer.from('not a real one');
const log = { stdio: stdio.log };

describe("a desktop's leader", lab, () => {
  let driver: ZygoteDriver;
  let alice: LabUser;
  let next = 0;

  before(() => {
    alice = makeUser('alice');
    makeUser('bob');
    writePamService('lab-desktop', [
      'auth required pam_deny.so',
      'account required @lab count=/tmp/desktop-calls',
      'session required @lab count=/tmp/desktop-calls',
    ]);
    mkdirSync('/run/desktops', { mode: 0o711 });
    driver = new ZygoteDriver();
  });
  after(() => driver.close());

  async function desktop(user = 'alice', service = '') {
    const leader = await driver.fork();
    await leader.enter(user, service, 1);
    const directory = `/run/desktops/${next++}`;
    await leader.client.desktopBegin({ id, directory, startedAt, xauthority });
    return { leader, directory };
  }

  test('it holds nothing that whoever started the daemon waits for', async () => {
    const { leader } = await desktop();
    const held = [0, 1, 2].map((number) => readlinkSync(`/proc/${leader.client.pid}/fd/${number}`));
    assert.deepEqual(held, ['/dev/null', '/dev/null', '/dev/null']);
    await leader.client.end(0);
  });

  function reconnect(directory: string): DrivenLeader {
    const descriptor = connectSeqpacket(`${directory}/control`);
    const fault = (error: unknown): never => {
      throw error;
    };
    const peer = new Peer(new SeqpacketLink(descriptor), { closeDescriptor, onFault: fault });
    return new DrivenLeader(new LeaderClient(peer, 0));
  }

  test("makes a directory of which one part is the user's", async () => {
    const { leader, directory } = await desktop();
    const of = (path: string) => {
      const { uid, mode } = statSync(path);
      return [uid, (mode & 0o7777).toString(8)];
    };
    assert.deepEqual(of(directory), [0, '711']);
    assert.deepEqual(of(`${directory}/user`), [alice.uid, '700']);
    assert.deepEqual(of(`${directory}/user/run`), [alice.uid, '700']);
    assert.deepEqual(of(`${directory}/user/Xauthority`), [alice.uid, '600']);
    assert.deepEqual(of(`${directory}/control`), [0, '600']);
    assert.deepEqual(readFileSync(`${directory}/user/Xauthority`), xauthority);
    await leader.client.end(0);
    assert.ok(!existsSync(directory));
  });

  test('does not take a directory that is there already, nor a second desktop', async () => {
    const { leader, directory } = await desktop();
    const other = await driver.fork();
    await other.enter('alice', '', 1);
    const values = { id, directory, startedAt, xauthority };
    await assert.rejects(other.client.desktopBegin(values), isErrno(EEXIST));
    await assert.rejects(
      leader.client.desktopBegin({ ...values, directory: '/run/desktops/second' }),
      isErrno(EPROTO),
    );
    await other.client.end(0);
    assert.ok(existsSync(`${directory}/control`), 'the first one is untouched');
    await leader.client.end(0);
    const login = await driver.fork();
    await login.enter('alice');
    await assert.rejects(login.client.desktopBegin(values), isErrno(EPROTO), 'a login has none');
    await login.client.end(0);
  });

  test('outlives its monitor and tells the next one what it is', async () => {
    const { leader, directory } = await desktop();
    const { pid } = leader.client;
    await leader.client.desktopNote(Buffer.from('a note'));
    const spawned = await leader.client.spawn(order('while :; do sleep 1; done', log));
    leader.client.drop();
    await delay(100);
    assert.ok(isAlive(pid) && isAlive(spawned.pid));
    const later = reconnect(directory);
    const described = await later.client.desktopDescribe();
    assert.deepEqual(
      { ...described, note: described.note.toString() },
      { id, user: 'alice', uid: alice.uid, startedAt, pid, note: 'a note' },
    );
    await later.client.signal(spawned.handle, 15);
    assert.equal((await later.exit(spawned.handle)).signal, 15);
    await later.client.end(0);
    await until(() => !isAlive(pid), 'the leader has gone');
  });

  test('says that it does not know an order of a later build, and goes on', async () => {
    const { leader, directory } = await desktop();
    leader.client.drop();
    const peer = new Peer(new SeqpacketLink(connectSeqpacket(`${directory}/control`)), {
      closeDescriptor,
    });
    const later = call(127, 'of-a-later-build', { value: text }, {});
    await assert.rejects(peer.call(later, { value: 'x' }), isErrno(ENOSYS));
    const { values } = await peer.call(DesktopDescribe, {});
    assert.equal(values.id, id);
    peer.close();
    await reconnect(directory).client.end(0);
  });

  test('the user may fill his part, and nothing but his part', async () => {
    const { leader, directory } = await desktop();
    const freeOf = (path: string): number => {
      const { bavail, bsize } = statfsSync(path);
      return bavail * bsize;
    };
    const before = freeOf('/run');
    const fill = `cd ${directory}/user/run && cat /dev/zero >full; stat -c %s full`;
    const { stdout, stderr } = await leader.run(fill);
    assert.match(stderr, /No space left on device/);
    assert.ok(Number(stdout) > 8 << 20 && Number(stdout) <= 16 << 20, stdout);
    assert.ok(before - freeOf('/run') < 8 << 20, 'what is written there is not on /run');
    const many = `cd ${directory}/user/run && rm full && i=0; while mkdir $i; do i=$((i+1)); done; echo $i`;
    const made = Number((await leader.run(many)).stdout);
    assert.ok(made > 1000 && made < 4096, String(made));
    await leader.client.end(0);
    assert.ok(!existsSync(directory));
    assert.doesNotMatch(readFileSync('/proc/mounts', 'latin1'), new RegExp(directory));
  });

  test('what a killed leader leaves is removed, its mount included', async () => {
    const { leader, directory } = await desktop();
    process.kill(leader.client.pid, 'SIGKILL');
    await leader.gone;
    writeFileSync(`${directory}/user/of-the-user`, '');
    await removeDirectory(directory);
    assert.ok(!existsSync(directory));
  });

  test('of several processes that end together the one started first is the reason', async () => {
    const { leader } = await desktop();
    await leader.client.spawn(order('sleep 0.1; exit 7', { ...log, essential: true }));
    await leader.client.spawn(order('exit 1', { ...log, essential: true }));
    assert.equal((await leader.desktopEnded).reason, 'sh ended (exit status 7)');
    const other = (await desktop()).leader;
    await other.client.spawn(order('exec sleep 300', { ...log, essential: true }));
    await other.client.spawn(order('exit 3', { ...log, essential: true }));
    assert.equal((await other.desktopEnded).reason, 'sh ended (exit status 3)');
  });

  test('obeys the newest monitor only', async () => {
    const { leader, directory } = await desktop();
    const later = reconnect(directory);
    await later.client.desktopDescribe();
    await leader.gone;
    await later.client.end(0);
  });

  test('lets nobody but root at its control socket', async () => {
    const { leader, directory } = await desktop();
    const attempt = (uid: number) =>
      run('setpriv', [
        ...['--reuid', String(uid), '--clear-groups', 'python3', '-c'],
        `import socket; s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect('${directory}/control')`,
      ]);
    assert.throws(() => attempt(alice.uid), /Permission denied/);
    // Even where the mode of the socket would let him.
    chmodSync(`${directory}/control`, 0o666);
    const stillAnswers = run('setpriv', [
      ...['--reuid', String(alice.uid), '--clear-groups', 'python3', '-c'],
      `import socket; s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect('${directory}/control'); print(s.recv(10))`,
    ]);
    assert.equal(stillAnswers, "b''\n", 'closed without a word');
    await leader.client.desktopDescribe();
    await leader.client.end(0);
  });

  test('keeps the last output of what it runs', async () => {
    const { leader } = await desktop();
    const spawned = await leader.client.spawn(
      order('i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done; echo last >&2', log),
    );
    assert.equal((await leader.exit(spawned.handle)).status, 0);
    const tail = (await leader.client.logTail(spawned.handle, 100)).toString();
    assert.match(tail, /^line \d+\n(line \d+\n)*last\n$/);
    assert.ok(tail.length <= 100);
    const all = (await leader.client.logTail(spawned.handle, 1 << 20)).toString();
    assert.ok(all.length > 60_000 && all.length <= 65_536);
    assert.match(all, /^line \d+\n/);
    await leader.client.end(0);
  });

  test('ends the desktop when an essential process ends, and kills every descendant', async () => {
    const { leader, directory } = await desktop();
    // A daemon that has left its session and its parent, one that ignores SIGTERM, and both together.
    const script = `
      setsid sh -c 'sleep 300 & wait' &
      (trap "" TERM HUP; setsid sleep 301 & exec sleep 302) &
      exec sleep 303`;
    await leader.client.spawn(order(script, log));
    await leader.client.spawn(
      order('echo first; echo boom >&2; exit 3', { ...log, essential: true }),
    );
    const { reason, tail } = await leader.desktopEnded;
    assert.equal(reason, 'sh ended (exit status 3)');
    assert.equal(tail, 'first\nboom\n');
    await leader.gone;
    await until(() => !isAlive(leader.client.pid), 'the leader has gone');
    assert.equal(run('sh', ['-c', 'ps -eo args= | grep -c "^sleep 30[0-9]" || true']).trim(), '0');
    assert.ok(!existsSync(directory));
  });

  test('removes what the user left in his part, following no link out of it', async () => {
    const { leader, directory } = await desktop();
    writeFileSync('/home/alice/precious', 'kept');
    mkdirSync('/tmp/outside', { mode: 0o777 });
    chmodSync('/tmp/outside', 0o777);
    writeFileSync('/tmp/outside/file', 'kept');
    const user = `${directory}/user`;
    run('umount', ['--lazy', user]); // as where nothing can be mounted
    const { status, stderr } = await leader.run(
      `cd ${user} && mkdir -p a/b/c && echo x >a/b/c/f && ln -s /home/alice link && ln -s /tmp/outside a/out && mkdir closed && echo y >closed/z && chmod 0 closed`,
    );
    assert.equal(status, 0, stderr);
    symlinkSync('/home/alice', `${user}/of-root`);
    await leader.client.end(0);
    assert.ok(!existsSync(directory));
    assert.equal(readFileSync('/home/alice/precious', 'utf8'), 'kept');
    assert.equal(readFileSync('/tmp/outside/file', 'utf8'), 'kept');
  });

  test('has a PAM session of its own in which nobody authenticated', async () => {
    const { leader } = await desktop('alice', 'lab-desktop');
    const { pid } = leader.client;
    process.kill(pid, 'SIGTERM');
    await until(() => !isAlive(pid), 'the leader has gone');
    const calls = readFileSync('/tmp/desktop-calls', 'utf8').trim().split('\n');
    assert.deepEqual(
      calls.map((call) => call.split(' ')[0]),
      ['open', 'close'],
    );
    assert.ok(calls.every((call) => call.includes(` pid=${pid} `) && call.includes(' tty=:7 ')));
  });

  test('ends what runs when it is told to, gently first', async () => {
    const { leader, directory } = await desktop();
    const script = `trap 'echo bye >/tmp/said; exit 5' TERM; echo up; while :; do sleep 0.05; done`;
    const spawned = await leader.client.spawn(order(script));
    const [input, output, errors] = spawned.descriptors as [number, number, number];
    closeDescriptor(input);
    await delay(150);
    await leader.client.end(3000);
    assert.equal((await leader.exit(spawned.handle)).status, 5);
    assert.equal(readFileSync('/tmp/said', 'utf8'), 'bye\n');
    assert.equal(await readAll(output), 'up\n');
    await readAll(errors);
    assert.ok(!existsSync(directory));
  });

  test('sees a window on a display as soon as there is one', async () => {
    const { leader } = await desktop();
    const display = 77;
    const cookie = '0123456789abcdef0123456789abcdef';
    const user = {
      environment: [
        Buffer.from('PATH=/usr/bin:/bin'),
        Buffer.from('XAUTHORITY=/home/alice/xa'),
        Buffer.from('HOME=/home/alice'),
      ],
    };
    mkdirSync('/tmp/.X11-unix', { recursive: true });
    chmodSync('/tmp/.X11-unix', 0o1777);
    await leader.run(`xauth -f /home/alice/xa add :${display} . ${cookie}`, user);
    const server = await leader.client.spawn(
      order(`exec Xvfb :${display} -auth /home/alice/xa -nolisten tcp -screen 0 320x200x24`, {
        ...log,
        ...user,
      }),
    );
    const socket = `/tmp/.X11-unix/X${display}`;
    const bytes = Buffer.from(cookie, 'hex');
    assert.equal(await leader.client.watchWindows(socket, bytes, 1000), 0, 'an empty display');
    const watching = leader.client.watchWindows(socket, bytes, 20_000);
    await leader.client.spawn(order(`exec xterm -display :${display}`, { ...log, ...user }));
    assert.ok((await watching) >= 1);
    const wrong = await leader.client.watchWindows(socket, Buffer.alloc(16), 600);
    assert.equal(wrong, 0, 'with the wrong cookie nothing is seen');
    await assert.rejects(
      leader.client.displaySize(socket),
      CallFailure,
      'the cookie of the desktop is not that of this server',
    );
    await assert.rejects(leader.client.displaySize('/tmp/.X11-unix/X78'), CallFailure);
    await leader.client.end(1000);
    assert.ok(!isAlive(server.pid));
  });

  describe('without root', () => {
    let own: ZygoteDriver;

    before(() => {
      const script = '/usr/local/bin/as-alice';
      writeFileSync(
        script,
        `#!/bin/sh\nexec setpriv --reuid ${alice.uid} --regid ${alice.gid} --init-groups ${leaderExecutable} "$@"\n`,
      );
      chmodSync(script, 0o755);
      own = new ZygoteDriver(script);
    });
    after(() => own.close());

    test('knows its own user only, and does the same for him', async () => {
      const leader = await own.fork();
      assert.equal((await begin(leader.client, 'bob')).exists, false);
      await leader.client.end(0);
      const mine = await own.fork();
      const account = await begin(mine.client, 'alice', 'sshd', 1);
      assert.deepEqual([account.exists, account.uid], [true, alice.uid]);
      const { returnCode } = await mine.client.authenticate({
        mode: 1,
        password: Buffer.from('x'),
        allowEmpty: true,
        refused: false,
      });
      assert.notEqual(returnCode, 0, 'no password is checked');
      assert.equal((await mine.client.account()).returnCode, 0);
      const { environment } = await mine.client.establish(':7');
      assert.deepEqual(environment, []);
      const { stdout } = await mine.run('id -u; echo >/dev/stdout; tty');
      assert.match(stdout, new RegExp(`^${alice.uid}\n\n`));
      const directory = '/home/alice/desktop-of-a-long-name-'.padEnd(150, 'x');
      await mine.client.desktopBegin({ id, directory, startedAt, xauthority });
      assert.deepEqual(readdirSync(directory).sort(), ['control', 'user']);
      await mine.client.end(0);
      assert.ok(!existsSync(directory));
    });

    test('gives a terminal', async () => {
      const leader = await own.fork();
      await leader.enter('alice');
      const spawned = await leader.client.spawn(order('exec sleep 100', { stdio: stdio.pty }));
      assert.match(spawned.tty, /^\/dev\/pts\//);
      closeDescriptor(spawned.descriptors[0] as number);
      assert.equal((await leader.exit(spawned.handle)).signal, 1);
      await leader.client.end(0);
    });

    test('starts a worker with what confinement can be had, and names the rest', async () => {
      const started = await own.zygote.startWorker({
        arguments: ['/bin/sleep', '60'],
        environment: [],
        readOnly: ['/usr'],
        directory: '/',
        uid: 0,
        gid: 0,
        relaxed: true,
      });
      assert.ok(isAlive(started.pid));
      for (const step of started.skipped) {
        assert.match(step, /namespace|root directory|bounding set/);
      }
      await own.zygote.kill(started.pid, 9);
      closeDescriptor(started.peerDescriptor);
    });
  });
});
