/**
 * Profiles as a person uses them: kept once, then `connect --profile` and a launcher of the menu,
 * against Debian's sshd and a real Xvnc. Runs in: test, as root.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Child, eventually, run } from '../support/child.ts';
import { DebianSshd } from '../support/debian-sshd.ts';
import { Picture } from '../support/viewer.ts';
import { XServer } from '../support/x-server.ts';

const root = join(import.meta.dirname, '../..');
const bridge = join(import.meta.dirname, '../support/rfb-bridge.ts');

describe('profiles', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
  timeout: 120_000,
}, () => {
  let desktop: XServer;
  let sshd: DebianSshd;
  let folder: string;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    desktop = await XServer.startXvnc({ geometry: '320x200' });
    const rfb = `${process.execPath} ${bridge} ${desktop.rfbSocket}`;
    sshd = await DebianSshd.start({ subsystems: { rfb } });
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-profile-'));
    env = {
      ...process.env,
      XDG_CONFIG_HOME: join(folder, 'config'),
      XDG_DATA_HOME: join(folder, 'data'),
    };
  });
  after(async () => {
    await sshd?.[Symbol.asyncDispose]();
    await desktop?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const sshdesk = (...words: readonly string[]) =>
    run(process.execPath, ['--no-warnings', join(root, 'src/cli/main.ts'), ...words], {
      env,
      cwd: folder,
    });
  const file = (name: string) => join(folder, 'config/sshdesk/profiles', `${name}.json`);
  const lab = () => [
    ...['-F', 'none', '-i', sshd.userKey, '--batch'],
    ...['-o', `UserKnownHostsFile=${join(folder, 'known_hosts')}`],
    ...['-o', 'StrictHostKeyChecking=accept-new'],
  ];

  test('what is added is said in a table, and kept for its owner alone', async () => {
    const host = `root@127.0.0.1:${sshd.port}`;
    const added = await sshdesk('profile', 'add', 'lab', host, ...lab());
    assert.equal(added.code, 0, added.stderr);
    assert.match(added.stdout, new RegExp(`^host +${host.replaceAll('.', '\\.')}$`, 'm'));
    assert.match(added.stdout, /^never ask +--batch +yes$/m);
    assert.ok(added.stdout.includes(`Stored in ${file('lab')}`));
    assert.equal(statSync(file('lab')).mode & 0o777, 0o600);
    assert.equal(statSync(join(folder, 'config/sshdesk/profiles')).mode & 0o777, 0o700);
    const again = await sshdesk('profile', 'add', 'lab', 'elsewhere');
    assert.equal(again.code, 1);
    assert.match(again.stderr, /there is a profile lab; --replace/);
  });

  test('a key of the folder where it was added is found from elsewhere', async () => {
    assert.equal((await sshdesk('profile', 'add', 'near', 'desk', '-i', 'keys/id')).code, 0);
    const { stdout } = await sshdesk('profile', 'show', 'near', '--json');
    assert.deepEqual(JSON.parse(stdout).options.i, [join(folder, 'keys/id')]);
    assert.equal((await sshdesk('profile', 'remove', 'near')).code, 0);
  });

  test('connect --profile opens the desktop; the command line wins', async () => {
    const path = join(folder, 'shot.png');
    const shot = await sshdesk('connect', '--profile', 'lab', '--screenshot', path);
    assert.equal(shot.code, 0, shot.stderr);
    assert.ok((await Picture.read(path)).equals(await Picture.ofScreen(desktop.environment)));

    const wrong = ['-p', '1', '-l', 'nobody-here', '--web', '--web-port', '1'];
    const host = '127.0.0.1';
    assert.equal((await sshdesk('profile', 'add', 'wrong', host, ...lab(), ...wrong)).code, 0);
    const failed = await sshdesk('connect', '--profile', 'wrong', '--screenshot', path);
    assert.equal(failed.code, 255, failed.stderr);
    assert.match(failed.stderr, /127\.0\.0\.1 port 1/);
    const right = ['-p', String(sshd.port), '-l', 'root', '--screenshot', path];
    const mended = await sshdesk('connect', '--profile', 'wrong', ...right);
    assert.equal(mended.code, 0, mended.stderr);
    const command = await sshdesk('connect', '--profile', 'lab', '--', 'echo', 'there');
    assert.equal(command.stdout, 'there\n', command.stderr);
    const there = `root@127.0.0.1:${sshd.port}`;
    const other = await sshdesk('connect', '--profile', 'wrong', '--screenshot', path, there);
    assert.equal(other.code, 0, other.stderr);
  });

  test('a file that says more than it may connects nowhere, and is named', async () => {
    const kept = readFileSync(file('lab'), 'utf8');
    for (const [text, why] of [
      [kept.replace('"version"', '"password": "x", "version"'), /unknown field "password"/],
      [kept.replace('"batch"', '"exec": "x", "batch"'), /unknown field options\."exec"/],
      ['{', /not JSON/],
    ] as const) {
      writeFileSync(file('lab'), text);
      const { code, stderr } = await sshdesk('connect', '--profile', 'lab', '--list');
      assert.equal(code, 2, stderr);
      assert.match(stderr, why);
      assert.ok(stderr.startsWith(`${file('lab')}: `), stderr);
    }
    const listed = await sshdesk('profile', 'list');
    assert.equal(listed.code, 2);
    assert.match(listed.stdout, /^wrong +127\.0\.0\.1 /m, 'the others are listed all the same');
    assert.ok(listed.stderr.includes(`${file('lab')}: not JSON`));
    writeFileSync(file('lab'), kept);
    chmodSync(file('lab'), 0o666);
    const open = await sshdesk('connect', '--profile', 'lab', '--list');
    assert.match(open.stderr, /mode 0666 lets others write it/);
    chmodSync(file('lab'), 0o600);
    for (const name of ['nosuch', '../lab', '']) {
      assert.equal((await sshdesk('connect', '--profile', name, '--list')).code, 2, name);
    }
  });

  test('a launcher of the menu starts it, without native parts too, and goes with it', async () => {
    const host = `root@127.0.0.1:${sshd.port}`;
    const words = ['profile', 'add', 'menu', host, ...lab(), '--web', '--no-open'];
    assert.equal((await sshdesk(...words)).code, 0);
    const exported = await sshdesk('profile', 'export', 'menu', '--launcher');
    assert.equal(exported.code, 0, exported.stderr);
    const launcher = join(folder, 'data/applications/sshdesk-menu.desktop');
    assert.equal(exported.stdout, `${launcher}\n`);
    const exec = /^Exec=(.*)$/m.exec(readFileSync(launcher, 'utf8'))?.[1] ?? '';
    // Of a plain path Exec and a shell make the same words.
    // As on a Mac or Windows, where there are no native parts of ours.
    const noAddon = join(folder, 'no-addon.mjs');
    writeFileSync(noAddon, "process.dlopen = () => { throw new Error('not on this system'); };\n");
    await using started = new Child('sh', ['-c', `exec ${exec}`], {
      env: { ...env, NODE_OPTIONS: `--import=${noAddon}` },
      cwd: '/',
    });
    const address = await eventually('the address', () => {
      assert.equal(started.hasExited, false, started.stderr);
      return /^http:\/\/127\.0\.0\.1:\d+\/#\S+$/m.exec(started.stdout)?.[0];
    });
    assert.equal((await fetch(address)).status, 200);
    started.process.kill('SIGINT');
    assert.equal((await started.finished).code, 130);
    const removed = await sshdesk('profile', 'remove', 'menu');
    assert.ok(removed.stdout.includes(launcher), removed.stdout);
    assert.throws(() => statSync(launcher), { code: 'ENOENT' });
  });

  test('exported and brought to another person, it is the same', async () => {
    const copy = join(folder, 'copy.json');
    assert.equal((await sshdesk('profile', 'export', 'lab', '--output', copy)).code, 0);
    const other = join(folder, 'other/sshdesk/profiles');
    mkdirSync(other, { recursive: true, mode: 0o700 });
    writeFileSync(join(other, 'lab.json'), readFileSync(copy), { mode: 0o600 });
    const show = ['profile', 'show', 'lab', '--json'];
    const here = await sshdesk(...show);
    env = { ...env, XDG_CONFIG_HOME: join(folder, 'other') };
    assert.equal((await sshdesk(...show)).stdout, here.stdout);
  });
});
