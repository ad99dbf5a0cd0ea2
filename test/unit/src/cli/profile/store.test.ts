/** The files of profiles: for their owner alone, whole or not at all. Runs in: test. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { ProfileStore, profileFolder } from '../../../../../src/cli/profile/store.ts';

let base: string;
let folder: string;
let store: ProfileStore;
let count = 0;
before(async () => {
  base = await mkdtemp(join(tmpdir(), 'sshdesk-profiles-'));
});
beforeEach(() => {
  folder = join(base, String((count += 1)), 'sshdesk', 'profiles');
  store = new ProfileStore(folder);
});
after(() => rm(base, { recursive: true, force: true }));

const profile = (name: string, host = 'desk') => ({ name, host, options: {} });

test('the folder is of the XDG specification', () => {
  assert.equal(profileFolder({}, '/home/a'), '/home/a/.config/sshdesk/profiles');
  assert.equal(profileFolder({ XDG_CONFIG_HOME: '/x' }, '/home/a'), '/x/sshdesk/profiles');
  assert.equal(profileFolder({ XDG_CONFIG_HOME: 'x' }, '/h'), '/h/.config/sshdesk/profiles');
});

test('a profile is written, listed, read, replaced and removed', async () => {
  assert.deepEqual(await store.names(), []);
  const path = await store.write(profile('work'), false);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  await store.write(profile('home', 'bob@home'), false);
  assert.deepEqual(await store.names(), ['home', 'work']);
  assert.deepEqual(await store.read('home'), profile('home', 'bob@home'));
  await assert.rejects(store.write(profile('work', 'evil'), false), /there is a profile work/);
  assert.equal((await store.read('work')).host, 'desk');
  await store.write(profile('work', 'other'), true);
  assert.equal((await store.read('work')).host, 'other');
  assert.deepEqual(readdirSync(folder), ['home.json', 'work.json'], 'nothing else is left');
  await store.remove('work');
  await assert.rejects(store.remove('work'), /no profile work/);
  await assert.rejects(store.read('work'), /no profile work; sshdesk profile list/);
});

test('names lead to no other file', async () => {
  for (const name of ['../../x', '/etc/passwd', '.', 'a/b', '']) {
    await assert.rejects(store.read(name), /not a name of a profile/);
    await assert.rejects(store.write(profile(name), true), /not a name of a profile/);
    await assert.rejects(store.remove(name), /not a name of a profile/);
  }
});

test('a file that is wrong is named, with its field', async () => {
  const path = await store.write(profile('work'), false);
  writeFileSync(path, '{"version":1,"host":"desk","extra":1}');
  await assert.rejects(store.read('work'), {
    message: `${path}: unknown field "extra"`,
  });
  writeFileSync(path, ' '.repeat(65 * 1024));
  await assert.rejects(store.read('work'), /work\.json: too large/);
});

test('what others can write is not used', async () => {
  const path = await store.write(profile('work'), false);
  chmodSync(path, 0o620);
  await assert.rejects(store.read('work'), /work\.json: mode 0620 lets others write it/);
  chmodSync(path, 0o644);
  assert.equal((await store.read('work')).host, 'desk');
  chmodSync(folder, 0o777);
  await assert.rejects(store.read('work'), /profiles: mode 0777 lets others write it/);
  await assert.rejects(store.write(profile('new'), false), /mode 0777/);
});

test('no file of another kind holds the reader up', async () => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  mkdirSync(join(folder, 'folder.json'));
  symlinkSync('/dev/zero', join(folder, 'zero.json'));
  await assert.rejects(store.read('folder'), /not a file|EISDIR/);
  await assert.rejects(store.read('zero'), /not a file/);
});
