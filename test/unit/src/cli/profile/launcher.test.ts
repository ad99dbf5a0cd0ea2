/** Launchers say what they are to start, and nothing of a hostile name or host more. Runs in: test. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  launcherPath,
  launcherText,
  removeLauncher,
  writeLauncher,
} from '../../../../../src/cli/profile/launcher.ts';
import type { Profile } from '../../../../../src/cli/profile/profile.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sshdesk-launcher-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const work: Profile = { name: 'work', host: 'alice@desk.example', options: {} };
const program = '/srv/sshdesk/sshdesk';

/** Reads as the specification has a menu read it: escapes of a string, then words of Exec. */
function wordsOf(text: string): readonly string[] {
  const line = /^Exec=(.*)$/m.exec(text)?.[1];
  assert.ok(line !== undefined);
  const escapes: Record<string, string> = { s: ' ', n: '\n', t: '\t', r: '\r', '\\': '\\' };
  const value = line.replace(/\\(.)/g, (_whole, one: string) => escapes[one] ?? assert.fail(one));
  const words: string[] = [];
  const word = /"((?:[^"`$\\]|\\["`$\\])*)"|([^\s"'\\><~|&;$*?#()`]+)/y;
  for (let at = 0; at < value.length; at = word.lastIndex + 1) {
    word.lastIndex = at;
    const [, quoted, plain] = word.exec(value) ?? assert.fail(`${value} at ${at}`);
    assert.ok(word.lastIndex === value.length || value[word.lastIndex] === ' ');
    words.push(
      (quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '').replace(/%(.)/g, (_whole, one) =>
        one === '%' ? '%' : assert.fail(`field code %${one}`),
      ),
    );
  }
  return words;
}

test('the command line is the profile’s name, whatever the path of the program is', () => {
  const programs = [
    program,
    '/with blank/sshdesk',
    '/quote"/back\\slash/$HOME/`id`/sshdesk',
    "/it's;rm -rf ~/(x)&|<>*?#/sshdesk",
    '/percent%f%%u/sshdesk',
    '/trailing\\',
  ];
  for (const path of programs) {
    const text = launcherText(work, path);
    assert.deepEqual(wordsOf(text), [path, 'connect', '--profile', 'work']);
  }
  assert.throws(() => launcherText(work, '/new\nline/sshdesk'), /cannot stand in a launcher/);
});

test('a hostile host adds no line, no key and no word', () => {
  const hosts = [
    'alice@desk\\nExec=/bin/evil',
    'a"; rm -rf ~ #@desk',
    '$(id)@desk',
    '%f%u@desk',
    ' leading@desk',
    '\\s\\t@desk',
  ];
  const expected = launcherText(work, program).split('\n');
  for (const host of hosts) {
    const lines = launcherText({ ...work, host }, program).split('\n');
    assert.equal(lines.length, expected.length, host);
    for (const [at, line] of lines.entries()) {
      if (!line.startsWith('Comment=')) assert.equal(line, expected[at], host);
    }
  }
});

test('one that asks nothing needs no terminal', () => {
  assert.match(launcherText(work, program), /^Terminal=true$/m);
  assert.match(launcherText({ ...work, options: { batch: true } }, program), /^Terminal=false$/m);
});

test('it is in the menu of the person, and goes with the profile; another file stays', async () => {
  const path = launcherPath('work', { XDG_DATA_HOME: folder });
  assert.equal(path, join(folder, 'applications', 'sshdesk-work.desktop'));
  assert.equal(launcherPath('a', {}, '/h'), '/h/.local/share/applications/sshdesk-a.desktop');
  await writeLauncher(path, work, program);
  await writeLauncher(path, { ...work, host: 'other' }, program);
  assert.match(readFileSync(path, 'utf8'), /The desktop of other/);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(join(folder, 'applications')), ['sshdesk-work.desktop']);
  await assert.rejects(writeLauncher(path, { ...work, name: 'home' }, program), /not the launcher/);
  assert.equal(await removeLauncher(path, 'home'), false);
  assert.equal(await removeLauncher(path, 'work'), true);
  assert.equal(await removeLauncher(path, 'work'), false);
  const other = join(folder, 'notes.desktop');
  writeFileSync(other, 'mine\n');
  await assert.rejects(writeLauncher(other, work, program), /not the launcher of work/);
  assert.equal(readFileSync(other, 'utf8'), 'mine\n');
});

test('desktop-file-validate finds nothing wrong', async (t) => {
  if (spawnSync('desktop-file-validate', ['--help']).error !== undefined) {
    t.skip('desktop-file-validate is not here (Debian package desktop-file-utils)');
    return;
  }
  for (const [at, path] of [program, '/quote"/b\\s/$HOME/`id`/100%/sshdesk'].entries()) {
    const file = join(folder, `check-${at}.desktop`);
    await writeLauncher(file, work, path);
    const { status, stdout } = spawnSync('desktop-file-validate', [file], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  }
});
