/**
 * What a user's process is when a leader has started it: ids, signals, descriptors, terminal.
 * Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { stdio } from '../../pam/leader-protocol.ts';
import { PtyMaster } from '../../src/base/pty.native.ts';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import { findUser, inLab, makeUser, run, type LabUser } from '../support/lab.ts';
import {
  begin,
  type DrivenLeader,
  isAlive,
  order,
  readAll,
  statusOf,
  until,
  ZygoteDriver,
} from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);

const isErrno = (code: number) => (error: unknown) =>
  error instanceof CallFailure && error.code === code;
const [EPROTO, ENOENT, EACCES, ESRCH, EAGAIN, EINVAL] = [71, 2, 13, 3, 11, 22] as const;

/** Everything that came out of the terminal, and a way to type. */
class Terminal {
  readonly master: PtyMaster;
  text = '';
  hasEnded = false;

  constructor(descriptor: number) {
    this.master = new PtyMaster(descriptor);
    this.master.setEncoding('utf8');
    this.master.on('data', (chunk: string) => {
      this.text += chunk;
    });
    this.master.on('end', () => {
      this.hasEnded = true;
    });
  }

  shows(pattern: RegExp): Promise<void> {
    return until(() => pattern.test(this.text), `${pattern} in ${JSON.stringify(this.text)}`);
  }
}

describe('a process started by a leader', lab, () => {
  let driver: ZygoteDriver;
  let alice: LabUser;

  before(() => {
    run('groupadd', ['extra']);
    alice = makeUser('alice', { groups: ['extra'] });
    makeUser('bob');
    driver = new ZygoteDriver();
  });
  after(() => driver.close());

  async function aliceLeader(): Promise<DrivenLeader> {
    const leader = await driver.fork();
    await leader.enter('alice');
    return leader;
  }

  test('has the ids and groups of the user in all places, no capability, the usual mask', async () => {
    const leader = await aliceLeader();
    const { stdout, status } = await leader.run('cat /proc/self/status; umask');
    assert.equal(status, 0);
    const { uid, gid } = alice;
    assert.match(stdout, new RegExp(`^Uid:\\s+${uid}\\s+${uid}\\s+${uid}\\s+${uid}$`, 'm'));
    assert.match(stdout, new RegExp(`^Gid:\\s+${gid}\\s+${gid}\\s+${gid}\\s+${gid}$`, 'm'));
    const extra = run('getent', ['group', 'extra']).split(':')[2];
    const groups = /^Groups:\s*(.*?)\s*$/m.exec(stdout)?.[1]?.split(' ').sort();
    assert.deepEqual(groups, [String(gid), extra].sort());
    assert.match(stdout, /^CapEff:\s+0+$/m);
    assert.match(stdout, /^CapPrm:\s+0+$/m);
    assert.match(stdout, /^NoNewPrivs:\s+0$/m, 'sudo must work');
    assert.match(stdout, /^0022$/m);
    await leader.client.end(0);
  });

  test('has no signal blocked or ignored, and only its own descriptors', async () => {
    const leader = await aliceLeader();
    const { stdout } = await leader.run('grep -E "Sig(Blk|Ign)" /proc/self/status; ls /proc/$$/fd');
    assert.match(stdout, /SigBlk:\s+0+\n/);
    assert.match(stdout, /SigIgn:\s+0+\n/);
    assert.deepEqual(stdout.split('\n').slice(2).filter(Boolean), ['0', '1', '2']);
    await leader.client.end(0);
  });

  test('leads a session of its own and has exactly the environment it was given', async () => {
    const leader = await aliceLeader();
    const { stdout } = await leader.run(
      'cut -d" " -f1,5,6 /proc/$$/stat; tr "\\0" "\\n" </proc/$$/environ',
    );
    const [ids, ...environment] = stdout.trim().split('\n') as [string, ...string[]];
    const [pid, group, session] = ids.split(' ');
    assert.deepEqual([group, session], [pid, pid]);
    assert.deepEqual(environment, ['PATH=/usr/bin:/bin']);
    await leader.client.end(0);
  });

  test('may open its own standard streams again', async () => {
    const leader = await aliceLeader();
    const { stdout, stderr, status } = await leader.run(
      'echo out >/dev/stdout; echo err >/dev/stderr',
    );
    assert.deepEqual({ stdout, stderr, status }, { stdout: 'out\n', stderr: 'err\n', status: 0 });
    await leader.client.end(0);
  });

  test('gets what is written to its input, and sees the end of it', async () => {
    const leader = await aliceLeader();
    const spawned = await leader.client.spawn(order('wc -c'));
    const [input, output, errors] = spawned.descriptors as [number, number, number];
    writeFileSync(input, Buffer.alloc(50_000));
    closeSync(input);
    assert.equal(await readAll(output), '50000\n');
    assert.equal(await readAll(errors), '');
    await leader.client.end(0);
  });

  test('is reported once with its status or its signal', async () => {
    const leader = await aliceLeader();
    assert.equal((await leader.run('exit 7')).status, 7);
    assert.equal((await leader.run('kill -TERM $$')).signal, 15);
    const sleeper = await leader.client.spawn(order('sleep 100'));
    await leader.client.signal(sleeper.handle, 9);
    assert.deepEqual(await leader.exit(sleeper.handle), { status: 0, signal: 9 });
    await assert.rejects(leader.client.signal(sleeper.handle, 9), isErrno(ESRCH));
    await leader.client.end(0);
  });

  test('that cannot be executed is an errno and no process', async () => {
    const leader = await aliceLeader();
    await assert.rejects(leader.client.spawn(order('', { file: '/no/such' })), isErrno(ENOENT));
    await assert.rejects(leader.client.spawn(order('', { file: '/etc/passwd' })), isErrno(EACCES));
    await assert.rejects(leader.client.spawn(order('a\0b')), isErrno(EINVAL));
    assert.equal((await leader.run('echo fine')).stdout, 'fine\n');
    await leader.client.end(0);
  });

  test('starts in / with a line about it when its directory is not there', async () => {
    const leader = await aliceLeader();
    const { stdout, stderr } = await leader.run('pwd', {
      directory: '/nowhere',
      stderrText: Buffer.from('WARNING: something\n'),
    });
    assert.equal(stdout, '/\n');
    assert.equal(
      stderr,
      'WARNING: something\nCould not chdir to home directory /nowhere: No such file or directory\n',
    );
    await leader.client.end(0);
  });

  test('finds a pipe to its starter at descriptor 3 when it is to report', async () => {
    const leader = await aliceLeader();
    const spawned = await leader.client.spawn(
      order('echo 7 >&3; ls /proc/$$/fd', { reportDescriptor: true }),
    );
    const [input, output, errors, report] = spawned.descriptors as [number, number, number, number];
    closeSync(input);
    assert.equal(await readAll(report), '7\n');
    assert.equal(await readAll(output), '0\n1\n2\n3\n');
    assert.equal(await readAll(errors), '');
    await leader.client.end(0);
  });

  test('keeps the limit of cores of before, though its leader has none', async () => {
    const leader = await aliceLeader();
    const own = readFileSync('/proc/self/limits', 'utf8');
    const pattern = /^Max core file size\s+(\S+)\s+(\S+)/m;
    const { stdout } = await leader.run('cat /proc/self/limits');
    assert.deepEqual(pattern.exec(stdout)?.slice(1), pattern.exec(own)?.slice(1));
    const leaders = readFileSync(`/proc/${leader.client.pid}/limits`, 'utf8');
    assert.equal(pattern.exec(leaders)?.[1], '0');
    await leader.client.end(0);
  });

  test('is one of 64 at most; the next is refused and nothing is left open', async () => {
    const leader = await aliceLeader();
    const before = readdirSync(`/proc/${leader.client.pid}/fd`).length;
    const log = { stdio: stdio.log };
    const sleepers = [];
    for (let i = 0; i < 64; i++) {
      sleepers.push(await leader.client.spawn(order('exec sleep 100', log)));
    }
    await assert.rejects(leader.client.spawn(order('true')), isErrno(EAGAIN));
    for (const { handle } of sleepers) {
      await leader.client.signal(handle, 9);
      await leader.exit(handle);
    }
    assert.equal((await leader.run('echo again')).stdout, 'again\n');
    await until(
      () => readdirSync(`/proc/${leader.client.pid}/fd`).length === before,
      'the descriptors of before',
    );
    await leader.client.end(0);
  });

  test('is refused before the session is established', async () => {
    const leader = await driver.fork();
    await assert.rejects(leader.client.spawn(order('true')), isErrno(EPROTO));
    await begin(leader.client, 'alice');
    await assert.rejects(leader.client.spawn(order('true')), isErrno(EPROTO));
    await leader.client.end(0);
  });

  test('without a terminal outlives its leader, as under sshd', async () => {
    const leader = await aliceLeader();
    const { pid, descriptors } = await leader.client.spawn(order('exec sleep 100'));
    leader.client.drop();
    await until(() => !isAlive(leader.client.pid), 'the leader has gone');
    assert.ok(isAlive(pid));
    process.kill(pid, 'SIGKILL');
    for (const descriptor of descriptors) {
      closeSync(descriptor);
    }
  });

  describe('with a terminal', () => {
    const terminal = {
      stdio: stdio.pty,
      columns: 100,
      rows: 30,
      widthPixels: 800,
      heightPixels: 600,
    };

    test('has the size in characters and pixels, and is told of a new one', async () => {
      const leader = await aliceLeader();
      const spawned = await leader.client.spawn(
        order(
          `trap 'stty size; exit' WINCH; python3 -c "import fcntl,termios,struct; print(struct.unpack('HHHH', fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))))"; while :; do sleep 0.05; done`,
          { ...terminal, environment: [Buffer.from(`PATH=${process.env.PATH}`)] },
        ),
      );
      assert.match(spawned.tty, /^\/dev\/pts\/\d+$/);
      const screen = new Terminal(spawned.descriptors[0] as number);
      await screen.shows(/\(30, 100, 800, 600\)/);
      screen.master.resize(132, 50, 0, 0);
      await screen.shows(/50 132/);
      await leader.exit(spawned.handle);
      await until(() => screen.hasEnded, 'the end of the terminal');
      await leader.client.end(0);
    });

    test('owns it as user:tty 0620 while it runs', async () => {
      const leader = await aliceLeader();
      const spawned = await leader.client.spawn(order('tty; read line', terminal));
      const screen = new Terminal(spawned.descriptors[0] as number);
      const tty = Number(run('getent', ['group', 'tty']).split(':')[2]);
      const { uid, gid, mode } = statSync(spawned.tty);
      assert.deepEqual([uid, gid, mode & 0o7777], [alice.uid, tty, 0o620]);
      await screen.shows(new RegExp(spawned.tty));
      const held = screen.master;
      held.write('\r');
      await leader.exit(spawned.handle);
      await until(() => screen.hasEnded, 'the end of the terminal');
      await leader.client.end(0);
    });

    test('gives it back to root when it ends, even if somebody still holds it open', async () => {
      const leader = await aliceLeader();
      const spawned = await leader.client.spawn(order('true', terminal));
      await leader.exit(spawned.handle);
      assert.equal(statSync(spawned.tty).uid, 0);
      closeSync(spawned.descriptors[0] as number);
      await leader.client.end(0);
    });

    test('is nobody else’s until its end has been recorded', async () => {
      const slow = await aliceLeader();
      const quick = await aliceLeader();
      const first = await slow.client.spawn(order('exec sleep 100', terminal));
      process.kill(slow.client.pid, 'SIGSTOP');
      try {
        process.kill(first.pid, 'SIGKILL');
        await until(() => !isAlive(first.pid), 'the end of the session');
        closeSync(first.descriptors[0] as number);
        const second = await quick.client.spawn(order('exec sleep 100', terminal));
        assert.notEqual(second.tty, first.tty);
        closeSync(second.descriptors[0] as number);
      } finally {
        process.kill(slow.client.pid, 'SIGCONT');
      }
      await slow.exit(first.handle);
      const third = await quick.client.spawn(order('exec sleep 100', terminal));
      assert.equal(third.tty, first.tty, 'it is free then');
      closeSync(third.descriptors[0] as number);
      await slow.client.end(0);
      await quick.client.end(0);
    });

    test('takes the modes of RFC 4254 §8, and stops reading them at the first undefined one', async () => {
      const leader = await aliceLeader();
      const mode = (opcode: number, value: number) => {
        const bytes = Buffer.alloc(5, opcode);
        bytes.writeUInt32BE(value, 1);
        return bytes;
      };
      const modes = Buffer.concat([
        mode(3, 8), // VERASE ^H
        mode(1, 255), // VINTR none
        mode(53, 0), // ECHO off
        mode(38, 0), // IXON off
        mode(42, 1), // IUTF8
        mode(72, 0), // ONLCR off
        mode(128, 9600),
        mode(129, 9600),
        mode(200, 1), // undefined: the rest does not count
        mode(36, 0), // ICRNL off
      ]);
      const spawned = await leader.client.spawn(order('stty -a', { ...terminal, modes }));
      const screen = new Terminal(spawned.descriptors[0] as number);
      await leader.exit(spawned.handle);
      await until(() => screen.hasEnded, 'the end of the terminal');
      for (const wanted of [
        /speed 9600 baud/,
        /erase = \^H/,
        /intr = <undef>/,
        /(^| )-echo /m,
        /-ixon/,
        /(^| )iutf8/m,
        /-onlcr/,
        /(^| )icrnl/m,
      ]) {
        assert.match(screen.text, wanted);
      }
      await leader.client.end(0);
    });

    test('is interrupted by ^C', async () => {
      const leader = await aliceLeader();
      const spawned = await leader.client.spawn(order('echo ready; sleep 100', terminal));
      const screen = new Terminal(spawned.descriptors[0] as number);
      await screen.shows(/ready/);
      await delay(50);
      screen.master.write('\x03');
      assert.equal((await leader.exit(spawned.handle)).signal, 2);
      await leader.client.end(0);
    });

    test('gets SIGHUP when the master goes', async () => {
      const leader = await aliceLeader();
      const spawned = await leader.client.spawn(order('exec sleep 100', terminal));
      closeSync(spawned.descriptors[0] as number);
      assert.equal((await leader.exit(spawned.handle)).signal, 1);
      await leader.client.end(0);
    });

    test('gets SIGHUP when the link of its leader ends', async () => {
      const leader = await aliceLeader();
      const spawned = await leader.client.spawn(order('exec sleep 100', terminal));
      leader.client.drop();
      await until(() => !isAlive(leader.client.pid) && !isAlive(spawned.pid), 'both have gone');
      closeSync(spawned.descriptors[0] as number);
    });
  });

  test('of a user who may not enter a directory cannot read what is in it', async () => {
    mkdirSync('/tmp/secret', { mode: 0o700 });
    writeFileSync('/tmp/secret/file', 'secret');
    chmodSync('/tmp/secret/file', 0o644);
    const leader = await aliceLeader();
    const { status, stderr } = await leader.run('cat /tmp/secret/file');
    assert.notEqual(status, 0);
    assert.match(stderr, /Permission denied/);
    await leader.client.end(0);
  });

  test('belongs to a leader that ps shows with the name of its user, and that nobody can trace', async () => {
    const leader = await aliceLeader();
    const { pid } = leader.client;
    assert.equal(run('ps', ['-o', 'args=', '-p', String(pid)]).trim(), 'sshdesk: leader alice');
    assert.equal(
      run('ps', ['-o', 'args=', '-p', String(driver.zygote.pid)]).trim(),
      'sshdesk: zygote',
    );
    // What is not dumpable has its files in /proc owned by root, and no open memory for the user.
    const { uid } = findUser('alice');
    assert.throws(() =>
      run('setpriv', ['--reuid', String(uid), '--clear-groups', 'ls', `/proc/${pid}/fd`]),
    );
    assert.equal(statusOf(pid, 'Uid'), '0 0 0 0');
    await leader.client.end(0);
  });
});
