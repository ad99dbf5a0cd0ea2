/**
 * Desktops of a daemon that an ordinary user runs: the same, for that user alone, in the user's own
 * places. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { chownSync, existsSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Child, eventually, run as runProgram } from '../support/child.ts';
import { isFilled, lookForColour, lookThrough, randomColour } from '../support/desktop-look.ts';
import { type ListedDesktop, listeningPorts } from '../support/desktop-session.ts';
import {
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  run,
  type TestKey,
} from '../support/lab.ts';
import { allProcesses, readProcFile, startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';
import { drawWindow } from '../support/x-window.ts';

const lab = inLab(import.meta.url, 110_000);
const area = { x: 500, y: 60, width: 200, height: 160 };
const inner = { x: 520, y: 110, width: 160, height: 90 };

describe('a daemon without root', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let runtime: string;
  let window: Child | undefined;
  const asAlice = () => ({ user: 'alice', key });
  const as = (user: LabUser) => ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`];

  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
    runtime = `/run/user/${alice.uid}`;
    mkdirSync(runtime, { mode: 0o700 });
    chownSync(runtime, alice.uid, alice.gid);
    server = await start();
  });
  after(async () => {
    await window?.stop();
    await server?.stop();
  });

  function start(flags: readonly string[] = []): Promise<TestServer> {
    // Keys and configuration are made by root a moment before.
    return startServer({
      flags,
      wrapper: [
        ...['bash', '-c', 'chown -R alice: /tmp/server-* && exec "$@"', 'sh'],
        ...[...as(alice), '--init-groups'],
      ],
      environment: { HOME: alice.home, USER: 'alice', XDG_RUNTIME_DIR: runtime },
    });
  }

  async function ended({ pid }: TestServer): Promise<void> {
    await eventually('the old daemon to end', async () =>
      ['', 'Z'].includes(/^State:\t(\w)/m.exec(readProcFile(pid, 'status'))?.[1] ?? ''),
    );
  }

  function sessions(...words: string[]): string {
    const [file = '', ...rest] = [...as(alice), '--init-groups'];
    return run(file, [
      ...rest,
      ...['env', `HOME=${alice.home}`, `XDG_RUNTIME_DIR=${runtime}`],
      ...[process.execPath, '--no-warnings', `${checkout}/src/cli/main.ts`, 'sessions', ...words],
    ]);
  }
  const list = (): readonly ListedDesktop[] =>
    JSON.parse(sessions('list', '--json')) as ListedDesktop[];

  test('a desktop with a window, and the same one after a restart of the daemon', async () => {
    await lookThrough(server, asAlice());
    const [desktop] = list();
    assert.ok(desktop !== undefined);
    assert.deepEqual([desktop.owner, desktop.name], ['alice', 'default']);
    const directory = `${runtime}/sshdesk/desktops/${desktop.id}`;
    assert.equal(lstatSync(`${runtime}/sshdesk`).mode & 0o7777, 0o700);
    const shown = randomColour();
    const environment = {
      ...process.env,
      DISPLAY: `:${desktop.display}`,
      XAUTHORITY: `${directory}/user/Xauthority`,
    };
    window = await drawWindow(environment, { colour: shown, area });
    await lookForColour(server, asAlice(), inner, shown);
    assert.deepEqual(listeningPorts(), [server.port]);

    process.kill(server.pid, 'SIGTERM');
    await ended(server);
    server = await start();
    await eventually('the desktop', async () => list()[0]?.id === desktop.id);
    await lookForColour(server, asAlice(), inner, shown);
    assert.equal(isFilled(await lookThrough(server, asAlice()), inner, randomColour()), false);

    sessions('terminate', 'default');
    assert.deepEqual(list(), []);
    assert.deepEqual(readdirSync(`${runtime}/sshdesk/desktops`), []);
    const left = allProcesses().filter(
      ({ uid, title }) => uid === alice.uid && /Xvnc|icewm|dbus/.test(title),
    );
    assert.deepEqual(left, []);
  });

  test('nobody else is served', async () => {
    const bob = await ssh(server, { user: 'bob', key, args: ['-s'] }, 'rfb');
    assert.equal(bob.status, 255);
    assert.match(bob.stderr, /Permission denied/);
    assert.deepEqual(list(), []);
  });

  test('DesktopReauth resume: a desktop is started, but without PAM it is not resumed', async () => {
    await server.stop();
    const file = '/tmp/rootless-desktops';
    writeFileSync(file, 'DesktopReauth resume\n');
    server = await start(['--desktop-config', file]);
    const open = () => ssh(server, { ...asAlice(), args: ['-s'] }, 'rfb');
    const started = await open();
    assert.equal(started.status, 0, started.stderr);
    const refused = await open();
    assert.deepEqual([refused.status, refused.stdout.length], [1, 0]);
    assert.match(refused.stderr, /this server has no PAM to ask you with/);
    sessions('terminate', 'default');
  });

  test('a home whose paths are longer than the address of a socket', async () => {
    await server.stop();
    const dave = makeUser('dave', { authorizedKeys: [key.line] });
    const home = `/home/${'d'.repeat(95)}`;
    run('usermod', ['--move-home', '--home', home, 'dave']);
    const startAsDave = (): Promise<TestServer> =>
      startServer({
        wrapper: [
          ...['env', '-u', 'XDG_RUNTIME_DIR', 'bash', '-c'],
          ...['chown -R dave: /tmp/server-* && exec "$@"', 'sh'],
          ...[...as(dave), '--init-groups'],
        ],
        environment: { HOME: home, USER: 'dave' },
      });
    server = await startAsDave();
    const sessionsOf = (...words: string[]): string => {
      const [file = '', ...rest] = [...as(dave), '--init-groups'];
      const main = `${checkout}/src/cli/main.ts`;
      const clean = ['env', '-u', 'XDG_RUNTIME_DIR', `HOME=${home}`];
      return run(file, [
        ...rest,
        ...clean,
        ...[process.execPath, '--no-warnings', main, 'sessions', ...words],
      ]);
    };
    const asDave = { user: 'dave', key };
    await lookThrough(server, asDave);
    const [desktop] = JSON.parse(sessionsOf('list', '--json')) as ListedDesktop[];
    assert.equal(desktop?.owner, 'dave');
    assert.ok(existsSync(`${home}/.local/state/sshdesk/run/desktops/${desktop.id}/user/rfb.sock`));
    // Found again by the next daemon, over a control socket as deep.
    process.kill(server.pid, 'SIGTERM');
    await ended(server);
    server = await startAsDave();
    await lookThrough(server, asDave);
    const [again] = JSON.parse(sessionsOf('list', '--json')) as ListedDesktop[];
    assert.equal(again?.id, desktop.id);
    // Another daemon of his with other places for its sockets leaves store and desktops alone.
    const other = `/run/user/${dave.uid}`;
    mkdirSync(other, { mode: 0o700 });
    chownSync(other, dave.uid, dave.gid);
    const first = server;
    const second = await startServer({
      wrapper: [
        ...['bash', '-c', 'chown -R dave: /tmp/server-* && exec "$@"', 'sh'],
        ...[...as(dave), '--init-groups'],
      ],
      environment: { HOME: home, USER: 'dave', XDG_RUNTIME_DIR: other },
    });
    try {
      await eventually('what it says', async () =>
        /no desktops here: another daemon has .*state\.db/.test(second.log()),
      );
      const refused = await ssh(second, { ...asDave, args: ['-s'] }, 'rfb');
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, /The daemon that owns the desktops does not answer/);
      server = first;
      const [still] = JSON.parse(sessionsOf('list', '--json')) as ListedDesktop[];
      assert.equal(still?.id, desktop.id);
    } finally {
      await second.stop();
    }
    assert.match(sessionsOf('terminate', 'default'), /terminated/);
    // With his own daemon down the machine's answers, and that is said.
    process.kill(server.pid, 'SIGTERM');
    await ended(server);
    server = await startServer();
    const { stdout, stderr } = await runProgram('setpriv', [
      ...[...as(dave), '--init-groups', 'env', '-u', 'XDG_RUNTIME_DIR', `HOME=${home}`],
      ...[process.execPath, '--no-warnings', `${checkout}/src/cli/main.ts`, 'sessions', 'list'],
    ]);
    assert.match(stdout, /^ID /);
    assert.match(stderr, /your own daemon does not run; this is what the machine's says/);
  });
});
