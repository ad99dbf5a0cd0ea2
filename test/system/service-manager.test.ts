/**
 * The daemon as a service: sockets that it is passed, what it tells, and a first process that ends
 * before the logins do. The service manager is played. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { Child, eventually } from '../support/child.ts';
import { endTree, Ground, listening } from '../support/daemon.ts';
import { checkout, inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { allProcesses, freePort, processTree, readProcFile } from '../support/server.ts';
import { ssh, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const launcher = path.join(checkout, 'sshdesk');
const player = path.join(checkout, 'test/support/service-manager.py');
const systemPath = { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };
let key: TestKey;

/** What listens on NOTIFY_SOCKET; what it was told is in its `stdout`. */
async function notified(address: string): Promise<Child> {
  const child = new Child('python3', [player, 'notify', address]);
  await eventually('the socket', () => child.stdout.includes('bound'));
  return child;
}

async function told(manager: Child, pattern: RegExp): Promise<RegExpExecArray> {
  return eventually(String(pattern), () => pattern.exec(manager.stdout) ?? undefined).catch(
    (error: unknown) => {
      throw new Error(manager.stdout, { cause: error });
    },
  );
}

/** Started with listening sockets, as a socket unit has it. */
function passing(
  places: readonly string[],
  variables: readonly string[],
  args: readonly string[],
): Child {
  return new Child(
    'python3',
    [player, 'listen', places.join(), ...variables, '--', launcher, 'serve', ...args],
    { env: systemPath },
  );
}

async function firstLine(port: number, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    socket.setTimeout(15_000, () => socket.destroy(new Error('nothing came')));
    socket.once('error', reject);
    socket.once('data', (chunk) => {
      socket.destroy();
      resolve(chunk.toString('latin1'));
    });
  });
}

async function stay(ground: Ground): Promise<Child> {
  const child = new Child('ssh', sshArguments(ground, { key }, 'echo in; cat'), {
    env: { PATH: '/usr/bin:/bin', HOME: '/root' },
  });
  await eventually('the login', () => child.stdout.includes('in\n'));
  return child;
}

async function echoes(client: Child, word: string): Promise<void> {
  client.process.stdin?.write(`${word}\n`);
  await eventually(`${word} comes back`, () => client.stdout.endsWith(`${word}\n`));
}

async function leave(client: Child): Promise<void> {
  client.process.stdin?.end();
  assert.equal((await client.finished).code, 0, client.stderr);
}

describe('as a service', lab, () => {
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
  });

  for (const kind of ['a path', 'an abstract name'] as const) {
    test(`READY, RELOADING, STOPPING and the watchdog, to ${kind}`, async () => {
      await using ground = await Ground.make();
      const address = kind === 'a path' ? ground.file('notify') : `@notify-${process.pid}`;
      await using manager = await notified(address);
      await using daemon = new Child(launcher, ['serve', '-D', '-e', '-f', ground.configFile], {
        env: { ...systemPath, NOTIFY_SOCKET: address, WATCHDOG_USEC: '400000' },
      });
      await told(
        manager,
        new RegExp(`READY=1\\nSTATUS=Listening on 127\\.0\\.0\\.1 port ${ground.port}\\.`),
      );
      assert.match(daemon.stderr, /Server listening on/, 'said when it is so');
      assert.doesNotMatch(manager.stdout, /MAINPID/, 'it is the process that was started');
      await told(manager, /(WATCHDOG=1\n--\n[\s\S]*){3}/);
      daemon.process.kill('SIGHUP');
      const [, usec] = await told(
        manager,
        /RELOADING=1\nMONOTONIC_USEC=(\d+)\n--\n(?:WATCHDOG=1\n--\n)*READY=1\nSTATUS=New connections follow/,
      );
      const uptimeUsec = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1e6;
      assert.ok(Math.abs(uptimeUsec - Number(usec)) < 30e6, `${usec} of ${uptimeUsec}`);
      ground.configure(['NoSuchKeyword']);
      daemon.process.kill('SIGHUP');
      await told(manager, /READY=1\nSTATUS=The configuration was not changed/);
      const client = await stay(ground);
      for (const { pid, title } of processTree(daemon.pid).filter(
        (entry) => entry.pid !== daemon.pid,
      )) {
        assert.doesNotMatch(readProcFile(pid, 'environ'), /NOTIFY_SOCKET|WATCHDOG_/, title);
      }
      daemon.process.kill('SIGTERM');
      await told(manager, /STOPPING=1\nSTATUS=No new connections/);
      const last = manager.stdout;
      await echoes(client, 'still');
      await leave(client);
      assert.equal((await daemon.finished).code, 0);
      assert.equal(
        manager.stdout.slice(last.indexOf('STOPPING=1')).split('--').length,
        2,
        'the last word',
      );
    });
  }

  test('without -D: MAINPID is the daemon, told by the launcher', async () => {
    await using ground = await Ground.make();
    await using manager = await notified(ground.file('notify'));
    await using start = new Child(
      launcher,
      ['serve', '-E', ground.file('log'), '-f', ground.configFile],
      {
        env: { ...systemPath, NOTIFY_SOCKET: ground.file('notify') },
      },
    );
    assert.equal((await start.finished).code, 0, start.stderr);
    const [, pid] = await told(manager, /MAINPID=(\d+)\nREADY=1/);
    try {
      await eventually('the pid file', () => existsSync(ground.pidFile));
      assert.equal(readFileSync(ground.pidFile, 'utf8'), `${pid}\n`);
      assert.equal(manager.stdout.split('READY=1').length, 2, 'once');
      assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
    } finally {
      process.kill(Number(pid), 'SIGTERM');
    }
    await told(manager, /STOPPING=1/);
    await eventually('it ends', () => readProcFile(Number(pid), 'stat') === '');
  });

  test('sockets that are passed stand in for Port and ListenAddress, reloads included', async () => {
    await using ground = await Ground.make();
    const [first, second] = [await freePort(), await freePort()];
    const daemon = passing(
      [`127.0.0.1:${first}`, `:::${second}`],
      ['LISTEN_FDNAMES=one:two'],
      ['-D', '-e', '-f', ground.configFile],
    );
    try {
      await listening(daemon);
      for (const place of [`127.0.0.1 port ${first}`, `:: port ${second}`]) {
        const line = `Server listening on ${place}.`;
        await eventually(line, () => daemon.stderr.includes(line));
      }
      await assert.rejects(firstLine(ground.port), /ECONNREFUSED/);
      assert.match(await firstLine(second, '::1'), /^SSH-2\.0-sshdesk/);
      ground.knows(first);
      ground.knows(second);
      const at = (port: number) => ({ port, knownHosts: ground.knownHosts });
      // A socket of both families: rules and log see the address that it is.
      ground.configure(['AllowUsers alice@127.0.0.1']);
      daemon.process.kill('SIGHUP');
      await eventually('the reload', () => daemon.stderr.includes('New connections follow'));
      const outcome = await ssh(at(second), { key }, 'echo "$SSH_CONNECTION"; env');
      assert.match(
        outcome.text,
        new RegExp(`^127\\.0\\.0\\.1 \\d+ 127\\.0\\.0\\.1 ${second}\\n`),
        outcome.stderr,
      );
      assert.doesNotMatch(outcome.text, /LISTEN_/);
      assert.match(daemon.stderr, /Accepted publickey for alice from 127\.0\.0\.1 port/);
      assert.equal((await ssh(at(first), { key }, 'echo in')).text, 'in\n');
      for (const { pid, title } of processTree(daemon.pid).filter(
        (entry) => entry.pid !== daemon.pid,
      )) {
        assert.doesNotMatch(readProcFile(pid, 'environ'), /LISTEN_/, title);
      }
    } finally {
      await endTree(daemon);
    }
  });

  test('LISTEN_PID of somebody else: nothing was passed', async () => {
    await using ground = await Ground.make();
    const port = await freePort();
    const daemon = passing(
      [`127.0.0.1:${port}`],
      ['LISTEN_PID=1'],
      ['-D', '-e', '-f', ground.configFile],
    );
    try {
      await listening(daemon);
      assert.match(await firstLine(ground.port), /^SSH-2\.0-/);
    } finally {
      await endTree(daemon);
    }
  });

  for (const [what, places, variables, flags, pattern] of [
    [
      'a datagram socket',
      ['udp'],
      [],
      ['-D', '-e'],
      /descriptor 3 \(unknown\) of the service manager is a socket, not a listening TCP socket/,
    ],
    [
      'more than there are',
      ['127.0.0.1:0'],
      ['LISTEN_FDS=3'],
      ['-D', '-e'],
      /descriptor [45] \(unknown\) of the service manager is /,
    ],
    [
      'no number',
      ['127.0.0.1:0'],
      ['LISTEN_FDS=-1'],
      ['-D', '-e'],
      /LISTEN_FDS=-1 is not a number of sockets/,
    ],
    [
      'names for others',
      ['127.0.0.1:0'],
      ['LISTEN_FDNAMES=a:b'],
      ['-D', '-e'],
      /LISTEN_FDNAMES has 2 names for 1 sockets/,
    ],
    [
      'in the background',
      ['127.0.0.1:0'],
      [],
      [],
      /sockets of the service manager are for a daemon in the foreground/,
    ],
  ] as const) {
    test(`sockets that make no sense, ${what}: 255 and why`, async () => {
      await using ground = await Ground.make();
      await using daemon = passing(places, variables, [...flags, '-f', ground.configFile]);
      const { code, stderr } = await daemon.finished;
      assert.equal(code, 255, stderr);
      assert.match(stderr, pattern);
      assert.doesNotMatch(stderr, /^\s+at /m);
    });
  }

  test('--supervised: SIGTERM ends the first process, a successor has the port, the login goes on', async () => {
    await using ground = await Ground.make();
    await using manager = await notified(ground.file('notify'));
    const begin = (): Child =>
      new Child(launcher, ['serve', '--supervised', '-e', '-f', ground.configFile], {
        env: { ...systemPath, NOTIFY_SOCKET: ground.file('notify') },
      });
    const old = begin();
    await listening(old);
    await told(manager, /READY=1/);
    const monitor =
      processTree(old.pid).find(({ title }) => title === 'sshdesk: monitor')?.pid ?? 0;
    const client = await stay(ground);
    old.process.kill('SIGHUP');
    await eventually('SIGHUP is passed on', () => old.stderr.includes('New connections follow'));
    old.process.kill('SIGTERM');
    // `close` comes with the daemon's end, which has the same stderr: `exit` is meant.
    await eventually('the first process ends', () => old.hasExited);
    assert.equal(old.process.exitCode, 0);
    await told(manager, /STOPPING=1/);
    const young = begin();
    try {
      await listening(young);
      assert.equal((await ssh(ground, { key }, 'echo new')).text, 'new\n');
      await echoes(client, 'old');
      assert.ok(readProcFile(monitor, 'stat') !== '');
      await leave(client);
      await eventually('the old monitor ends', () => readProcFile(monitor, 'stat') === '');
      assert.equal((await ssh(ground, { key }, 'echo new')).text, 'new\n');
    } finally {
      young.process.kill('SIGTERM');
      await eventually('it ends', () => young.hasExited);
      await eventually(
        'all end',
        () => !allProcesses().some(({ title }) => /^sshdesk: /.test(title)),
      );
    }
  });

  test('--supervised: a daemon that dies or cannot start is told by the exit status', async () => {
    await using ground = await Ground.make();
    const begin = (): Child =>
      new Child(launcher, ['serve', '--supervised', '-e', '-f', ground.configFile], {
        env: systemPath,
      });
    const killed = begin();
    await listening(killed);
    process.kill(
      processTree(killed.pid).find(({ title }) => title === 'sshdesk: monitor')?.pid ?? 0,
      'SIGKILL',
    );
    assert.equal((await killed.finished).code, 137);
    const hung = begin();
    await listening(hung);
    const monitor =
      processTree(hung.pid).find(({ title }) => title === 'sshdesk: monitor')?.pid ?? 0;
    process.kill(monitor, 'SIGSTOP');
    hung.process.kill('SIGABRT'); // what a watchdog does
    assert.equal((await hung.finished).code, 137);
    const orphaned = begin();
    await listening(orphaned);
    orphaned.process.kill('SIGKILL');
    await eventually(
      'the daemon ends too',
      () => !allProcesses().some(({ title }) => /^sshdesk: monitor/.test(title)),
    );
    ground.configure(['NoSuchKeyword']);
    const broken = begin();
    const { code, stderr } = await broken.finished;
    assert.equal(code, 255);
    assert.match(stderr, /NoSuchKeyword/);
    const misplaced = await ground.ended('-D', '--supervised');
    assert.equal(misplaced.code, 1);
    assert.match(misplaced.stderr, /stands directly behind serve/);
  });

  test('--supervised: passed sockets and the watchdog are the daemon’s', async () => {
    await using ground = await Ground.make();
    const port = await freePort();
    await using manager = await notified(ground.file('notify'));
    const daemon = passing(
      [`127.0.0.1:${port}`],
      [`NOTIFY_SOCKET=${ground.file('notify')}`, 'WATCHDOG_USEC=400000'],
      ['--supervised', '-e', '-f', ground.configFile],
    );
    try {
      await listening(daemon);
      assert.match(await firstLine(port), /^SSH-2\.0-/);
      await told(manager, /(WATCHDOG=1\n--\n[\s\S]*){3}/);
    } finally {
      daemon.process.kill('SIGTERM');
      await daemon.finished;
    }
  });
});
