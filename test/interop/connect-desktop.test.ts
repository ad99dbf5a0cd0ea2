/**
 * `sshdesk connect` against Debian's sshd and a real Xvnc: the picture, the viewer, the port.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { RfbClient } from '../../src/cli/connect/rfb-client.ts';
import { Child, eventually, output, run } from '../support/child.ts';
import { DebianSshd } from '../support/debian-sshd.ts';
import { Picture, Screen, colour } from '../support/viewer.ts';
import { drawWindow, openTerminal } from '../support/x-window.ts';
import { XServer } from '../support/x-server.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');
const bridge = join(import.meta.dirname, '../support/rfb-bridge.ts');
const isRoot = process.getuid?.() === 0;
const area = { x: 120, y: 90, width: 200, height: 150 };
const orange = '#e07020';

describe('connect, with a desktop behind Debian sshd', {
  skip: isRoot ? false : 'needs root',
  timeout: 120_000,
}, () => {
  let desktop: XServer;
  let sshd: DebianSshd;
  let folder: string;
  let window: Child;

  before(async () => {
    desktop = await XServer.startXvnc({ geometry: '800x600' });
    const script = `${process.execPath} ${bridge}`;
    sshd = await DebianSshd.start({
      subsystems: { rfb: `${script} ${desktop.rfbSocket}`, 'rfb-dead': `${script} /nonexistent` },
    });
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-connect-'));
    window = await drawWindow(desktop.environment, { colour: orange, area });
  });
  after(async () => {
    await window?.stop();
    await sshd?.[Symbol.asyncDispose]();
    await desktop?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const args = (...rest: string[]): string[] => [
    cli,
    'connect',
    '-F',
    'none',
    '-i',
    sshd.userKey,
    '-o',
    `UserKnownHostsFile=${join(folder, 'known_hosts')}`,
    '-o',
    'StrictHostKeyChecking=accept-new',
    '--batch',
    ...rest,
    `root@127.0.0.1:${sshd.port}`,
  ];

  test('a screenshot has every pixel that an X client sees', async () => {
    const path = join(folder, 'shot.png');
    const { code, stderr } = await run(process.execPath, args('--screenshot', path));
    assert.equal(code, 0, stderr);
    assert.match(await output('identify', [path]), / PNG 800x600 .*8-bit sRGB/);
    const shot = await Picture.read(path);
    assert.equal(shot.share(area, colour(orange)), 1);
    assert.ok(shot.equals(await Picture.ofScreen(desktop.environment)), 'differs from import');
  });

  test('a line of progress on a terminal, and nothing of it left', async () => {
    const words = [process.execPath, ...args('--screenshot', join(folder, 'progress.png'))];
    const { code, stdout } = await run('script', ['-qefc', words.join(' '), '/dev/null'], {
      env: { ...process.env, SHELL: '/bin/sh' },
    });
    assert.equal(code, 0, stdout);
    assert.match(stdout, /connecting to .*authenticating as .*starting the desktop.*drawing/s);
    assert.ok(stdout.endsWith('\r\x1b[K'), JSON.stringify(stdout));
  });

  test('the viewer shows the desktop, types into it, and its end ends the connection', async () => {
    await using screen = await Screen.start();
    await using terminal = openTerminal(desktop.environment);
    const env = { ...screen.environment, XDG_RUNTIME_DIR: folder };
    await using client = new Child(process.execPath, args(), { env });
    const place = await screen.window('TigerVNC');
    await screen.lookFor('the orange window', (picture) => {
      const inView = { ...area, x: area.x + place.x, y: area.y + place.y };
      return picture.share(inView, colour(orange), 12) > 0.98;
    });
    const sockets = (await readdir(folder)).filter((name) => name.startsWith('sshdesk-'));
    assert.deepEqual(sockets, [], 'the private socket is gone once the viewer is on it');
    const typed = `typed-${process.pid}`;
    await eventually('the terminal', async () => {
      const found = await run('xdotool', ['search', '--onlyvisible', '--class', 'xterm'], {
        env: desktop.environment,
      });
      return found.stdout.trim();
    });
    await screen.type(`echo ${typed} >${folder}/typed.txt`, { x: place.x + 100, y: place.y + 360 });
    await screen.press('Return');
    await eventually('the typed command', () =>
      readFile(join(folder, 'typed.txt'), 'utf8').then(
        (text) => text === `${typed}\n`,
        () => false,
      ),
    );
    const viewer = (await output('pgrep', ['-P', String(client.pid), '-f', 'vncviewer'])).trim();
    process.kill(Number(viewer), 'SIGTERM');
    const { code } = await client.finished;
    assert.ok(code === 0 || code === 1, `exit ${code}`);
    assert.equal(terminal.hasExited, false, 'the desktop outlives the viewer');
  });

  test('--listen serves several viewers on 127.0.0.1 only, and says who can reach it', async () => {
    await using client = new Child(process.execPath, args('--listen', '0'));
    const port = await eventually(
      'the port',
      () => /^127\.0\.0\.1:(\d+)\n/.exec(client.stdout)?.[1],
    );
    assert.match(client.stderr, /every user of this machine can reach this port/);
    const listening = await output('ss', ['-Hltn', `sport = :${port}`]);
    assert.match(listening, /127\.0\.0\.1:/);
    assert.doesNotMatch(listening, /(0\.0\.0\.0|\[::\]):\d+\s+(?!0\.0\.0\.0|\[::\])/);
    const viewers = await Promise.all(
      [1, 2].map(async () => {
        const viewer = await RfbClient.open(connect(Number(port), '127.0.0.1'));
        await viewer.drawFull();
        return viewer;
      }),
    );
    for (const viewer of viewers) {
      assert.equal(viewer.screen.pixel(area.x + 5, area.y + 5), 0xe07020);
      viewer.close();
    }
    client.process.kill('SIGINT');
    assert.equal((await client.finished).code, 130);
  });

  test('without a display or viewer it says what to do instead, and asks nothing', async () => {
    const { DISPLAY: _display, ...env } = process.env;
    const blind = await run(process.execPath, args(), { env });
    assert.equal(blind.code, 1);
    assert.match(blind.stderr, /DISPLAY is not set.*--web, --listen PORT/);
    const bare = await run(process.execPath, args(), {
      env: { ...env, DISPLAY: ':0', PATH: '/nonexistent' },
    });
    assert.equal(bare.code, 1);
    assert.match(bare.stderr, /no viewer found in PATH; use --web /);
  });

  test('what cannot be done is a sentence with what to do, before anybody is asked', async () => {
    for (const [rest, code, said] of [
      [['--screenshot', '/nowhere/at/all.png'], 1, /there is no such folder; make it first/],
      [['--screenshot', '/tmp'], 1, /\/tmp: is a folder; name a file in it/],
      [['--listen', String(sshd.port)], 1, /another program has it; name another port, or 0/],
      [['--lisst=1'], 2, /Unknown argument: --lisst;/],
    ] as const) {
      const { code: exit, stderr } = await run(process.execPath, args(...rest));
      assert.equal(exit, code, stderr);
      assert.match(stderr, said);
      assert.doesNotMatch(stderr, /ENOENT|EADDRINUSE|EISDIR|missing|non-option/);
    }
    // A mistyped option must not take the host for its value and then complain of a missing host.
    const { code, stderr } = await run(process.execPath, [cli, 'connect', '--screnshot', 'host']);
    assert.equal(code, 2);
    assert.match(stderr, /Unknown argument: --screnshot;/);
  });

  test('key exchanges in the middle ask for the host key no second time', async () => {
    await using often = await DebianSshd.start({
      config: ['RekeyLimit 1K', 'LogLevel DEBUG1'],
      subsystems: { rfb: `${process.execPath} ${bridge} ${desktop.rfbSocket}` },
    });
    const file = join(folder, 'rekeyed');
    const { code, stderr } = await run(process.execPath, [
      ...[cli, 'connect', '-F', 'none', '-i', often.userKey, '--batch'],
      ...['-o', `UserKnownHostsFile=${file}`, '-o', 'StrictHostKeyChecking=accept-new'],
      ...['--screenshot', join(folder, 'rekeyed.png'), '--wait', '500'],
      `root@127.0.0.1:${often.port}`,
    ]);
    assert.equal(code, 0, stderr);
    assert.ok(often.log.split('SSH2_MSG_KEXINIT received').length > 2, 'there was no rekey');
    assert.equal((await readFile(file, 'utf8')).trim().split('\n').length, 1);
    assert.equal(stderr.split('Permanently added').length, 2, stderr);
  });

  test('a desktop that does not start is exit 1, and no picture is left', async () => {
    await using broken = await DebianSshd.start({
      subsystems: { rfb: `${process.execPath} ${bridge} /nonexistent/rfb.sock` },
    });
    const path = join(folder, 'never.png');
    const { code, stderr } = await run(process.execPath, [
      ...[cli, 'connect', '-F', 'none', '-i', broken.userKey, '--batch', '--screenshot', path],
      ...['-o', 'UserKnownHostsFile=/dev/null', '-o', 'StrictHostKeyChecking=no'],
      `root@127.0.0.1:${broken.port}`,
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /the desktop did not start \(exit status 1\)/);
    await assert.rejects(stat(path), { code: 'ENOENT' });
  });
});
