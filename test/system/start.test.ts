/**
 * `./setup` and `./sshdesk start` as root, under sudo and as a plain user: what they say is pasted
 * into a shell and must work. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Child, eventually, run } from '../support/child.ts';
import { checkout, findUser, inLab, type LabUser, makeUser } from '../support/lab.ts';

const lab = inLab(import.meta.url);
const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** `env -i` with nothing but a PATH and a home, as the account; root stays root. */
function emptied(user: LabUser, command: string, more: readonly string[] = []): [string, string[]] {
  const clean = ['env', '-i', `PATH=${systemPath}`, `HOME=${user.home}`, ...more];
  const shell = [...clean, 'sh', '-c', command];
  const as = ['--reuid', String(user.uid), '--regid', String(user.gid), '--init-groups'];
  return ['setpriv', [...(user.uid === 0 ? [] : as), ...shell]];
}

describe('setup and start', lab, () => {
  let root: LabUser;
  let carol: LabUser;
  const children: Child[] = [];

  before(() => {
    root = findUser('root');
    carol = makeUser('carol');
  });

  async function started(as: LabUser, port: number, more: readonly string[] = []) {
    const [file, args] = emptied(as, `cd ${checkout} && exec ./sshdesk start -p ${port}`, more);
    const child = new Child(file, args);
    children.push(child);
    const lines = await eventually('the two lines', () => {
      assert.ok(!child.hasExited, child.stdout + child.stderr);
      const found = child.stdout
        .split('\n')
        .filter((line) => /^(ssh|\.\/sshdesk connect) /.test(line));
      return found.length === 2 && found;
    });
    return { child, shell: lines[0] as string, desktop: lines[1] as string };
  }

  /** Not `Child.stop`: a desktop goes on, and whatever it holds of the terminal's with it. */
  async function interrupt(child: Child, signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    child.process.kill(signal);
    await eventually('the end of start', () => child.hasExited);
    assert.equal(child.process.exitCode, 0);
  }

  after(() => {
    for (const { process: child } of children) {
      child.kill('SIGKILL');
      child.stdout?.destroy();
      child.stderr?.destroy();
    }
  });

  /** As a person would: pasted into a shell in the checkout, with nobody there to answer. */
  async function pasted(as: LabUser, line: string) {
    const [file, args] = emptied(as, `cd ${checkout} && ${line}`);
    return run(file, args, { timeoutMs: 40_000 });
  }

  function checkFolder(user: LabUser, port: number): Record<string, string> {
    const folder = path.join(user.home, '.local/share/sshdesk');
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    const content: Record<string, string> = {};
    const files = ['host_key', 'login_key', 'authorized_keys', 'known_hosts'];
    for (const name of [...files, `sshd_config-${port}`]) {
      const status = statSync(path.join(folder, name));
      assert.equal(status.mode & 0o777, 0o600, name);
      assert.equal(status.uid, user.uid, name);
      content[name] = readFileSync(path.join(folder, name), 'utf8');
    }
    return content;
  }

  test('a plain user is served by their own server, with a shell and a desktop', async () => {
    const { child, shell, desktop } = await started(carol, 2301);
    checkFolder(carol, 2301);
    const login = await pasted(carol, `${shell} 'id -un; exit 3'`);
    assert.deepEqual([login.stdout, login.code], ['carol\n', 3], login.stderr);
    const picture = path.join(carol.home, 'seen.png');
    const shot = await pasted(carol, `${desktop} --screenshot ${picture}`);
    assert.equal(shot.code, 0, shot.stderr);
    assert.equal(readFileSync(picture).subarray(1, 4).toString(), 'PNG');
    await interrupt(child);
  });

  test('under sudo the keys are the invoking user’s, and root mode serves them', async () => {
    const dave = makeUser('dave');
    const { child, shell } = await started(root, 2302, ['SUDO_USER=dave', 'SUDO_UID=1']);
    const content = checkFolder(dave, 2302);
    assert.match(content['sshd_config-2302'] as string, /^UsePAM yes$/m);
    assert.match(content['sshd_config-2302'] as string, /^AllowUsers dave$/m);
    const login = await pasted(dave, `${shell} 'id -un'`);
    assert.equal(login.stdout, 'dave\n', login.stderr);
    assert.ok(!existsSync(path.join(root.home, '.local/share/sshdesk')));
    await interrupt(child);
  });

  test('promises a viewer only where there is a display', async () => {
    const without = await started(carol, 2307);
    assert.match(without.desktop, / --screenshot ~\/desktop\.png$/);
    assert.match(without.child.stdout, /--listen 5901/);
    await interrupt(without.child);
    const withOne = await started(carol, 2307, ['DISPLAY=:7']);
    assert.doesNotMatch(withOne.child.stdout, /--screenshot|--listen/);
    await interrupt(withOne.child);
  });

  test('what is no port is a fault of usage', async () => {
    for (const port of ['abc', '0', '65536', '22x', '-1']) {
      const outcome = await run(...emptied(carol, `cd ${checkout} && ./sshdesk start -p ${port}`));
      assert.equal(outcome.code, 2, `${port}: ${outcome.stderr}`);
      assert.match(outcome.stderr, /port|argument/i);
    }
  });

  test('a second start keeps the keys', async () => {
    const first = await started(root, 2303);
    const before = checkFolder(root, 2303);
    await interrupt(first.child);
    const second = await started(root, 2303);
    assert.deepEqual(checkFolder(root, 2303), before);
    assert.doesNotMatch(second.child.stdout, /made/);
    assert.equal((await pasted(root, `${second.shell} 'id -un'`)).stdout, 'root\n');
    await interrupt(second.child);
  });

  test('a link placed in the user’s folder reaches nothing of root’s', async () => {
    const eve = makeUser('eve');
    const folder = path.join(eve.home, '.local/share/sshdesk');
    const victim = '/etc/victim';
    writeFileSync(victim, 'mine\n', { mode: 0o600 });
    const planted = emptied(
      eve,
      `mkdir -p ${folder} && ln -s ${victim} ${folder}/sshd_config-2304.new`,
    );
    assert.equal((await run(...planted)).code, 0);
    const [file, args] = emptied(root, `cd ${checkout} && exec ./sshdesk start -p 2304`, [
      'SUDO_USER=eve',
    ]);
    const outcome = await run(file, args);
    assert.equal(outcome.code, 255);
    assert.match(outcome.stderr, /EACCES/);
    assert.equal(readFileSync(victim, 'utf8'), 'mine\n');
  });

  test('a start on another port leaves what a running server needs', async () => {
    const gina = makeUser('gina');
    const first = await started(gina, 2316);
    const second = await started(gina, 2317);
    await interrupt(second.child);
    const login = await pasted(gina, `${first.shell} 'id -un'`);
    assert.equal(login.stdout, 'gina\n', login.stderr);
    await interrupt(first.child, 'SIGHUP'); // its terminal is closed
  });

  test('a key that others may read is refused, not used', async () => {
    const erin = makeUser('erin');
    const { child } = await started(erin, 2305);
    await interrupt(child);
    const key = path.join(erin.home, '.local/share/sshdesk/login_key');
    await run('chmod', ['644', key]);
    const outcome = await run(...emptied(erin, `cd ${checkout} && ./sshdesk start -p 2305`));
    assert.equal(outcome.code, 255);
    assert.ok(outcome.stderr.includes(key), outcome.stderr);
  });

  test('a port that is taken: exit 255, naming who has it', async () => {
    const server = createServer().listen(2306, '127.0.0.1');
    await once(server, 'listening');
    const asRoot = await run(...emptied(root, `cd ${checkout} && ./sshdesk start -p 2306`));
    assert.equal(asRoot.code, 255);
    assert.match(asRoot.stderr, new RegExp(`\\(pid ${process.pid}\\)`));
    const asCarol = await run(...emptied(carol, `cd ${checkout} && ./sshdesk start -p 2306`));
    assert.equal(asCarol.code, 255);
    assert.match(asCarol.stderr, /another user's process/);
    server.close();
  });

  test('the launcher works through a link, and says when there is no set-up', async () => {
    const link = path.join(carol.home, 'desk');
    await run('ln', ['-s', path.join(checkout, 'sshdesk'), link]);
    const outcome = await run(...emptied(carol, `${link} serve -V`));
    assert.equal(outcome.code, 0, outcome.stderr);
    await run('install', ['-m', '755', path.join(checkout, 'sshdesk'), '/opt/sshdesk-alone']);
    const alone = await run(...emptied(carol, '/opt/sshdesk-alone serve -V'));
    assert.equal(alone.code, 255);
    assert.match(alone.stderr, /run \/opt\/setup/);
    await run('rm', ['/opt/sshdesk-alone']);
  });

  test('setup with nothing missing does nothing, in less than a second', async () => {
    const begin = performance.now();
    const outcome = await run(...emptied(carol, `${checkout}/setup`));
    assert.deepEqual([outcome.code, outcome.stdout, outcome.stderr], [0, '', '']);
    assert.ok(performance.now() - begin < 1000);
  });

  test('setup without root names what is missing; with root and no network shows why', async () => {
    const status = '/var/lib/dpkg/status';
    const whole = readFileSync(status, 'utf8');
    const cut = whole.split('\n\n').filter((entry) => !entry.startsWith('Package: xauth\n'));
    assert.ok(cut.length < whole.split('\n\n').length);
    // In the lab /var is an overlay: the machine's own file stays as it is.
    writeFileSync(status, cut.join('\n\n'));
    await run('apt-get', ['clean']);
    try {
      const asCarol = await run(...emptied(carol, `${checkout}/setup`));
      assert.equal(asCarol.code, 1);
      assert.match(asCarol.stderr, /packages are missing: xauth\n.*sudo \.\/setup/s);
      const asRoot = await run(...emptied(root, `${checkout}/setup`), { timeoutMs: 90_000 });
      assert.equal(asRoot.code, 1);
      assert.match(asRoot.stderr, /xauth|apt-get update failed/);
    } finally {
      writeFileSync(status, whole);
    }
  });
});
