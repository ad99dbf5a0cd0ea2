/**
 * `sshdesk keys add`: what stands in authorized_keys afterwards, whose it is, and where nothing is
 * written. Runs in: test, as root, in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Card, noCard } from '../support/card.ts';
import { CardAuthority, makeCardKey } from '../support/card-authority.ts';
import { type Finished, run } from '../support/child.ts';
import { checkout, inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);

describe('sshdesk keys add', lab, () => {
  let alice: LabUser;
  let bob: LabUser;
  let key: TestKey;
  let server: TestServer;

  before(async () => {
    alice = makeUser('alice');
    bob = makeUser('bob');
    key = makeKey('ed25519');
    chmodSync(path.dirname(key.file), 0o755);
    server = await startServer({ config: ['LogLevel VERBOSE'] });
  });
  after(async () => server?.stop());
  beforeEach(() => {
    for (const name of readdirSync(alice.home)) {
      rmSync(path.join(alice.home, name), { recursive: true, force: true });
    }
    rmSync(path.join(alice.home, '.ssh'), { recursive: true, force: true });
    chownSync(alice.home, alice.uid, alice.gid);
    chmodSync(alice.home, 0o755);
  });

  const sshdesk = path.join(checkout, 'sshdesk');
  const add = (...args: readonly string[]): Promise<Finished> =>
    run(sshdesk, ['keys', 'add', ...args]);
  const addAs = (user: LabUser, ...args: readonly string[]): Promise<Finished> =>
    run('setpriv', [
      ...[`--reuid=${user.uid}`, `--regid=${user.gid}`, '--init-groups'],
      ...['env', `HOME=${user.home}`, sshdesk, 'keys', 'add', ...args],
    ]);
  const folder = () => path.join(alice.home, '.ssh');
  const file = () => path.join(folder(), 'authorized_keys');
  const publicFile = (of: TestKey) => `${of.file}.pub`;
  /** Of the user's own making. */
  const put = (content: string, mode = 0o600): void => {
    mkdirSync(folder(), { recursive: true, mode: 0o700 });
    writeFileSync(file(), content);
    chmodSync(file(), mode);
    for (const one of [folder(), file()]) chownSync(one, alice.uid, alice.gid);
  };
  const refused = async (finished: Promise<Finished>, reason: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await finished;
    assert.equal(code, 1, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, reason);
  };

  test('makes folder and file as their owner, once, and the key logs in', async () => {
    const first = await add('alice', '--file', publicFile(key));
    assert.deepEqual([first.code, first.stderr], [0, '']);
    assert.match(first.stdout, /^\/\S+\/authorized_keys:1: added ssh-ed25519 SHA256:\S+\n$/);
    assert.equal(readFileSync(file(), 'utf8'), `${key.line}\n`);
    for (const [place, mode] of [
      [folder(), 0o700],
      [file(), 0o600],
    ] as const) {
      const status = statSync(place);
      assert.deepEqual(
        [status.uid, status.gid, status.mode & 0o7777],
        [alice.uid, alice.gid, mode],
      );
    }
    const { status, stderr } = await ssh(server, { user: 'alice', key }, 'true');
    assert.equal(status, 0, stderr);
    const again = await add('alice', '--file', publicFile(key));
    assert.equal(again.code, 0);
    assert.match(again.stdout, /:1: ssh-ed25519 SHA256:\S+ is there already\n$/);
    assert.equal(readFileSync(file(), 'utf8'), `${key.line}\n`);
    assert.deepEqual(readdirSync(folder()), ['authorized_keys']);
  });

  test('keeps what stood there, its mode, and ends a last line that had no end', async () => {
    const before = '# mine\r\n\n  garbage here\nssh-rsa AAAA of an old key';
    put(before, 0o644);
    const { code } = await add('alice', '--file', publicFile(key), '--options', 'restrict,pty');
    assert.equal(code, 0);
    assert.equal(readFileSync(file(), 'utf8'), `${before}\nrestrict,pty ${key.line}\n`);
    assert.equal(statSync(file()).mode & 0o7777, 0o644);
    assert.equal(statSync(file()).uid, alice.uid);
  });

  test('options are those that sshd knows, and one that is there is not changed', async () => {
    await refused(
      add('alice', '--file', publicFile(key), '--options', 'nonsense'),
      /unknown key option/,
    );
    assert.ok(!existsSync(folder()));
    const options = 'restrict,command="echo a \\"b\\" c"';
    await add('alice', '--file', publicFile(key), '--options', options);
    const { stdout } = await ssh(server, { user: 'alice', key }, 'true');
    assert.equal(stdout.toString(), 'a b c\n');
    const other = await add('alice', '--file', publicFile(key));
    assert.equal(other.code, 1);
    assert.match(other.stdout, /is there with other options \(restrict,command=/);
    assert.equal(readFileSync(file(), 'utf8'), `${options} ${key.line}\n`);
  });

  test('says so when the daemon of this machine does not read that file', async () => {
    const config = '/etc/ssh/sshd_config';
    const before = existsSync(config) ? readFileSync(config) : '';
    try {
      writeFileSync(config, 'Match User alice\nAuthorizedKeysFile /etc/ssh/keys/%u\n');
      const { code, stderr } = await add('alice', '--file', publicFile(key));
      assert.equal(code, 0);
      assert.match(
        stderr,
        /^Warning: AuthorizedKeysFile of \S+ names \/etc\/ssh\/keys\/alice for alice, and not /,
      );
      const other = await addAs(bob, '--file', publicFile(key));
      assert.deepEqual([other.code, other.stderr], [0, '']);
    } finally {
      writeFileSync(config, before);
    }
  });

  test('--json', async () => {
    const { stdout } = await add('alice', '--file', publicFile(key), '--json');
    const [row] = JSON.parse(stdout) as readonly Record<string, unknown>[];
    assert.deepEqual(
      [row?.user, row?.file, row?.line, row?.state, row?.options],
      ['alice', file(), 1, 'added', ''],
    );
  });

  test('a link out of the home, and what others can write to', async () => {
    const outside = mkdtempSync('/tmp/outside-');
    chownSync(outside, alice.uid, alice.gid);
    symlinkSync(outside, folder());
    await refused(
      add('alice', '--file', publicFile(key)),
      /\.ssh: leads to \/tmp\/outside-\S+, which is no folder of/,
    );
    assert.deepEqual(readdirSync(outside), []);
    rmSync(folder());
    put('');
    rmSync(file());
    // Root could read and replace it.
    writeFileSync(file(), '', { mode: 0o600 });
    await refused(add('alice', '--file', publicFile(key)), /cannot be read \(EACCES\)/);
    rmSync(file());
    chmodSync(alice.home, 0o777);
    await refused(add('alice', '--file', publicFile(key)), /others can write there.*: chmod go-w /);
    assert.deepEqual(readdirSync(folder()), []);
  });

  test('a link within the home is followed, and stays', async () => {
    put('');
    const real = path.join(alice.home, 'dotfiles-keys');
    renameSync(file(), real);
    symlinkSync('../dotfiles-keys', file());
    assert.equal((await add('alice', '--file', publicFile(key))).code, 0);
    assert.equal(readFileSync(real, 'utf8'), `${key.line}\n`);
    assert.ok(lstatSync(file()).isSymbolicLink());
  });

  test('many at once: each key is there', async () => {
    const keys = Array.from({ length: 4 }, () => makeKey('ed25519'));
    const all = await Promise.all(keys.map((one) => add('alice', '--file', publicFile(one))));
    for (const { code, stderr } of all) assert.equal(code, 0, stderr);
    const lines = readFileSync(file(), 'utf8').trimEnd().split('\n');
    assert.deepEqual(lines.toSorted(), keys.map(({ line }) => line).toSorted());
    assert.deepEqual(readdirSync(folder()), ['authorized_keys']);
  });

  test('a plain user: their own, and nobody else’s', async () => {
    const own = await addAs(alice, '--file', publicFile(key));
    assert.equal(own.code, 0, own.stderr);
    assert.equal(readFileSync(file(), 'utf8'), `${key.line}\n`);
    await refused(addAs(bob, 'alice', '--file', publicFile(key)), /only root adds keys of others/);
    await refused(add('--file', publicFile(key)), /whose\? sshdesk keys add USER/);
    await refused(add(String(alice.uid), '--file', publicFile(key)), /there is no account/);
  });

  test('the key of a certificate', async () => {
    const certified = makeCardKey();
    const pem = path.join(mkdtempSync('/tmp/cert-'), 'card.pem');
    writeFileSync(
      pem,
      new CardAuthority('Cards').certify(certified, { subject: '/O=Lab/CN=Al ice' }),
    );
    const { code, stderr } = await add('alice', '--certificate', pem);
    assert.equal(code, 0, stderr);
    const [type, base64] = certified.line.split(' ');
    assert.equal(readFileSync(file(), 'utf8'), `${type} ${base64} CN=Al ice,O=Lab\n`);
    assert.equal((await ssh(server, { user: 'alice', key: certified }, 'true')).status, 0);
  });

  test('a key of a card, by its label or id where there are several', {
    skip: noCard() ?? false,
  }, async () => {
    const card = new Card();
    card.makeKey('EC:prime256v1', '01');
    const fromCard = (...args: readonly string[]) =>
      run(sshdesk, ['keys', 'add', 'alice', '--pkcs11', card.module, ...args], {
        env: { ...process.env, ...card.environment() },
      });
    const only = await fromCard();
    assert.equal(only.code, 0, only.stderr);
    const [first = ''] = card.keys();
    assert.ok(readFileSync(file(), 'utf8').startsWith(first.split(' ').slice(0, 2).join(' ')));
    card.makeKey('rsa:2048', '0a');
    await refused(
      fromCard(),
      /which of these keys\?\n {2}--key 01 {2}'key 01' {2}SHA256:\S+\n {2}--key 0a/,
    );
    await refused(fromCard('--key', 'nothing'), /no such key; there are:\n/);
    for (const name of ['0A', 'key 0a']) {
      const { code, stderr } = await fromCard('--key', name);
      assert.equal(code, 0, stderr);
    }
    const lines = readFileSync(file(), 'utf8').trimEnd().split('\n');
    assert.equal(lines.length, 2);
    assert.match(lines[1] ?? '', /^ssh-rsa \S+ key 0a$/);
    const { status, stderr } = await ssh(
      server,
      {
        user: 'alice',
        args: ['-o', 'IdentitiesOnly=no', '-o', `PKCS11Provider=${card.module}`],
        environment: card.environment(),
      },
      'true',
    );
    assert.equal(status, 0, stderr);
  });
});
