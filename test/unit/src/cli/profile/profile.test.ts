/** What a profile's file may say, and what the command line takes from it. Runs in: test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { givenOptions } from '../../../../../src/cli/connect/unknown-option.ts';
import { withProfile } from '../../../../../src/cli/profile/merge.ts';
import { storedOptions } from '../../../../../src/cli/profile/options.ts';
import {
  checkProfile,
  formatProfile,
  isProfileName,
  parseProfile,
} from '../../../../../src/cli/profile/profile.ts';
import type { Profile } from '../../../../../src/cli/profile/profile.ts';
import { describedCommands } from '../../../../support/command-reference.ts';

const work: Profile = {
  name: 'work',
  host: 'alice@desk.example:2222',
  options: {
    i: ['~/.ssh/id_work'],
    o: ['StrictHostKeyChecking=yes'],
    p: '2200',
    l: 'carol',
    session: 'main',
    web: true,
    'web-port': '8080',
    open: false,
  },
};

/** Done once, or about the profile itself. */
const notKept = [
  ...['host', 'profile', 'list', 'json', 'screenshot', 'wait'],
  // About one command; and AddressFamily says what -4 and -6 do.
  ...['s', 't', 'T', 'n', 'x', '4', '6'],
];

test('every option of connect is kept in a profile, or says that it is not', async () => {
  const connect = (await describedCommands()).find(({ name }) => name === 'connect');
  assert.ok(connect !== undefined);
  const names = connect.arguments.map(({ name }) => name);
  assert.deepEqual(
    names.filter((name) => !notKept.includes(name)).sort(),
    storedOptions.map(({ name }) => name).sort(),
    'src/cli/profile/options.ts has the options of connect; notKept here the others',
  );
  for (const { name, kind } of storedOptions) {
    const declared: { readonly takesValue: boolean } | undefined = connect.arguments.find(
      (one) => one.name === name,
    );
    assert.equal(declared?.takesValue, kind !== 'flag', name);
  }
});

test('what is written is what is read', () => {
  assert.deepEqual(parseProfile('work', formatProfile(work)), work);
  const plain = { name: 'a', host: 'desk', options: {} };
  assert.deepEqual(parseProfile('a', '{"version":1,"host":"desk"}'), plain);
});

test('names are plain', () => {
  for (const name of ['a', 'Work-2.home_x', '7', 'x'.repeat(64)]) assert.ok(isProfileName(name));
  for (const name of [
    '',
    '.',
    '..',
    '.a',
    '-a',
    'a/b',
    'a\\b',
    'a b',
    'a\n',
    'ä',
    'x'.repeat(65),
  ]) {
    assert.equal(isProfileName(name), false, name);
  }
});

test('a file with anything that is not known is refused, and the field is named', () => {
  const file = (change: object): string =>
    JSON.stringify({ version: 1, host: 'desk', options: {}, ...change });
  for (const [text, why] of [
    ['', /not JSON/],
    ['[]', /not an object/],
    ['null', /not an object/],
    [file({ passwd: 'x' }), /unknown field "passwd"/],
    [file({ options: { screenshot: 'x' } }), /unknown field options\."screenshot"/],
    [file({ options: { toString: 'x' } }), /unknown field options\."toString"/],
    ['{"version":1,"host":"desk","__proto__":{}}', /unknown field "__proto__"/],
    [
      '{"version":1,"host":"desk","options":{"__proto__":"x"}}',
      /unknown field options\."__proto__"/,
    ],
    [file({ version: 2 }), /version: 1 is expected/],
    [file({ version: '1' }), /version: 1 is expected/],
    [file({ host: 7 }), /host: a text/],
    [file({ host: undefined }), /host: a text/],
    [file({ host: '-oProxyCommand=x' }), /not a host name/],
    [file({ host: 'a b' }), /not a host name/],
    [file({ host: 'desk\n' }), /control character/],
    [file({ host: `${'x'.repeat(5000)}` }), /more than 4096/],
    [file({ options: [] }), /options: an object/],
    [file({ options: { i: 'key' } }), /options\.i: a list/],
    [file({ options: { i: [] } }), /options\.i: 1 to 64/],
    [file({ options: { i: Array.from({ length: 65 }, () => 'k') } }), /options\.i: 1 to 64/],
    [file({ options: { i: ['a\u0000b'] } }), /control character/],
    [file({ options: { p: '70000' } }), /not a port/],
    [file({ options: { p: 22 } }), /options\.p: a text/],
    [file({ options: { geometry: 'large' } }), /not a geometry/],
    [file({ options: { web: 'yes' } }), /options\.web: true or false/],
    [file({ options: { o: ['NoSuchThing=1'] } }), /no such option/],
  ] as const) {
    assert.throws(() => parseProfile('x', text), { message: why }, text.slice(0, 80));
  }
});

test('a profile holds no secret', () => {
  const refused = (host: string, o: readonly string[] = []) =>
    assert.throws(
      () => checkProfile({ name: 'x', host, options: o.length === 0 ? {} : { o } }),
      /never holds a password|may hold a secret/,
      `${host} ${o.join(' ')}`,
    );
  refused('alice:hunter2@desk');
  for (const option of ['SetEnv=TOKEN=x', 'setenv TOKEN=x', 'ProxyCommand=x', 'LocalCommand=x']) {
    refused('desk', [option]);
  }
});

const known = new Map<string, boolean>([
  ...['i', 'o', 'p', 'l', 's', 'session', 'web-port', 'screenshot', 'profile'].map(
    (name) => [name, true] as const,
  ),
  ...['web', 'open', 'batch', 'A', 'a', 'N', 'list'].map((name) => [name, false] as const),
]);
const merged = (words: readonly string[], given: Record<string, unknown>) =>
  withProfile({ host: undefined, ...given }, givenOptions(words, known), work) as Record<
    string,
    unknown
  >;

test('without options of its own the command line takes all of the profile', () => {
  const all = merged(['--profile', 'work'], { web: false, open: true });
  assert.deepEqual({ host: all.host, ...all }, { host: work.host, ...work.options });
});

test('what the command line has, wins', () => {
  const own = merged(['--session', 'other', '-p', '22', '--profile=work'], {
    session: 'other',
    p: '22',
    open: true,
  });
  assert.equal(own.session, 'other');
  assert.equal(own.p, '22');
  assert.equal(own.l, 'carol');
  assert.equal(merged(['--no-web'], { web: false }).web, false);
  assert.equal(merged(['--webPort', '1'], { 'web-port': '1' })['web-port'], '1');
});

test('lists are put together, those of the command line first', () => {
  const both = merged(['-i', 'mine', '-o', 'A=b'], { i: ['mine'], o: ['A=b'] });
  assert.deepEqual(both.i, ['mine', '~/.ssh/id_work']);
  assert.deepEqual(both.o, ['A=b', 'StrictHostKeyChecking=yes']);
});

test('another purpose replaces the whole of the profile’s', () => {
  const shot = merged(['--screenshot', 'x.png'], { screenshot: 'x.png', web: false, open: true });
  assert.deepEqual([shot.web, shot['web-port'], shot.open], [false, undefined, true]);
  assert.equal(merged(['--list'], { list: true, web: false }).web, false);
  assert.equal(merged(['--list'], { list: true }).session, 'main');
  const sftp = merged(['-s', 'sftp'], { s: 'sftp', web: false, open: true });
  assert.deepEqual([sftp.web, sftp.open, sftp.session], [false, true, undefined]);
  const command = merged(['--profile', 'work', '--', 'ls'], { '--': ['ls'], web: false });
  assert.deepEqual([command.web, command.session, command.l], [false, undefined, 'carol']);
  const tunnels: Profile = { ...work, options: { N: true, D: ['1080'] } };
  const shown = withProfile({ host: undefined, N: false }, new Set(['web']), tunnels);
  assert.deepEqual([shown.N, (shown as Record<string, unknown>).D], [false, ['1080']]);
});

test('another host brings its user and port with it', () => {
  const there = merged(['bob@other:22'], { host: 'bob@other:22' });
  assert.deepEqual([there.host, there.l, there.p], ['bob@other:22', undefined, undefined]);
  const plain = merged(['other'], { host: 'other' });
  assert.deepEqual([plain.host, plain.l, plain.p], ['other', 'carol', '2200']);
});

test('options are told from their values', () => {
  const given = (...words: readonly string[]) => [...givenOptions(words, known)].sort();
  assert.deepEqual(given('--session', '--web', 'host'), ['session']);
  assert.deepEqual(given('-A', '-a', '-p', '-l', '--no-open', 'host'), ['A', 'a', 'open', 'p']);
  assert.deepEqual(given('host', '--', '--web'), []);
});
