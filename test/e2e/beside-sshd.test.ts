/**
 * Desktops beside Debian's own sshd, whose subsystems are `sshdesk subsystem`: with the daemon of
 * the machine, without one, and with one that is started meanwhile. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { connectClient, lookThrough } from '../support/desktop-look.ts';
import {
  greetRfb,
  listDesktops,
  openSubsystem,
  sshdeskCommand,
  startDesktopServer,
} from '../support/desktop-session.ts';
import type { ListedLogin } from '../../src/broker/control-logins.ts';
import {
  authorize,
  checkout,
  findUser,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  type TestKey,
} from '../support/lab.ts';
import { allProcesses, readProcFile, startServer, type TestServer } from '../support/server.ts';
import { type ClientOutcome, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 280_000);
const launcher = `${checkout}/sshdesk`;
const titles =
  'Display Type             Session ID                       Options  Depth Screen         Status      Session Name';

describe('beside sshd', lab, () => {
  let sshd: TestServer;
  let key: TestKey;
  let alice: LabUser;
  const asAlice = () => ({ user: 'alice', key });

  before(async () => {
    mkdirSync('/etc/sshdesk', { recursive: true });
    writeFileSync('/etc/sshdesk/sshdesk_config', 'XSession exec xterm\n');
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
    // Debian's sshd as its administrator sets it up for desktops.
    sshd = await startServer({
      kind: 'sshd',
      config: [
        'UsePAM yes',
        `Subsystem display ${launcher} subsystem display`,
        `Subsystem rfb ${launcher} subsystem rfb`,
      ],
    });
  });
  after(async () => {
    await sshd?.stop();
  });

  const talk = (input: string, server = sshd, user = 'alice'): Promise<ClientOutcome> =>
    ssh(server, { user, key, args: ['-s'], input }, 'display');

  /** Ids and names as the dialogue lists them. */
  async function listed(server = sshd): Promise<readonly string[]> {
    const { text, stderr } = await talk('listsession --type="unix-desktop"\nquit\n', server);
    assert.equal(stderr, '');
    assert.ok(text.includes(titles), text);
    return [...text.matchAll(/ ([0-9A-F]{32}) .* (\S+)$/gm)].map(([, id, name]) => `${name} ${id}`);
  }

  const processesOfAlice = (pattern: RegExp): readonly string[] =>
    allProcesses()
      .filter(({ uid, title }) => uid === alice.uid && pattern.test(title))
      .map(({ title }) => title);

  test('without a daemon: a desktop that outlives the connection, and is found again', async () => {
    assert.ok(!existsSync('/run/sshdesk'));
    assert.deepEqual(await listed(), []);
    const first = openSubsystem(sshd, 'rfb', asAlice());
    assert.deepEqual(await greetRfb(first), { width: 1280, height: 800 });
    const [desktop] = await listed();
    assert.match(desktop ?? '', /^default /);
    first.child.stdin.end();
    assert.equal(await first.status, 0);
    // Nothing of ours is left but the desktop and its leader.
    await eventually('the process has ended', () =>
      Promise.resolve(processesOfAlice(/subsystem rfb/).length === 0),
    );
    assert.deepEqual(processesOfAlice(/Xvnc/).length, 1);
    await lookThrough(sshd, asAlice());
    assert.deepEqual(await listed(), [desktop]);
    const id = desktop?.split(' ')[1] ?? '';
    const ended = await talk(`terminate --sessionid="${id}"\nlistsession\n\nquit\n`);
    assert.equal(ended.status, 0);
    assert.deepEqual(await listed(), []);
    await eventually('nothing is left', () =>
      Promise.resolve(processesOfAlice(/Xvnc|xterm|dbus|sshdesk/).length === 0),
    );
    assert.deepEqual(readdirSync(`${alice.home}/.local/state/sshdesk/run/desktops`), []);
  });

  test('without a daemon: our own client, `sessions`, and many logins at once', async () => {
    const picture = '/tmp/beside.png';
    const viewer = connectClient(sshd, { ...asAlice(), args: ['--screenshot', picture] });
    assert.equal((await viewer.finished).code, 0, viewer.stderr);
    assert.equal(readFileSync(picture).subarray(1, 4).toString(), 'PNG');
    const [desktop, ...more] = listDesktops(alice);
    assert.ok(desktop !== undefined && more.length === 0);
    assert.deepEqual(
      [desktop.name, desktop.state, desktop.viewedFrom],
      ['default', 'detached', []],
    );
    // Bob has had none yet, and nobody serves root.
    assert.equal(sshdeskCommand(['sessions', 'list'], findUser('bob')).status, 255);
    assert.equal(sshdeskCommand(['sessions', 'list']).status, 255);
    const viewers = Array.from({ length: 6 }, () => openSubsystem(sshd, 'rfb', asAlice()));
    await Promise.all(viewers.map(greetRfb));
    assert.deepEqual(
      listDesktops(alice).map(({ id }) => id),
      [desktop.id],
    );
    for (const { child } of viewers) {
      child.stdin.end();
    }
    await Promise.all(viewers.map(({ status }) => status));
    assert.equal(sshdeskCommand(['sessions', 'terminate', 'default'], alice).status, 0);
    assert.deepEqual(listDesktops(alice), []);
    await eventually('nothing is left', () =>
      Promise.resolve(processesOfAlice(/Xvnc|xterm|dbus|sshdesk|main\.ts/).length === 0),
    );
  });

  test('without a daemon, killed at any moment of a start: a desktop or nothing', async () => {
    for (const afterMs of [100, 400, 700, 1_000, 1_300, 1_700, 2_200]) {
      const child = spawn(
        'setpriv',
        [
          ...[`--reuid=${alice.uid}`, `--regid=${alice.gid}`, '--clear-groups'],
          ...[process.execPath, '--no-warnings', `${checkout}/src/cli/main.ts`, 'subsystem', 'rfb'],
        ],
        { stdio: ['pipe', 'ignore', 'ignore'], env: { HOME: alice.home } },
      );
      const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
      await once(child, 'exit');
      clearTimeout(timer);
      for (const { id, state } of listDesktops(alice)) {
        assert.equal(state, 'detached');
        assert.equal(sshdeskCommand(['sessions', 'terminate', id], alice).status, 0);
      }
      await eventually(`nothing is left after ${afterMs} ms`, () =>
        Promise.resolve(processesOfAlice(/Xvnc|xterm|dbus|sshdesk|main\.ts/).length === 0),
      );
      const directory = `${alice.home}/.local/state/sshdesk/run/desktops`;
      assert.deepEqual(existsSync(directory) ? readdirSync(directory) : [], []);
    }
  });

  test('two processes without a daemon: one owns the desktops, the other asks it', async () => {
    const first = openSubsystem(sshd, 'rfb', asAlice());
    await greetRfb(first);
    const second = openSubsystem(sshd, 'rfb', asAlice());
    await greetRfb(second);
    const [desktop, ...more] = await listed();
    assert.deepEqual(more, []);
    // The owner goes; the other one is told of a suspension all the same, by whoever owns them then.
    first.child.stdin.end();
    assert.equal(await first.status, 0);
    const id = desktop?.split(' ')[1] ?? '';
    await eventually('the suspension', async () => {
      await talk(`suspend --sessionid="${id}"\nquit\n`);
      return second.child.exitCode !== null;
    });
    // The reason is on stderr, which sshd throws away behind a subsystem.
    assert.equal(await second.status, 0);
    assert.deepEqual(await listed(), [desktop]);
  });

  test('a daemon that is started meanwhile: what was there stays reachable, what is new is its', async () => {
    const viewer = openSubsystem(sshd, 'rfb', asAlice());
    await greetRfb(viewer);
    const before = await listed();
    assert.equal(before.length, 1);
    const server = await startDesktopServer('exec xterm');
    try {
      assert.deepEqual(await listed(), before);
      const made = await talk('startsession --type="unix-desktop" --session="new"\nquit\n');
      assert.match(made.text, /NX> 710 Session status: running/);
      assert.deepEqual(
        listDesktops().map(({ name }) => name),
        ['new'],
      );
      const both = await listed();
      assert.deepEqual(both.map((one) => one.split(' ')[0]).toSorted(), ['default', 'new']);
      assert.equal(viewer.child.exitCode, null);
      // The default one is still that of before.
      await lookThrough(sshd, asAlice());
      assert.equal(listDesktops().length, 1);
      const [id = ''] = before.map((one) => one.split(' ')[1]);
      await talk(`terminate --sessionid="${id}"\nquit\n`);
      assert.equal(await viewer.status, 1);
      await talk('terminate --sessionid="new"\nquit\n');
      assert.deepEqual(await listed(), []);
    } finally {
      await server.stop();
    }
  });

  test('a daemon that is started again under a viewer of sshd: it is known to the next one', async () => {
    let server = await startDesktopServer('exec xterm');
    try {
      const viewer = openSubsystem(sshd, 'rfb', asAlice());
      await greetRfb(viewer);
      const [desktop] = listDesktops(alice);
      assert.deepEqual(desktop?.viewedFrom, ['127.0.0.1, as another sshd has said']);
      const there = JSON.parse(sshdeskCommand(['who', '--json'], alice).stdout) as ListedLogin[];
      assert.deepEqual(
        there.map(({ via, address, factors, open }) => [via, address, factors, open?.desktops]),
        [['sshd', '127.0.0.1', [], [{ id: desktop?.id, name: 'default' }]]],
      );
      const { pid } = server;
      process.kill(pid, 'SIGTERM');
      await eventually('the daemon has ended', () =>
        Promise.resolve(
          ['', 'Z'].includes(/^State:\t(\w)/m.exec(readProcFile(pid, 'status'))?.[1] ?? ''),
        ),
      );
      server = await startDesktopServer('exec xterm');
      await eventually('the viewer is counted again', () =>
        Promise.resolve(listDesktops(alice)[0]?.viewers === 1),
      );
      assert.equal(listDesktops(alice)[0]?.id, desktop?.id);
      assert.equal(viewer.child.exitCode, null);
      assert.equal(sshdeskCommand(['sessions', 'suspend', 'default'], alice).status, 0);
      assert.equal(await viewer.status, 0);
      assert.equal(sshdeskCommand(['sessions', 'terminate', 'default'], alice).status, 0);
    } finally {
      await server.stop();
    }
  });

  test('a key whose forced command is the subsystem', async () => {
    const forced = makeKey('ed25519');
    authorize(alice, [key.line, `restrict,command="${launcher} subsystem rfb" ${forced.line}`]);
    const viewer = openSubsystem(sshd, 'display', { user: 'alice', key: forced });
    assert.deepEqual(await greetRfb(viewer), { width: 1280, height: 800 });
    viewer.child.stdin.end();
    assert.equal(await viewer.status, 0);
    assert.equal(sshdeskCommand(['sessions', 'terminate', 'default'], alice).status, 0);
  });

  test('with a daemon: started through sshd, resumed through sshdesk’s own port', async () => {
    const server = await startDesktopServer('exec xterm');
    try {
      const greeting = await talk('quit\n');
      assert.equal(
        greeting.text,
        'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 103 Welcome to: host user: alice\nNX> 105 Quit\nNX> 999 Bye\n',
      );
      assert.deepEqual([greeting.status, greeting.stderr], [0, '']);
      await lookThrough(sshd, asAlice());
      const [desktop, ...more] = listDesktops(alice);
      assert.ok(desktop !== undefined && more.length === 0);
      assert.deepEqual([desktop.owner, desktop.name], ['alice', 'default']);
      await lookThrough(server, asAlice());
      assert.deepEqual(
        listDesktops().map(({ id }) => id),
        [desktop.id],
      );
      assert.deepEqual(await listed(server), await listed(sshd));
      // Bob has none of it.
      const his = await talk(
        `listsession\n\nrestoresession --id="${desktop.id}"\nterminate --sessionid="${desktop.id}"\nquit\n`,
        sshd,
        'bob',
      );
      assert.doesNotMatch(his.text, /^\d+ +unix-/m);
      assert.equal(his.text.match(/NX> 596 /g)?.length, 2);
      assert.equal(listDesktops().length, 1);
    } finally {
      await server.stop();
    }
  });
});
