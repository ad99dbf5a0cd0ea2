/**
 * What a desktop outlives: a restart, a killed monitor, a killed worker, a daemon that drains; and
 * what is left of it after everything was killed, as by a reboot. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Child, eventually } from '../support/child.ts';
import { isFilled, lookForColour, lookThrough, randomColour } from '../support/desktop-look.ts';
import {
  desktopEnvironment,
  desktopsDirectory,
  greetRfb,
  type ListedDesktop,
  listDesktops,
  openSubsystem,
  processesOf,
  sessionsCommand,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, type LabUser, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { allProcesses, processTree, readProcFile, type TestServer } from '../support/server.ts';
import { spawnClient, sshArguments } from '../support/stock-client.ts';
import { drawWindow } from '../support/x-window.ts';

const lab = inLab(import.meta.url, 300_000);
/** The kernel ends every process of the namespace with its first one. */
const namespace = [
  ...['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'],
  // What is mounted below /run in it is mounted for the test too, as without a namespace.
  ...['--propagation', 'unchanged'],
];
const area = { x: 500, y: 60, width: 200, height: 160 };
/** What of it no title bar or frame of the window manager can reach. */
const inner = { x: 520, y: 110, width: 160, height: 90 };

describe('a desktop with a window on it', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let shown: string;
  const windows: Child[] = [];
  const asAlice = () => ({ user: 'alice', key });

  before(() => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    run('mount', ['--make-shared', '/run']);
  });
  beforeEach(async () => {
    server = await startDesktopServer();
  });
  after(async () => {
    for (const window of windows) {
      await window.stop();
    }
    await server?.stop();
  });

  /** The default desktop with a window of a colour of its own, nobody looking. */
  async function desktopWithWindow(): Promise<ListedDesktop> {
    await lookThrough(server, asAlice());
    const desktop = only();
    shown = randomColour();
    windows.push(await drawWindow(desktopEnvironment(desktop), { colour: shown, area }));
    await lookForColour(server, asAlice(), inner, shown);
    await detached();
    return only();
  }

  function only(): ListedDesktop {
    const [desktop, ...more] = listDesktops();
    assert.ok(desktop !== undefined);
    assert.deepEqual(more, []);
    return desktop;
  }

  async function detached(): Promise<void> {
    await eventually('detached', async () => only().state === 'detached');
  }

  function isRunning(pid: number): boolean {
    return !['', 'Z', 'X'].includes(/^State:\t(\w)/m.exec(readProcFile(pid, 'status'))?.[1] ?? '');
  }

  async function gone(pids: readonly number[], what: string): Promise<void> {
    await eventually(what, async () => !pids.some(isRunning));
  }

  /** Same desktop, same processes, same picture. */
  async function assertGoesOn(before: ListedDesktop, pids: readonly number[]): Promise<void> {
    const now = only();
    assert.deepEqual(
      [now.id, now.display, now.startedAt],
      [before.id, before.display, before.startedAt],
    );
    for (const pid of pids) {
      assert.ok(isRunning(pid), `process ${pid} of the desktop has ended`);
    }
    await lookForColour(server, asAlice(), inner, shown);
  }

  async function endDesktop(): Promise<void> {
    assert.equal(sessionsCommand(['terminate', 'default']).status, 0);
    assert.deepEqual(readdirSync(desktopsDirectory), []);
    await server.stop();
  }

  /** Everything of the daemon that is not a desktop's. */
  function daemonPids(): readonly number[] {
    return processTree(server.pid)
      .filter(({ title }) => /^sshdesk: (monitor|worker|zygote)/.test(title))
      .map(({ pid }) => pid);
  }

  test('SIGTERM and a new daemon', async () => {
    const desktop = await desktopWithWindow();
    const pids = processesOf(desktop);
    const old = daemonPids();
    assert.ok(old.length >= 4, String(old));
    process.kill(server.pid, 'SIGTERM');
    await gone(old, 'the old daemon to end');
    assert.equal(sessionsCommand(['list']).status, 255);
    server = await startDesktopServer();
    await assertGoesOn(desktop, pids);
    await endDesktop();
  });

  test('kill -9 of the monitor', async () => {
    const desktop = await desktopWithWindow();
    const pids = processesOf(desktop);
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const old = daemonPids();
    const leaders = allProcesses().filter(({ title }) => title === 'sshdesk: leader alice');
    process.kill(server.pid, 'SIGKILL');
    await gone(old, 'workers and zygote to end with it');
    await viewer.status;
    await eventually('only the desktop’s leader', async () => {
      const left = leaders.filter(({ pid }) => isRunning(pid));
      return left.length === 1;
    });
    server = await startDesktopServer();
    await assertGoesOn(desktop, pids);
    await endDesktop();
  });

  test('kill -9 of the worker that serves a viewer', async () => {
    const desktop = await desktopWithWindow();
    const pids = processesOf(desktop);
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const workers = processTree(server.pid).filter(({ title }) => title.includes(': worker'));
    // Which of them has the connection is not known from outside; all of them is the worst case.
    for (const { pid } of workers) {
      process.kill(pid, 'SIGKILL');
    }
    assert.equal(await viewer.status, 255);
    await eventually('new workers', async () => {
      const now = processTree(server.pid).filter(({ title }) => title.includes(': worker'));
      return now.length >= workers.length;
    });
    await detached();
    await assertGoesOn(desktop, pids);
    await endDesktop();
  });

  test('a daemon that drains: its logins go on, the new one has the desktops', async () => {
    const desktop = await desktopWithWindow();
    const pids = processesOf(desktop);
    const shell = spawnClient('ssh', sshArguments(server, asAlice(), 'cat'));
    let echoed = '';
    shell.stdout.on('data', (chunk: Buffer) => {
      echoed += chunk.toString();
    });
    shell.stdin.write('before\n');
    await eventually('the echo', async () => echoed === 'before\n');
    const draining = server;
    process.kill(draining.pid, 'SIGTERM');
    await eventually('[draining]', async () =>
      /^sshdesk: monitor \[draining\]/.test(readProcFile(draining.pid, 'cmdline')),
    );
    server = await startDesktopServer();
    await assertGoesOn(desktop, pids);
    shell.stdin.write('after\n');
    await eventually('the echo of the old daemon', async () => echoed === 'before\nafter\n');
    assert.ok(isRunning(draining.pid));
    shell.stdin.end();
    await gone([draining.pid], 'the old daemon ends with the last login');
    // Its end takes nothing of the new one along.
    await detached();
    await assertGoesOn(desktop, pids);
    await endDesktop();
  });

  test('a viewer of a daemon that drains sees on, and the new one shares the desktop', async () => {
    const desktop = await desktopWithWindow();
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const draining = server;
    process.kill(draining.pid, 'SIGTERM');
    await eventually('[draining]', async () =>
      /^sshdesk: monitor \[draining\]/.test(readProcFile(draining.pid, 'cmdline')),
    );
    server = await startDesktopServer();
    await eventually('the new one to count it', async () => only().viewers === 1);
    assert.equal(only().state, 'running');
    await assertGoesOn(desktop, processesOf(desktop));
    // SetEncodings raw, then one pixel of the window.
    const wanted = Buffer.from([2, 0, 0, 1, 0, 0, 0, 0, 3, 0, 2, 48, 0, 130, 0, 1, 0, 1]);
    viewer.child.stdin.write(wanted);
    const update = await viewer.incoming.take(20);
    const pixel = [update[18], update[17], update[16]];
    assert.equal(`#${Buffer.from(pixel as number[]).toString('hex')}`, shown);
    // The old one ends it for the new one.
    assert.equal(sessionsCommand(['suspend', 'default']).status, 0);
    assert.equal(await viewer.status, 0);
    assert.match(viewer.stderr(), /The desktop was suspended\./);
    await gone([draining.pid], 'the old daemon to end');
    assert.equal(only().viewers, 0);
    await endDesktop();
  });

  test('a viewer of a daemon that drains leaves: the new one hears of it', async () => {
    const desktop = await desktopWithWindow();
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    process.kill(server.pid, 'SIGTERM');
    const draining = server;
    server = await startDesktopServer();
    await eventually('the new one to count it', async () => only().viewers === 1);
    viewer.child.kill('SIGKILL');
    await detached();
    assert.equal(only().viewers, 0);
    await gone([draining.pid], 'the old daemon to end');
    assert.equal(only().id, desktop.id);
    await endDesktop();
  });

  test('a client that goes while its desktop starts: the desktop waits for it', async () => {
    const client = openSubsystem(server, 'rfb', asAlice());
    await eventually('the start', async () => listDesktops().length === 1);
    client.child.kill('SIGKILL');
    await client.status;
    await detached();
    await lookThrough(server, asAlice());
    await endDesktop();
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`${signal} to the daemon at any moment of a start: a desktop or nothing, no half of one`, async () => {
      for (const delayMs of [40, 120, 250]) {
        const client = openSubsystem(server, 'rfb', asAlice());
        await delay(delayMs);
        process.kill(server.pid, signal);
        const old = server;
        server = await startDesktopServer();
        client.child.kill('SIGKILL');
        await client.status;
        await gone([old.pid], 'the old daemon');
        const [left] = listDesktops();
        assert.ok(left === undefined || left.state === 'detached', left?.state);
        const title = /^(\S*Xvnc|dbus-|icewm|xterm|sshdesk: leader)/;
        await eventually(
          'no process of a desktop that is not listed',
          async () =>
            left !== undefined || !allProcesses().some((entry) => title.test(entry.title)),
        );
        assert.deepEqual(readdirSync(desktopsDirectory), left === undefined ? [] : [left.id]);
        await lookThrough(server, asAlice());
        assert.equal(only().id, left?.id ?? only().id);
        assert.equal(sessionsCommand(['terminate', 'default']).status, 0);
      }
      await server.stop();
    });
  }

  test('a reboot: nothing is left, hostile names are only names, and it starts again', async () => {
    await server.stop();
    server = await startDesktopServer(undefined, { wrapper: namespace });
    const desktop = await desktopWithWindow();
    const directory = `${desktopsDirectory}/${desktop.id}`;
    const names = [
      '$(touch SEEN)',
      '`touch SEEN`',
      'a\nb',
      '; touch SEEN',
      '-rf',
      '*',
      '\u001b[2J',
    ];
    for (const name of names) {
      mkdirSync(`${directory}/user/${name}`);
      writeFileSync(`${directory}/user/${name}/$(id >&2)\n`, '');
      chownSync(`${directory}/user/${name}`, alice.uid, alice.gid);
    }
    mkdirSync('/tmp/elsewhere');
    writeFileSync('/tmp/elsewhere/kept', '');
    symlinkSync('/tmp/elsewhere', `${directory}/user/link`);
    // Somebody else's display is not touched, nor what is no desktop.
    writeFileSync('/tmp/.X11-unix/X9', '');
    mkdirSync(`${desktopsDirectory}/$(touch SEEN)`);
    const inside = processTree(server.pid).map(({ pid }) => pid);
    process.kill(inside[1] as number, 'SIGKILL');
    await gone(inside, 'everything');
    await eventually('no process', async () => processesOf(desktop).length === 0);
    assert.ok(existsSync(directory));
    assert.ok(lstatSync(`/tmp/.X11-unix/X${desktop.display}`).isSocket());

    server = await startDesktopServer();
    assert.deepEqual(listDesktops(), []);
    assert.ok(!existsSync(directory));
    assert.ok(!existsSync(`/tmp/.X11-unix/X${desktop.display}`));
    assert.ok(existsSync('/tmp/.X11-unix/X9'));
    assert.deepEqual(readdirSync('/tmp/elsewhere'), ['kept']);
    assert.deepEqual(readdirSync(desktopsDirectory), ['$(touch SEEN)']);
    for (const place of ['/', '/root', alice.home, desktopsDirectory, process.cwd()]) {
      assert.ok(!existsSync(`${place}/SEEN`), place);
    }
    const [past] = JSON.parse(sessionsCommand(['history', '--json'], alice).stdout);
    assert.deepEqual([past.id, past.state], [desktop.id, 'failed']);
    assert.notEqual(past.reason, '');
    const fresh = await lookThrough(server, asAlice());
    assert.equal(isFilled(fresh, inner, shown), false);
    assert.notEqual(only().id, desktop.id);
    assert.equal(sessionsCommand(['terminate', 'default'], alice).status, 0);
    await server.stop();
  });

  test('a reboot that empties /run and /tmp', async () => {
    await server.stop();
    server = await startDesktopServer(undefined, { wrapper: namespace });
    const desktop = await desktopWithWindow();
    const inside = processTree(server.pid).map(({ pid }) => pid);
    process.kill(inside[1] as number, 'SIGKILL');
    await gone(inside, 'everything');
    run('umount', ['--lazy', `${desktopsDirectory}/${desktop.id}/user`]);
    rmSync('/run/sshdesk', { recursive: true });
    rmSync('/tmp/.X11-unix', { recursive: true });
    server = await startDesktopServer();
    assert.deepEqual(listDesktops(), []);
    const [past] = JSON.parse(sessionsCommand(['history', '--json'], alice).stdout);
    assert.deepEqual([past.id, past.state], [desktop.id, 'failed']);
    assert.equal(isFilled(await lookThrough(server, asAlice()), inner, shown), false);
    await endDesktop();
  });
});
