/**
 * The door for users' own processes under attack: `sshdesk subsystem` and its socket in the hands of a
 * user of the machine. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import type { ListedLogin } from '../../src/broker/control-logins.ts';
import { eventually } from '../support/child.ts';
import {
  type CommandOutcome,
  listDesktops,
  sshdeskCommand,
  startDesktopServer,
} from '../support/desktop-session.ts';
import {
  checkout,
  findUser,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  type TestKey,
} from '../support/lab.ts';
import { allProcesses, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 290_000);
const launcher = `${checkout}/sshdesk`;
const main = `${checkout}/src/cli/main.ts`;
const attacker = `${checkout}/test/system/hostile/local-visitor.ts`;
/** With what stands behind it in the file. */
const session = 'exec xterm\nMatch User carol\nLocalDesktops no';
const localSocket = '/run/sshdesk/local.sock';

describe('the local socket', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let bob: LabUser;
  before(async () => {
    alice = makeUser('alice');
    bob = makeUser('bob');
    makeUser('shut', { shell: '/nonexistent/shell' });
    makeUser('carol');
    key = makeKey('ed25519');
    makeUser('dave', { authorizedKeys: [`no-pty ${key.line}`] });
    makeUser('erin', { authorizedKeys: [key.line] });
    mkdirSync('/etc/sshdesk', { recursive: true });
    writeFileSync('/etc/sshdesk/sshdesk_config', `XSession ${session}\n`);
    server = await startDesktopServer(session);
  });
  after(async () => {
    await server?.stop();
  });
  afterEach(() => {
    for (const { id } of listDesktops()) {
      sshdeskCommand(['sessions', 'terminate', id]);
    }
  });

  const as = ({ uid, gid }: LabUser): readonly string[] => [
    ...['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'],
  ];

  function visit(
    user: LabUser,
    words: readonly string[],
    { input = '', environment = {}, shell = '' } = {},
  ): CommandOutcome {
    const node = [process.execPath, '--no-warnings', main, 'subsystem', ...words];
    const command = shell === '' ? node : ['sh', '-c', `exec "$@" ${shell}`, 'sh', ...node];
    const [file = '', ...rest] = [...as(user), ...command];
    const { status, stdout, stderr } = spawnSync(file, rest, {
      encoding: 'utf8',
      input,
      timeout: 30_000,
      env: { PATH: process.env.PATH, HOME: user.home, ...environment },
    });
    return { status, stdout, stderr };
  }
  /** What the attacker's program says, as JSON. */
  function attack(user: LabUser, ...words: readonly string[]): Record<string, unknown> {
    const [file = '', ...rest] = [
      ...as(user),
      ...[process.execPath, '--no-warnings', attacker, ...words],
    ];
    const { stdout, stderr, status } = spawnSync(file, rest, {
      encoding: 'utf8',
      timeout: 100_000,
      env: { PATH: process.env.PATH, HOME: user.home },
    });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  test('it is root’s, in root’s directory, and everybody may connect', () => {
    assert.equal(statSync(localSocket).mode & 0o777, 0o666);
    const directory = statSync('/run/sshdesk');
    assert.deepEqual([directory.uid, directory.mode & 0o777], [0, 0o755]);
  });

  test('odd arguments, environments and descriptors: a dialogue as oneself, or a clean no', () => {
    const greeting = 'NX> 103 Welcome to: host user: alice\n';
    const environment = {
      USER: 'root',
      LOGNAME: 'bob',
      HOME: '/root',
      XDG_RUNTIME_DIR: '/proc/self',
      SSH_CONNECTION: `127.0.0.1\n${'x'.repeat(5_000)} 1 \u001b[2J 22`,
      SSHDESK_SOFT_FILES: '-7',
      TMPDIR: '/nonexistent',
    };
    const odd = visit(alice, ['display'], { input: 'listsession\n\nquit\n', environment });
    assert.deepEqual([odd.status, odd.stderr], [0, '']);
    assert.ok(odd.stdout.includes(greeting), odd.stdout);
    for (const words of [
      [],
      ['sftp'],
      ['__proto__'],
      ['display', 'more'],
      ['--user=root', 'rfb'],
    ]) {
      const refused = visit(alice, words);
      assert.deepEqual([refused.status, refused.stdout], [2, ''], words.join(' '));
    }
    for (const shell of ['<&-', '>&-', '2>&-', '<&- >&- 2>&-', '</dev/null', '>/dev/null', '</']) {
      const { status } = visit(alice, ['display'], { shell, input: 'quit\n' });
      assert.equal(status, 0, shell);
    }
    const full = visit(alice, ['display'], { shell: '>/dev/full', input: 'quit\n' });
    assert.ok(full.status !== null);
    assert.deepEqual(listDesktops(), []);
  });

  test('another user’s name, desktop or patience: refused', async () => {
    assert.equal(
      visit(bob, ['display'], {
        input: 'startsession --type="unix-desktop" --session="his"\nquit\n',
      }).status,
      0,
    );
    const [his] = listDesktops(bob);
    assert.ok(his !== undefined);
    const said = attack(alice, 'pretend', 'bob', his.id);
    assert.deepEqual(said, {
      asBob: 'The account is not the one that asks.',
      asRoot: 'The account is not the one that asks.',
      asNobody: 'The account is not the one that asks.',
      withoutHello: 'Nobody has said whose desktops these are.',
      twice: 'Whose desktops these are was said before.',
      foundByName:
        'There is no such desktop, or several have this name: `sessions list` shows their ids.',
      attached:
        'There is no such desktop, or several have this name: `sessions list` shows their ids.',
      kept: 'There is no such desktop, or several have this name: `sessions list` shows their ids.',
      terminated:
        'There is no such desktop, or several have this name: `sessions list` shows their ids.',
      listed: 0,
      asMonitor: 'ended',
    });
    assert.deepEqual(
      listDesktops().map(({ id }) => id),
      [his.id],
    );
  });

  test('frames that are none, descriptors nobody wants, notices by the thousand', async () => {
    const base = await server.settled();
    assert.deepEqual(attack(alice, 'garbage'), { ended: 64 });
    assert.equal(visit(bob, ['display'], { input: 'quit\n' }).status, 0);
    assert.deepEqual(await server.leftovers(base), []);
  });

  test('1,000 connections of one user: others are served, and nothing is left', async () => {
    const base = await server.settled();
    const file = as(alice);
    const child = spawn(
      file[0] as string,
      [...file.slice(1), process.execPath, '--no-warnings', attacker, 'flood', '1000'],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    const [answer] = (await once(child.stdout, 'data')) as [Buffer];
    assert.deepEqual(JSON.parse(answer.toString()), { admitted: 64, turnedAway: 936 });
    const other = visit(bob, ['display'], { input: 'listsession\n\nquit\n' });
    assert.deepEqual([other.status, other.stderr], [0, '']);
    const there = JSON.parse(sshdeskCommand(['who', '--json']).stdout) as ListedLogin[];
    assert.equal(there.filter(({ user, via }) => user === 'alice' && via === 'sshd').length, 64);
    // One more of hers is told why.
    const more = visit(alice, ['display'], { input: 'listsession\n\nquit\n' });
    assert.match(more.stdout, /takes no more connections of this user now/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.deepEqual(await server.leftovers(base), []);
    assert.deepEqual(JSON.parse(sshdeskCommand(['who', '--json']).stdout), []);
  });

  const accounts = (): readonly (readonly [LabUser, RegExp])[] => [
    [findUser('shut'), /The account may not log in/],
    [findUser('carol'), /not open to logins of other servers here/],
  ];

  test('accounts without a shell, and those that LocalDesktops leaves out', () => {
    for (const [user, why] of accounts()) {
      const dialogue = visit(user, ['display'], { input: 'listsession\n\nquit\n' });
      assert.match(dialogue.stdout, why);
      assert.equal(dialogue.status, 0);
      const viewer = visit(user, ['rfb']);
      assert.deepEqual([viewer.status, viewer.stdout], [1, '']);
      assert.match(viewer.stderr, why);
    }
    assert.deepEqual(listDesktops(), []);
  });

  test('a login of sshdesk that may open no desktop gets none by hand', async () => {
    const command = `${launcher} subsystem rfb < /dev/null`;
    const options = (name: string) => ({ user: name, key });
    const barred = await ssh(server, options('dave'), command);
    assert.deepEqual([barred.status, barred.text], [1, '']);
    assert.match(barred.stderr, /Desktops are not permitted for this login/);
    // A process that has left its parents is still below the leader of its login.
    const orphan = await ssh(
      server,
      options('dave'),
      `(setsid sh -c '${command} > ~/out 2>&1; echo $? > ~/status' &) ; until [ -s ~/status ]; do sleep 0.1; done; cat ~/out ~/status`,
    );
    assert.match(orphan.text, /not permitted for this login[^]*\n1\n$/);
    const free = await ssh(server, options('erin'), command);
    assert.deepEqual([free.status, free.stderr], [0, '']);
    assert.match(free.text, /^RFB 003\.008\n/);
    assert.deepEqual(
      listDesktops().map(({ owner }) => owner),
      ['erin'],
    );
  });

  test('a login that may open no desktop: neither a dead process nor many of them stand for it', async () => {
    const visitor = `${process.execPath} --no-warnings ${attacker}`;
    // perl connects in a child, which is over when the program that has the socket speaks.
    const dead = `perl -MSocket -e '
      $^F = 255;
      socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die;
      my $child = fork;
      if (!$child) { connect($s, sockaddr_un("${localSocket}")) or exit 1; exit 0 }
      waitpid($child, 0); die if $?;
      exec(qw(${visitor} inherited), fileno($s));'`;
    // Each shell waits for the next one.
    const deep = `perl -e '
      for (1 .. 150) { my $child = fork; die unless defined $child; if ($child) { waitpid($child, 0); exit($? >> 8) } }
      exec(qw(${visitor} below));'`;
    for (const command of [dead, deep]) {
      for (const name of ['dave', 'erin']) {
        const { text, stderr } = await ssh(server, { user: name, key }, command);
        assert.deepEqual([text, stderr], ['{"said":"It cannot be told which login asks."}\n', '']);
      }
    }
  });

  test('killed at any moment of a start: a desktop or nothing, no half of one', async () => {
    const base = await server.settled();
    for (const afterMs of [50, 300, 500, 700, 900, 1200, 1600, 2200]) {
      const [file = '', ...rest] = [
        ...as(alice),
        ...[process.execPath, '--no-warnings', main, 'subsystem', 'rfb'],
      ];
      const child = spawn(file, rest, {
        stdio: ['pipe', 'ignore', 'ignore'],
        env: { HOME: alice.home },
      });
      const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
      await once(child, 'exit');
      clearTimeout(timer);
      await eventually('no half of a desktop', () =>
        Promise.resolve(listDesktops().every(({ state }) => state === 'detached')),
      );
      for (const { id } of listDesktops()) {
        assert.equal(sshdeskCommand(['sessions', 'terminate', id]).status, 0);
      }
    }
    assert.deepEqual(await server.leftovers(base), []);
    await eventually('nothing of hers', () =>
      Promise.resolve(allProcesses().every(({ uid }) => uid !== alice.uid)),
    );
  });

  test('somebody else in the place of the daemon is not spoken to', async () => {
    await server.stop();
    // Without a daemon the same accounts are refused, in the same words.
    for (const [user, why] of accounts()) {
      const alone = visit(user, ['rfb']);
      assert.deepEqual([alone.status, alone.stdout], [255, '']);
      assert.match(alone.stderr, why);
    }
    const file = as(bob);
    // Only root could put it there: the directory is root's.
    const denied = spawnSync(
      file[0] as string,
      [...file.slice(1), process.execPath, '--no-warnings', attacker, 'impersonate', localSocket],
      { encoding: 'utf8', timeout: 20_000 },
    );
    assert.notEqual(denied.status, 0);
    const place = '/run/sshdesk-of-bob';
    mkdirSync(place);
    spawnSync('chown', ['bob', place]);
    const child = spawn(
      file[0] as string,
      [
        ...file.slice(1),
        ...[process.execPath, '--no-warnings', attacker, 'impersonate', `${place}/local.sock`],
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    try {
      await once(child.stdout, 'data');
      spawnSync('mv', [`${place}/local.sock`, localSocket]);
      chmodSync(localSocket, 0o666);
      let heard = '';
      child.stdout.on('data', (chunk: Buffer) => {
        heard += chunk.toString();
      });
      const refused = visit(alice, ['display'], { input: 'quit\n' });
      assert.deepEqual([refused.status, refused.stdout], [255, '']);
      assert.match(refused.stderr, new RegExp(`is served by uid ${bob.uid}, not 0`));
      assert.doesNotMatch(heard, /frame/);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
      rmSync(localSocket, { force: true });
      server = await startDesktopServer(session);
    }
  });
});
