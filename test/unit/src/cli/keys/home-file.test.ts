/** Where `sshdesk keys add` writes, and where it does not: homes of our own, in one process. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, test } from 'node:test';
import { changeAuthorizedKeys } from '../../../../../src/cli/keys/home-file.ts';
import { ConfigError } from '../../../../../src/base/errors.ts';

let home = '';
let folder = '';
let file = '';

beforeEach(() => {
  home = realpathSync(mkdtempSync(path.join(tmpdir(), 'home-')));
  folder = path.join(home, '.ssh');
  file = path.join(folder, 'authorized_keys');
});

const append = (text: string) =>
  changeAuthorizedKeys(home, (content) => ({
    content: Buffer.concat([content, Buffer.from(text)]),
    value: content.length,
  }));

async function refused(reason: RegExp): Promise<void> {
  await assert.rejects(append('new\n'), (error: Error) => {
    assert.ok(error instanceof ConfigError, error.stack);
    assert.match(error.detail, reason);
    return true;
  });
}

test('folder and file are made, and only for their owner', async () => {
  assert.deepEqual(await append('a\n'), { file, value: 0 });
  await append('b\n');
  assert.equal(readFileSync(file, 'utf8'), 'a\nb\n');
  assert.equal(statSync(folder).mode & 0o7777, 0o700);
  assert.equal(statSync(file).mode & 0o7777, 0o600);
  assert.deepEqual(readdirSync(folder), ['authorized_keys']);
});

test('links: within the home they are followed, out of it refused', async () => {
  const outside = mkdtempSync(path.join(tmpdir(), 'outside-'));
  symlinkSync(outside, folder);
  await refused(/\.ssh: leads to \S+, which is no folder of/);
  rmSync(folder);
  symlinkSync(path.join(home, 'nothing'), folder);
  await refused(/\.ssh: a link to nothing/);
  rmSync(folder);
  mkdirSync(folder, { mode: 0o700 });
  writeFileSync(path.join(outside, 'keys'), '', { mode: 0o600 });
  symlinkSync(path.join(outside, 'keys'), file);
  await refused(/authorized_keys: leads to \S+keys, out of/);
  rmSync(file);
  symlinkSync('/nowhere', file);
  await refused(/authorized_keys: a link to nothing/);
  rmSync(file);
  // A home whose name begins like another.
  mkdirSync(`${home}-too`);
  writeFileSync(`${home}-too/keys`, '');
  symlinkSync(`${home}-too/keys`, file);
  await refused(/out of/);
  rmSync(file);
  const real = path.join(home, 'dotfiles');
  mkdirSync(real, { mode: 0o700 });
  writeFileSync(path.join(real, 'keys'), 'old\n', { mode: 0o640 });
  symlinkSync('../dotfiles/keys', file);
  await append('new\n');
  assert.equal(readFileSync(path.join(real, 'keys'), 'utf8'), 'old\nnew\n');
  assert.equal(statSync(path.join(real, 'keys')).mode & 0o7777, 0o640);
  assert.ok(lstatSync(file).isSymbolicLink());
  chmodSync(real, 0o777);
  await refused(/dotfiles: others can write there/);
});

test('what others can write to', async () => {
  await append('a\n');
  for (const place of [home, folder, file]) {
    for (const mode of [0o777, 0o775, 0o722]) {
      chmodSync(place, mode);
      await refused(new RegExp(`^${place}: others can write there, .*: chmod go-w ${place}$`));
    }
    chmodSync(place, 0o700);
  }
  assert.equal(readFileSync(file, 'utf8'), 'a\n');
  assert.deepEqual(readdirSync(folder), ['authorized_keys']);
});

test('what is no file, too large, or in no home', async () => {
  mkdirSync(file, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  await refused(/not a file of at most/);
  rmSync(file, { recursive: true });
  writeFileSync(file, Buffer.alloc(1024 * 1024 + 1), { mode: 0o600 });
  await refused(/not a file of at most/);
  writeFileSync(file, Buffer.alloc(1024 * 1024));
  await refused(/would be larger/);
  assert.equal(statSync(file).size, 1024 * 1024);
  rmSync(folder, { recursive: true });
  writeFileSync(folder, '');
  await refused(/which is no folder/);
  rmSync(home, { recursive: true });
  await refused(/the home directory is not there/);
});

test('an editor that saves meanwhile: its file is read anew', async () => {
  await append('a\n');
  let calls = 0;
  await changeAuthorizedKeys(home, (content) => {
    calls++;
    if (calls === 1) {
      writeFileSync(`${file}.edited`, 'edited\n', { mode: 0o600 });
      renameSync(`${file}.edited`, file);
    }
    return { content: Buffer.concat([content, Buffer.from('new\n')]), value: undefined };
  });
  assert.equal(readFileSync(file, 'utf8'), 'edited\nnew\n');
  assert.deepEqual(readdirSync(folder), ['authorized_keys']);
});

test('two at once: one after the other', async () => {
  const all = ['1', '2', '3', '4', '5', '6'];
  await Promise.all(all.map((name) => append(`${name}\n`)));
  assert.deepEqual(readFileSync(file, 'utf8').trimEnd().split('\n').toSorted(), all);
});
