/** Passwords of the NX database: made, checked, made anew at another cost, four at once. */
import assert from 'node:assert/strict';
import { mkdtempSync, statSync } from 'node:fs';
import path from 'node:path';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { answersIn } from '../../../../src/monitor/nx-conversation.ts';
import { NxDatabase } from '../../../../src/monitor/nx-database.ts';
import { NxPasswords } from '../../../../src/monitor/nx-password.ts';

const cheap = { memoryKib: 8, passes: 1, lanes: 1 };
const dearer = { memoryKib: 16, passes: 2, lanes: 1 };
const secret = () => Buffer.from('secret');

test('a password is what was set, and nothing else is; each has a salt of its own', async () => {
  const passwords = new NxPasswords(cheap);
  const stored = await passwords.hash(secret());
  assert.match(stored, /^\$argon2id\$v=19\$m=8,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.notEqual(await passwords.hash(secret()), stored);
  assert.equal(await passwords.verify(secret(), stored), true);
  assert.equal(await passwords.verify(Buffer.from('Secret'), stored), false);
  assert.equal(await passwords.verify(secret(), undefined), false);
  const empty = await passwords.hash(Buffer.alloc(0));
  assert.equal(await passwords.verify(Buffer.alloc(0), empty), false, 'an empty one opens nothing');
});

test('what is written in the file is bounded and read strictly', async () => {
  const passwords = new NxPasswords(cheap);
  const stored = await passwords.hash(secret());
  for (const broken of [
    '',
    '*',
    '5ebe2294ecd0e0f08eab7690d2a6ee69',
    stored.replace('argon2id', 'argon2i'),
    stored.replace('m=8', 'm=9999999'),
    stored.replace('t=1', 't=99'),
    stored.replace('p=1', 'p=0'),
    stored.replace('v=19', 'v=16'),
    `${stored}x`,
    stored.slice(0, -1),
  ]) {
    assert.equal(await passwords.verify(secret(), broken), false, broken);
  }
});

test('another cost: what there is goes on, and is known as outdated', async () => {
  const stored = await new NxPasswords(cheap).hash(secret());
  const passwords = new NxPasswords(dearer);
  assert.equal(await passwords.verify(secret(), stored), true);
  assert.equal(passwords.isOutdated(stored), true);
  assert.equal(passwords.isOutdated(await passwords.hash(secret())), false);
});

test('many at once are all answered, each rightly', async () => {
  const passwords = new NxPasswords(cheap);
  const stored = await passwords.hash(secret());
  const verdicts = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      passwords.verify(Buffer.from(n % 3 === 0 ? 'secret' : `wrong${n}`), stored),
    ),
  );
  assert.deepEqual(
    verdicts,
    Array.from({ length: 20 }, (_, n) => n % 3 === 0),
  );
});

test('the database: two tables, a file of its owner alone, nothing renewed that was changed', () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'nx-')), 'nx.db');
  assert.equal(NxDatabase.ifThere(file), undefined);
  using database = new NxDatabase(file);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(database.add('alice', 1), true);
  assert.equal(database.add('alice', 2), false);
  database.setPassword('bob', 'one', 1);
  assert.deepEqual([database.isListed('alice'), database.isListed('bob')], [true, false]);
  database.renewPassword('bob', 'another', 'lost');
  assert.equal(database.passwordOf('bob'), 'one');
  database.renewPassword('bob', 'one', 'two');
  assert.equal(NxDatabase.ifThere(file)?.passwordOf('bob'), 'two');
  assert.equal(database.remove('bob'), true);
  assert.equal(database.remove('bob'), false);
  assert.deepEqual(database.users(), ['alice']);
});

test('a line is split at its end, and only where something is left in front', () => {
  const split = (text: string, count: number) =>
    answersIn(Buffer.from(text), count).map((one) => one.toString());
  assert.deepEqual(split('password123456', 0), ['password123456']);
  assert.deepEqual(split('password123456', 6), ['password', '123456']);
  assert.deepEqual(split('123456', 6), ['123456']);
  assert.deepEqual(split('', 6), ['']);
});
