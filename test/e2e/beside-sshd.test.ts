/**
 * Desktops beside Debian's own sshd, whose subsystems are `sshdesk subsystem`: with the daemon of
 * the machine, without one, and with one that is started meanwhile. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { lookThrough } from '../support/desktop-look.ts';
import {
  greetRfb,
  listDesktops,
  openSubsystem,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { checkout, inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { allProcesses, startServer, type TestServer } from '../support/server.ts';
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
        listDesktops(alice).map(({ name }) => name),
        ['new'],
      );
      const both = await listed();
      assert.deepEqual(both.map((one) => one.split(' ')[0]).toSorted(), ['default', 'new']);
      assert.equal(viewer.child.exitCode, null);
      // The default one is still that of before.
      await lookThrough(sshd, asAlice());
      assert.equal(listDesktops(alice).length, 1);
      const [id = ''] = before.map((one) => one.split(' ')[1]);
      await talk(`terminate --sessionid="${id}"\nquit\n`);
      assert.equal(await viewer.status, 1);
      await talk('terminate --sessionid="new"\nquit\n');
      assert.deepEqual(await listed(), []);
    } finally {
      await server.stop();
    }
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
