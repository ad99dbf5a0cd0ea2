/**
 * How the daemon ends, is killed, and is started where something is missing; and without root.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Child, eventually } from '../support/child.ts';
import { end, Ground, listening } from '../support/daemon.ts';
import {
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  run,
  type TestKey,
} from '../support/lab.ts';
import {
  allProcesses,
  openDescriptors,
  type ProcessEntry,
  processTree,
  readProcFile,
} from '../support/server.ts';
import { ssh, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const launcher = path.join(checkout, 'sshdesk');
let key: TestKey;
let alice: LabUser;

const ofServer = (entry: ProcessEntry): boolean => /^sshdesk: |main\.ts serve/.test(entry.title);
const find = (pid: number, pattern: RegExp): readonly ProcessEntry[] =>
  processTree(pid).filter(({ title }) => pattern.test(title));
const isAlive = (pid: number): boolean => readProcFile(pid, 'stat') !== '';

/** A login that echoes until its input ends. */
function stay(ground: Ground, more: readonly string[] = []): Child {
  return new Child('ssh', sshArguments(ground, { key, args: [...more] }, 'echo in; cat'), {
    env: { PATH: '/usr/bin:/bin', HOME: '/root' },
  });
}

async function isIn(...clients: readonly Child[]): Promise<void> {
  await eventually('the login', () => clients.every(({ stdout }) => stdout.includes('in\n')));
}

async function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
  });
}

async function echoes(client: Child, word: string): Promise<void> {
  client.process.stdin?.write(`${word}\n`);
  await eventually(`${word} comes back`, () => client.stdout.endsWith(`${word}\n`));
}

interface Listed {
  readonly id: string;
  readonly state: string;
  readonly owner: string;
}

/** undefined: nobody answers, yet or any more. */
function listed(): readonly Listed[] | undefined {
  const { status, stdout } = spawnSync(launcher, ['sessions', 'list', '--json'], {
    encoding: 'utf8',
  });
  return status === 0 ? (JSON.parse(stdout) as readonly Listed[]) : undefined;
}

/** Whatever a test has left, by its leader; the next one is to find nothing. */
async function endDesktops(): Promise<void> {
  const servers = allProcesses().filter(({ title }) => /^\S*Xvnc/.test(title));
  const leaders = servers.map(({ parent }) => parent);
  await end(allProcesses().filter(({ pid }) => leaders.includes(pid)));
  await end(servers);
}

/** Nothing of the server is left but what a desktop needs. */
async function nothingLeft(): Promise<void> {
  await eventually('they end', () => !allProcesses().some(ofServer), 6_000).catch(() => undefined);
  assert.deepEqual(allProcesses().filter(ofServer), []);
}

describe('the daemon', lab, () => {
  before(() => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
  });

  test('SIGTERM with nobody there: it ends at once, 0, and leaves nothing', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    await eventually('the pid file', () => existsSync(ground.pidFile));
    const began = Date.now();
    daemon.process.kill('SIGTERM');
    assert.equal((await daemon.finished).code, 0);
    assert.ok(Date.now() - began < 5_000, `${Date.now() - began} ms`);
    await nothingLeft();
    assert.ok(!existsSync(ground.pidFile));
    assert.ok(!existsSync('/run/sshdesk/control.sock'));
  });

  test('SIGTERM drains: closed at once, the login goes on, ends with the last of them', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const [first, second] = [stay(ground), stay(ground)];
    await isIn(first, second);
    const sleeping = connect(ground.port, '127.0.0.1');
    sleeping.on('error', () => undefined);
    await new Promise((resolve) => sleeping.once('data', resolve));
    daemon.process.kill('SIGTERM');
    await eventually('nobody listens', () => isRefused(ground.port));
    assert.equal(processTree(daemon.pid)[0]?.title, 'sshdesk: monitor [draining]');
    assert.ok(!existsSync(ground.pidFile));
    assert.match(daemon.stderr, /Received signal 15; terminating\./);
    await echoes(first, 'still');
    sleeping.destroy();
    first.process.stdin?.end();
    assert.equal((await first.finished).code, 0);
    await delay(300);
    assert.ok(!daemon.hasExited, 'one is still in');
    await echoes(second, 'me too');
    second.process.stdin?.end();
    assert.equal((await second.finished).code, 0);
    assert.equal((await daemon.finished).code, 0);
    await nothingLeft();
  });

  test('new sessions are opened in a connection that is drained', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const socket = ground.file('mux');
    const master = stay(ground, ['-M', '-S', socket]);
    await isIn(master);
    daemon.process.kill('SIGTERM');
    await eventually('nobody listens', () => isRefused(ground.port));
    const outcome = await ssh(ground, { key, args: ['-S', socket] }, 'echo second');
    assert.equal(outcome.text, 'second\n', outcome.stderr);
    master.process.stdin?.end();
    await master.finished;
    assert.equal((await daemon.finished).code, 0);
  });

  for (const signals of [['SIGTERM', 'SIGTERM'], ['SIGINT']] as const) {
    test(`${signals.join(', ')}: live logins get a DISCONNECT, and it ends with 0`, async () => {
      await using ground = await Ground.make();
      const daemon = await ground.daemon();
      const clients = [stay(ground), stay(ground), stay(ground)];
      await isIn(...clients);
      for (const signal of signals) {
        daemon.process.kill(signal);
        await delay(150);
      }
      for (const client of clients) {
        const { code, stderr } = await client.finished;
        assert.equal(code, 255);
        assert.match(
          stderr,
          /Received disconnect from 127\.0\.0\.1 port \d+:11: The server is shut down/,
        );
      }
      assert.equal((await daemon.finished).code, 0);
      await nothingLeft();
    });
  }

  test('a new daemon starts while the old one drains, with its port and pid file', async () => {
    await using ground = await Ground.make();
    const old = await ground.daemon();
    const client = stay(ground);
    await isIn(client);
    old.process.kill('SIGTERM');
    await eventually('nobody listens', () => isRefused(ground.port));
    const young = await ground.daemon();
    await eventually('the pid file', () => existsSync(ground.pidFile));
    assert.equal((await ssh(ground, { key }, 'echo new')).text, 'new\n');
    await echoes(client, 'old');
    assert.deepEqual(await eventually('the new one answers', () => listed()), []);
    const logins = JSON.parse(run(launcher, ['who', '--json'])) as readonly unknown[];
    assert.equal(logins.length, 1, 'the login of the old one');
    client.process.stdin?.end();
    await client.finished;
    assert.equal((await old.finished).code, 0);
    assert.equal(readFileSync(ground.pidFile, 'utf8'), `${young.pid}\n`, 'the new one’s stays');
    assert.ok(existsSync('/run/sshdesk/control.sock'));
    assert.equal((await ssh(ground, { key }, 'echo new')).text, 'new\n');
    young.process.kill('SIGTERM');
    assert.equal((await young.finished).code, 0);
    await nothingLeft();
  });

  test('the monitor killed by -9: workers, zygote and login leaders end, desktops stay', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const client = stay(ground);
    await isIn(client);
    const viewer = new Child('ssh', sshArguments(ground, { key, args: ['-s'] }, 'rfb'), {
      env: { PATH: '/usr/bin:/bin', HOME: '/root' },
    });
    await eventually('a desktop', () => viewer.stdout.startsWith('RFB 003.008\n'), 20_000);
    const ofDesktop = allProcesses().find(({ title }) => /^\S*Xvnc/.test(title)) as ProcessEntry;
    const desktopLeader = ofDesktop.parent;
    await using _ended = { [Symbol.asyncDispose]: () => endDesktops() };
    daemon.process.kill('SIGKILL');
    assert.equal((await client.finished).code, 255);
    await viewer.stop();
    await eventually(
      'all of them end',
      () =>
        allProcesses().filter((entry) => ofServer(entry) && entry.pid !== desktopLeader).length ===
        0,
      6_000,
    ).catch(() => undefined);
    assert.deepEqual(
      allProcesses().filter((entry) => ofServer(entry) && entry.pid !== desktopLeader),
      [],
    );
    assert.ok(isAlive(ofDesktop.pid) && isAlive(desktopLeader));
    const again = await ground.daemon();
    const desktop = await eventually('the desktop is known', () => listed()?.[0]);
    assert.deepEqual([desktop.owner, desktop.state], ['alice', 'detached']);
    run(launcher, ['sessions', 'terminate', desktop.id]);
    await eventually('it ends', () => !isAlive(ofDesktop.pid));
    again.process.kill('SIGTERM');
    await again.finished;
    await nothingLeft();
  });

  for (const [name, signals] of [
    ['two SIGTERMs', ['SIGTERM', 'SIGTERM']],
    ['SIGKILL', ['SIGKILL']],
  ] as const) {
    test(`a worker that hangs does not hold the daemon up, nor outlive it: ${name}`, async () => {
      await using ground = await Ground.make();
      const daemon = await ground.daemon();
      const client = stay(ground);
      await isIn(client);
      const workers = find(daemon.pid, /^sshdesk: worker/);
      for (const { pid } of workers) {
        process.kill(pid, 'SIGSTOP');
      }
      try {
        for (const signal of signals) {
          daemon.process.kill(signal);
          await delay(100);
        }
        const timer = setTimeout(() => daemon.process.kill('SIGKILL'), 6_000);
        const { code } = await daemon.finished;
        clearTimeout(timer);
        assert.equal(code, name === 'SIGKILL' ? null : 0);
        await nothingLeft();
        assert.equal((await client.finished).code, 255);
      } finally {
        await end(workers);
      }
    });
  }

  test('the zygote killed by -9: the daemon says so and ends with 255, at once', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const client = stay(ground);
    await isIn(client);
    const [zygote] = find(daemon.pid, /^sshdesk: zygote/);
    process.kill((zygote as ProcessEntry).pid, 'SIGKILL');
    const timer = setTimeout(() => daemon.process.kill('SIGKILL'), 5_000);
    const { code, stderr } = await daemon.finished;
    clearTimeout(timer);
    assert.equal(code, 255, stderr);
    assert.match(stderr, /the zygote is gone/);
    assert.equal((await client.finished).code, 255);
    await nothingLeft();
    assert.ok(!existsSync(ground.pidFile));
  });

  test('without the system user sshdesk: exit 255 with the remedy, nothing started', async () => {
    await using ground = await Ground.make();
    const [passwd, shadow] = ['/etc/passwd', '/etc/shadow'].map((file) => readFileSync(file));
    try {
      run('userdel', ['sshdesk']);
      for (const flags of [['-D'], []]) {
        const finished = await ground.ended(...flags, '-f', ground.configFile);
        assert.equal(finished.code, 255);
        assert.match(finished.stderr, /system user sshdesk does not exist.*\.\/setup/);
        assert.doesNotMatch(finished.stderr, /^\s+at /m);
      }
    } finally {
      writeFileSync('/etc/passwd', passwd as Buffer);
      writeFileSync('/etc/shadow', shadow as Buffer);
      run('sh', ['-c', 'getent group sshdesk || groupadd --system sshdesk']);
    }
    await nothingLeft();
  });

  test('an installation that workers may not read: exit 255, the place and the remedy', async () => {
    const copy = '/var/lib/copy-of-sshdesk';
    cpSync(checkout, copy, {
      recursive: true,
      filter: (source) => !/\/(\.git|test|docs|obj\.target)$/.test(source),
    });
    try {
      await using ground = await Ground.make({ launcher: path.join(copy, 'sshdesk') });
      assert.equal((await ground.ended('-t', '-f', ground.configFile)).code, 0);
      for (const [place, mode] of [
        [copy, 0o700],
        [path.join(copy, 'src/process/worker.ts'), 0o600],
      ] as const) {
        const before = statSync(place).mode;
        chmodSync(place, mode);
        for (const flags of [['-D'], []]) {
          const finished = await ground.ended(...flags, '-f', ground.configFile);
          assert.equal(finished.code, 255);
          assert.match(finished.stderr, new RegExp(`${place}: Permission denied`));
          assert.match(finished.stderr, new RegExp(`chmod -R go\\+rX ${copy}`));
          assert.doesNotMatch(finished.stderr, /Cannot find module|^\s+at /m);
        }
        chmodSync(place, before);
        await nothingLeft();
      }
      const fences = path.join(copy, 'src/process/worker-confinement.ts');
      const whole = readFileSync(fences, 'utf8');
      const spoilt = whole.replace(
        "['seccomp', installSeccomp]",
        "['seccomp', () => { throw new NativeError('seccomp', 1, 'no filter here'); }]",
      );
      assert.notEqual(spoilt, whole);
      writeFileSync(fences, spoilt);
      const unfenced = await ground.ended('-D', '-e', '-f', ground.configFile);
      assert.equal(unfenced.code, 255, 'a worker that cannot confine itself serves nobody');
      assert.match(unfenced.stderr, /confinement: no filter here/);
      writeFileSync(fences, whole);
      await nothingLeft();
      // A home that only its owner may enter is none of the workers' business.
      chmodSync('/var/lib', 0o700);
      const daemon = await ground.daemon();
      assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n', daemon.stderr);
    } finally {
      chmodSync('/var/lib', 0o755);
      rmSync(copy, { recursive: true });
    }
  });

  test('the control socket and its folders have the modes that they should', async () => {
    await using ground = await Ground.make();
    await ground.daemon();
    await eventually('the socket', () => existsSync('/run/sshdesk/control.sock'));
    for (const [place, mode] of [
      ['/run/sshdesk', 0o755],
      ['/run/sshdesk/control.sock', 0o666],
      ['/run/sshdesk/desktops', 0o711],
      ['/run/sshdesk/desktops.lock', 0o600],
      ['/var/lib/sshdesk', 0o700],
      ['/tmp/.X11-unix', 0o1777],
    ] as const) {
      const status = statSync(place);
      assert.deepEqual([status.mode & 0o7777, status.uid, status.gid], [mode, 0, 0], place);
    }
    assert.equal(statSync('/var/lib/sshdesk/state.db').mode & 0o077, 0, 'the store');
  });

  test('a umask of the caller does not matter', async () => {
    for (const mask of ['000', '077']) {
      const masked = `/tmp/masked-${mask}`;
      writeFileSync(masked, `#!/bin/sh\numask ${mask}\nexec ${launcher} "$@"\n`, { mode: 0o755 });
      chmodSync(masked, 0o755);
      rmSync('/run/sshdesk', { recursive: true, force: true });
      rmSync('/var/lib/sshdesk', { recursive: true, force: true });
      await using ground = await Ground.make({ launcher: masked });
      await ground.daemon();
      await eventually('the socket', () => existsSync('/run/sshdesk/control.sock'));
      assert.equal(statSync('/run/sshdesk').mode & 0o7777, 0o755, mask);
      assert.equal(statSync('/run/sshdesk/control.sock').mode & 0o777, 0o666, mask);
      assert.equal(statSync('/run/sshdesk/desktops').mode & 0o7777, 0o711, mask);
      assert.equal(statSync('/var/lib/sshdesk').mode & 0o7777, 0o700, mask);
      assert.equal(statSync('/var/lib/sshdesk/state.db').mode & 0o077, 0, mask);
      assert.equal(
        (await ssh(ground, { key }, 'umask; touch made; stat -c %a made')).text,
        '0022\n644\n',
      );
    }
  });

  test('/proc of monitor, zygote and leader: not dumpable, no core, no secret, their links', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const client = stay(ground);
    await isIn(client);
    for (const pattern of [/^sshdesk: monitor/, /^sshdesk: zygote/, /^sshdesk: leader alice/]) {
      const [entry] = find(daemon.pid, pattern);
      const { pid, title } = entry as ProcessEntry;
      const status = readProcFile(pid, 'status');
      assert.match(status, /^Uid:\t0\t0\t0\t0$/m, title);
      assert.match(readProcFile(pid, 'limits'), /^Max core file size\s+0\s/m, title);
      for (const line of openDescriptors(pid)) {
        assert.doesNotMatch(line, /host_key|shadow|authorized_keys|\(deleted\)$/, title);
        if (!/monitor/.test(title)) {
          assert.doesNotMatch(line, /state\.db|desktops\.lock/, title);
        }
      }
    }
    for (const pattern of [/^sshdesk: zygote/, /^sshdesk: leader alice/]) {
      const [entry] = find(daemon.pid, pattern);
      const environment = readProcFile((entry as ProcessEntry).pid, 'environ');
      assert.doesNotMatch(environment, /[A-Z]+=/, pattern.source);
    }
    client.process.stdin?.end();
    await client.finished;
  });

  describe('without root', () => {
    let bob: LabUser;
    before(() => {
      bob = makeUser('bob', { authorizedKeys: [key.line] });
    });

    /** The ground belongs to alice, and what is started there runs as her. */
    async function aliceGround(config: readonly string[] = []): Promise<Ground> {
      const asAlice = '/usr/local/bin/as-alice';
      writeFileSync(
        asAlice,
        `#!/bin/sh\nexport HOME=${alice.home}\nexec setpriv --reuid ${alice.uid} --regid ${alice.gid} --init-groups ${launcher} "$@"\n`,
      );
      chmodSync(asAlice, 0o755);
      const ground = await Ground.make({ launcher: asAlice, config });
      run('chown', ['-R', 'alice:alice', ground.folder]);
      return ground;
    }

    test('serves the invoking user and says so; others are refused like unknown ones', async () => {
      await using ground = await aliceGround(['LogLevel VERBOSE']);
      const daemon = await ground.daemon();
      assert.match(daemon.stderr, /Not root: serving the invoking user only/);
      const outcome = await ssh(ground, { key }, 'id -un; id -G; pwd');
      assert.equal(outcome.text, `alice\n${run('id', ['-G', 'alice'])}${alice.home}\n`);
      for (const { pid, title, uid } of processTree(daemon.pid)) {
        assert.equal(uid, alice.uid, `${title} ${pid}`);
      }
      const texts = new Set<string>();
      for (const user of ['bob', 'root', 'nobody-such']) {
        const refused = await ssh(ground, { key, user }, 'true');
        assert.deepEqual([refused.status, refused.text], [255, '']);
        texts.add(refused.stderr.replaceAll(user, 'U'));
      }
      assert.equal(texts.size, 1, [...texts].join());
      assert.match([...texts].join(), /Permission denied \(publickey\)/);
      assert.doesNotMatch(daemon.stderr, /Accepted publickey for (bob|root)/);
      assert.ok(statSync(bob.home).isDirectory());
    });

    test('a terminal, files, and -o keywords', async () => {
      await using ground = await aliceGround([
        'AcceptEnv MARK',
        'Subsystem sftp /usr/lib/openssh/sftp-server',
      ]);
      await ground.daemon(
        '-o',
        'PermitTTY=no',
        '-o',
        'ForceCommand=echo "$SSH_ORIGINAL_COMMAND/$MARK"',
      );
      const outcome = await ssh(ground, { key, args: ['-o', 'SetEnv=MARK=here'] }, 'what');
      assert.equal(outcome.text, 'what/here\n', outcome.stderr);
      const terminal = await ssh(ground, { key, args: ['-tt'] }, 'tty');
      assert.match(terminal.stderr, /PTY allocation request failed/);
      await using other = await aliceGround(['Subsystem sftp /usr/lib/openssh/sftp-server']);
      await other.daemon();
      const tty = await ssh(other, { key, args: ['-tt'] }, 'tty; stty size');
      assert.match(tty.text, /^\/dev\/pts\/\d+\r\n/, tty.stderr);
      assert.equal((await ssh(other, { key, args: ['-s'], input: '' }, 'sftp')).status, 0);
    });

    test('UsePAM and passwords count for nothing; only keys are offered', async () => {
      await using ground = await aliceGround([
        'UsePAM yes',
        'PAMServiceName nothing-there',
        'PasswordAuthentication yes',
        'KbdInteractiveAuthentication yes',
      ]);
      const daemon = await ground.daemon();
      assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n', daemon.stderr);
      const outcome = await ssh(ground, { args: ['-o', 'BatchMode=yes'] }, 'true');
      assert.match(outcome.stderr, /Permission denied \(publickey\)\./);
    });

    test('its socket, store and folders are its own, 0700', async () => {
      await using ground = await aliceGround();
      const daemon = await ground.daemon();
      const state = path.join(alice.home, '.local/state/sshdesk');
      const socket = path.join(state, 'run/control.sock');
      // Another one of hers may have had the desktops a moment ago.
      await eventually(
        'the socket',
        () => existsSync(socket) && (statSync(socket).mode & 0o777) === 0o600,
      );
      for (const place of [state, path.join(state, 'run'), path.join(state, 'run/desktops')]) {
        const status = statSync(place);
        assert.deepEqual([status.mode & 0o777, status.uid], [0o700, alice.uid], place);
      }
      assert.equal(statSync(socket).mode & 0o777, 0o600);
      assert.equal(statSync(path.join(state, 'state.db')).mode & 0o077, 0);
      daemon.process.kill('SIGTERM');
      assert.equal((await daemon.finished).code, 0);
      assert.ok(!existsSync(socket));
      await nothingLeft();
    });

    test('XDG_RUNTIME_DIR is where the socket goes when there is one', async () => {
      const runtime = '/run/user-of-alice';
      mkdirSync(runtime, { mode: 0o700 });
      chownSync(runtime, alice.uid, alice.gid);
      await using ground = await Ground.make({
        launcher: '/usr/local/bin/as-alice',
        environment: { XDG_RUNTIME_DIR: runtime },
      });
      run('chown', ['-R', 'alice:alice', ground.folder]);
      await ground.daemon();
      await eventually('the socket', () => existsSync(`${runtime}/sshdesk/control.sock`));
      assert.equal(statSync(`${runtime}/sshdesk`).mode & 0o777, 0o700);
    });

    test('root’s port and files that it may not read are told in one line, 255', async () => {
      await using ground = await aliceGround();
      const port = await ground.ended('-D', '-e', '-f', ground.configFile, '-p', '23');
      assert.equal(port.code, 255);
      assert.match(port.stderr, /Bind to port 23 on 127\.0\.0\.1 failed: .*[Pp]ermission denied/);
      const root = await ground.ended('-t', '-f', '/dev/null', '-h', '/etc/shadow');
      assert.match(root.stderr, /Unable to load host key: \/etc\/shadow: .*permission denied/i);
      assert.equal(root.code, 255);
    });

    test('the worker is confined as far as it goes, and what is missing is logged', async () => {
      await using ground = await aliceGround();
      const daemon = await ground.daemon();
      await listening(daemon);
      await eventually('two', () => find(daemon.pid, /^sshdesk: worker/).length >= 2);
      for (const { pid, title } of find(daemon.pid, /^sshdesk: worker/)) {
        const status = readProcFile(pid, 'status');
        assert.match(status, /^NoNewPrivs:\s*1$/m, title);
        assert.match(status, /^Seccomp:\s*2$/m, title);
        assert.match(status, /^CapEff:\s*0+$/m, title);
        assert.equal(statSync(`/proc/${pid}/environ`).uid, 0, 'not dumpable');
        assert.ok(readdirSync(`/proc/${pid}/task`).length > 1);
      }
    });
  });

  test('every process is gone at the end', async () => {
    await nothingLeft();
  });
});
