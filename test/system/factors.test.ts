/**
 * AuthenticationMethods: chains of factors, as sshd runs them, and what stays bound when there is
 * more than one. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { FactorClient } from '../support/factors.ts';
import { FewServers } from '../support/few-servers.ts';
import { authorize, findUser, inLab, makeUser, run, writePamService } from '../support/lab.ts';
import { makeRawKey } from '../support/raw-ssh.ts';
import { serverKind, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url, 600_000);
const secret = 'oldpw-Xy7';
const [one, two, other] = [makeRawKey(), makeRawKey(), makeRawKey()];
const users = { known: 'alice', unknown: 'nobody-such', refused: 'mallory' };

describe('several factors', lab, () => {
  const servers = new FewServers();
  /** UsePAM, every method on. */
  const serverFor = async (methods: string, ...more: readonly string[]): Promise<TestServer> =>
    await servers.with([
      ...more,
      'UsePAM yes',
      'KbdInteractiveAuthentication yes',
      'PasswordAuthentication yes',
      'AllowUsers alice root',
      'LogLevel VERBOSE',
      'MaxStartups 100',
      `AuthenticationMethods ${methods}`,
    ]);
  const open = async (server: TestServer, user = users.known) =>
    await FactorClient.open(server.port, user);

  before(() => {
    for (const name of [users.known, users.refused]) {
      makeUser(name, { password: secret, authorizedKeys: [one.line, two.line] });
    }
  });
  after(async () => {
    await servers[Symbol.asyncDispose]();
  });

  test('a list is met in its order; FAILURE says what may come next, and that it was partial', async () => {
    const server = await serverFor('publickey,password publickey,keyboard-interactive');
    using client = await open(server);
    assert.equal(await client.none(), 'refused: publickey');
    assert.equal(await client.sign(one), 'partial: password,keyboard-interactive');
    assert.equal(await client.password('wrong'), 'refused: password,keyboard-interactive');
    assert.equal(await client.password(secret), 'accepted');
    assert.equal(await client.raw.exec('id -un'), 'alice\n');
    const log = server.log();
    assert.match(
      log,
      /Partial publickey for alice from 127\.0\.0\.1 port \d+ ssh2: ED25519 SHA256:/,
    );
    assert.match(log, /Failed password for alice from 127\.0\.0\.1 port \d+ ssh2$/m);
    assert.match(log, /Accepted password for alice from 127\.0\.0\.1 port \d+ ssh2$/m);
    assert.equal(log.match(/Accepted /g)?.length, /Accepted key /.test(log) ? 2 : 1);

    using second = await open(server);
    await second.none();
    assert.equal(await second.query(one), 'acceptable');
    assert.equal(await second.sign(one), 'partial: password,keyboard-interactive');
    assert.equal((await second.keyboard([secret])).reply, 'accepted');
    await server.logged(/Accepted keyboard-interactive\/pam for alice from 127\.0\.0\.1/);
    assert.match(
      server.log(),
      /Postponed publickey for alice from 127\.0\.0\.1 port \d+ ssh2 \[preauth\]/,
    );
    assert.match(
      server.log(),
      /Postponed keyboard-interactive for alice from 127\.0\.0\.1 port \d+ ssh2 \[preauth\]/,
    );
  });

  test('a method that is not next is refused and counted, whatever comes with it', async () => {
    const server = await serverFor('publickey,password');
    using client = await open(server);
    assert.equal(await client.none(), 'refused: publickey');
    for (let tries = 1; tries < 6; tries++) {
      assert.equal(await client.password(secret), 'refused: publickey', `try ${tries}`);
    }
    assert.equal(await client.password(secret), 'closed 2: Too many authentication failures');
    using second = await open(server);
    assert.equal(await second.sign(one), 'partial: password');
    assert.equal(await second.sign(two), 'refused: password', 'a key is no password');
    assert.equal((await second.keyboard([secret])).reply, 'refused: password');
    assert.equal(await second.password(secret), 'accepted');
  });

  test('the same method twice takes two keys', async () => {
    const server = await serverFor('publickey,publickey');
    using client = await open(server);
    assert.equal(await client.sign(one), 'partial: publickey');
    assert.equal(await client.query(one), 'refused: publickey');
    assert.equal(await client.sign(one), 'refused: publickey');
    assert.match(server.log(), /refusing previously-used ED25519 key/);
    assert.equal(await client.sign(other), 'refused: publickey');
    assert.equal(await client.sign(two), 'accepted');
  });

  test('a key that was asked about is not one that has signed', async () => {
    const server = await serverFor('publickey,publickey');
    using client = await open(server);
    assert.equal(await client.query(one), 'acceptable');
    assert.equal(await client.sign(two), 'partial: publickey');
    assert.equal(await client.sign(one), 'accepted');
  });

  test('two consecutive dialogues of keyboard-interactive', async () => {
    const server = await serverFor('keyboard-interactive,keyboard-interactive');
    using client = await open(server);
    assert.equal((await client.keyboard([secret])).reply, 'partial: keyboard-interactive');
    assert.equal((await client.keyboard(['wrong'])).reply, 'refused: keyboard-interactive');
    assert.equal((await client.keyboard([secret])).reply, 'accepted');
  });

  test('keyboard-interactive:pam is met by PAM, another submethod by nothing', async () => {
    const server = await serverFor('keyboard-interactive:pam');
    using client = await open(server);
    assert.equal(await client.none(), 'refused: keyboard-interactive');
    assert.equal((await client.keyboard([secret])).reply, 'accepted');
    for (const submethod of ['*', 'bsdauth', 'pamx', '']) {
      const strict = await serverFor(`publickey,keyboard-interactive:${submethod}`);
      using second = await open(strict);
      assert.equal(await second.sign(one), 'partial: keyboard-interactive');
      const { reply, shown } = await second.keyboard([secret]);
      assert.deepEqual([reply, shown], ['refused: keyboard-interactive', []], submethod);
    }
  });

  test('any and none; a method that is offered but in no list is not to be had', async () => {
    const any = await serverFor('any');
    using client = await open(any);
    assert.equal(await client.none(), 'refused: publickey,password,keyboard-interactive');
    assert.equal(await client.password(secret), 'accepted');
    const none = await serverFor('none');
    using second = await open(none);
    assert.equal(await second.none(), 'refused: ');
    assert.equal(await second.sign(one), 'refused: ');
    assert.equal(await second.password(secret), 'refused: ');
    const key = await serverFor('publickey');
    using third = await open(key);
    assert.equal(await third.password(secret), 'refused: publickey');
    assert.equal(await third.sign(one), 'accepted');
  });

  test('lists with a method that is off do not count', async () => {
    const server = await serverFor('password,hostbased publickey,password gssapi-with-mic');
    using client = await open(server);
    assert.equal(await client.none(), 'refused: publickey');
    assert.equal(await client.sign(one), 'partial: password');
    assert.equal(await client.password(secret), 'accepted');
  });

  test('unknown and refused users get the same answers in every chain', async () => {
    for (const methods of [
      'publickey,password',
      'password,publickey',
      'keyboard-interactive,publickey password,keyboard-interactive',
      'publickey,publickey',
    ]) {
      const server = await serverFor(methods);
      const [known, ...others] = await Promise.all(
        Object.values(users).map(async (user) => {
          using client = await open(server, user);
          const { reply, shown } = await client.keyboard(['wrong']);
          return [
            await client.none(),
            await client.query(other),
            await client.sign(other),
            await client.password('wrong'),
            ...[reply, ...shown],
          ].map((text) => text.replaceAll(user, 'USER'));
        }),
      );
      for (const seen of others) {
        assert.deepEqual(seen, known, methods);
      }
    }
  });

  test('what is right for another user opens nothing for one who may not log in', async () => {
    const server = await serverFor('publickey,password');
    using client = await open(server, users.refused);
    assert.equal(await client.sign(one), 'refused: publickey');
    assert.equal(await client.password(secret), 'refused: publickey');
  });

  test('partial success says nothing where nothing more is wanted', async () => {
    const server = await serverFor('publickey password,publickey');
    using client = await open(server);
    assert.equal(await client.none(), 'refused: publickey,password');
    assert.equal(await client.sign(one), 'accepted');
  });

  test('INCIDENTS 9: a command= of the first factor is forced after the second', async () => {
    const user = makeUser('forced', { password: secret });
    authorize(user, [`command="echo only this",no-pty ${one.line}`]);
    const server = await serverFor('publickey,keyboard-interactive', 'AllowUsers forced');
    using client = await open(server, 'forced');
    assert.equal(await client.sign(one), 'partial: keyboard-interactive');
    assert.equal((await client.keyboard([secret])).reply, 'accepted');
    assert.equal(await client.raw.exec('id -un'), 'only this\n');
  });

  test('INCIDENTS 8: from= is enforced for a factor that is not the last', async () => {
    const user = makeUser('elsewhere', { password: secret });
    authorize(user, [`from="192.0.2.0/24" ${one.line}`, two.line]);
    const server = await serverFor('publickey,password', 'AllowUsers elsewhere');
    using client = await open(server, 'elsewhere');
    assert.equal(await client.sign(one), 'refused: publickey');
    assert.equal(await client.sign(two), 'partial: password');
  });

  test('the restrictions of two keys hold together; two commands cannot', async () => {
    const user = makeUser('both', { password: secret });
    authorize(user, [
      `command="echo $SSH_ORIGINAL_COMMAND; tty || true" ${one.line}`,
      `no-pty ${two.line}`,
      `command="echo another" ${other.line}`,
    ]);
    const server = await serverFor('publickey,publickey', 'AllowUsers both');
    for (const [first, second] of [
      [one, two],
      [two, one],
    ] as const) {
      using client = await open(server, 'both');
      assert.equal(await client.sign(first), 'partial: publickey');
      assert.equal(await client.sign(second), 'accepted');
      assert.match(await client.raw.exec('what I want'), /^what I want\n/);
    }
    if (serverKind === 'sshd') {
      return; // 9.2 says `Accepted` and ends the connection at the first session
    }
    using torn = await open(server, 'both');
    assert.equal(await torn.sign(one), 'partial: publickey');
    assert.equal(await torn.sign(other), 'refused: publickey');
    assert.equal(await torn.sign(two), 'accepted');
    await server.logged(/Inconsistent authentication options: forced command options do not match/);
  });

  test('root: every factor is judged by PermitRootLogin', async () => {
    authorize({ ...findUser('root'), home: '/root' }, [
      one.line,
      `command="echo forced" ${two.line}`,
      other.line,
    ]);
    const strict = await serverFor('publickey,keyboard-interactive');
    using client = await open(strict, 'root');
    assert.equal(await client.sign(one), 'partial: keyboard-interactive');
    assert.equal((await client.keyboard(['wrong'])).reply, 'refused: keyboard-interactive');
    const late = await serverFor('password,publickey', 'PermitRootLogin no');
    using second = await open(late, 'root');
    assert.equal(await second.sign(one), 'refused: password');
    const forced = await serverFor('publickey,publickey', 'PermitRootLogin forced-commands-only');
    using third = await open(forced, 'root');
    assert.equal(await third.sign(one), 'partial: publickey', 'the command may come later');
    // sshd's two processes disagree here, and the connection ends.
    const without = await third.sign(other);
    assert.equal(without, serverKind === 'sshd' ? 'closed' : 'refused: publickey', 'and has to');
    await forced.logged(/ROOT LOGIN REFUSED FROM 127\.0\.0\.1 port \d+/);
    if (serverKind === 'sshdesk') {
      assert.equal(await third.sign(two), 'accepted');
      assert.equal(await third.raw.exec('id'), 'forced\n');
    }
    using fourth = await open(forced, 'root');
    assert.equal(await fourth.sign(two), 'partial: publickey');
    assert.equal(await fourth.sign(one), 'accepted');
    assert.equal(await fourth.raw.exec('id'), 'forced\n');
  });

  test('PAM’s auth stack runs once per factor, its account stack once', async () => {
    const counts = '/tmp/factor-counts';
    const stock = readFileSync('/etc/pam.d/sshd', 'utf8');
    writePamService('sshd', [
      `auth required @lab ask=password count=${counts}`,
      `account required @lab count=${counts}`,
      `session required @lab count=${counts}`,
    ]);
    try {
      const server = await serverFor('publickey,keyboard-interactive');
      using client = await open(server);
      assert.equal(await client.sign(one), 'partial: keyboard-interactive');
      assert.equal((await client.keyboard(['secret'])).reply, 'accepted');
      assert.equal(await client.raw.exec('echo in'), 'in\n');
      const phases = () =>
        existsSync(counts)
          ? readFileSync(counts, 'utf8')
              .trim()
              .split('\n')
              .map((line) => line.split(' ', 1)[0])
              .filter((phase) => phase === 'auth' || phase === 'account')
          : [];
      assert.deepEqual(phases(), ['auth', 'account']);
      const long = await serverFor('password,keyboard-interactive,publickey');
      using second = await open(long);
      assert.equal(await second.password('secret'), 'partial: keyboard-interactive');
      assert.equal((await second.keyboard(['secret'])).reply, 'partial: publickey');
      assert.equal(await second.sign(two), 'accepted');
      assert.deepEqual(phases().slice(2), ['auth', 'auth', 'account']);
    } finally {
      writePamService('sshd', stock.trimEnd().split('\n'));
    }
  });

  test('PermitEmptyPasswords: an empty password opens, by none too, and nobody else', async () => {
    makeUser('empty', { password: secret });
    run('passwd', ['-d', 'empty']);
    const users = 'AllowUsers alice empty';
    const strict = await serverFor('any', users);
    for (const attempt of [
      async (client: FactorClient) => await client.none(),
      async (client: FactorClient) => await client.password(''),
      async (client: FactorClient) => (await client.keyboard([''])).reply,
    ]) {
      using client = await open(strict, 'empty');
      assert.match(await attempt(client), /^refused/);
    }
    const lax = await serverFor('any', users, 'PermitEmptyPasswords yes');
    using client = await open(lax, 'empty');
    assert.equal(await client.none(), 'accepted');
    assert.equal(await client.raw.exec('id -un'), 'empty\n');
    await lax.logged(/Accepted none for empty from 127\.0\.0\.1 port \d+ ssh2$/m);
    using second = await open(lax, 'empty');
    assert.equal(await second.password(''), 'accepted');
    for (const user of ['alice', 'nobody-such']) {
      using third = await open(lax, user);
      assert.equal(await third.none(), 'refused: publickey,password,keyboard-interactive', user);
      assert.match(await third.password(''), /^refused/);
    }
    const none = await serverFor('none', users, 'PermitEmptyPasswords yes');
    using fourth = await open(none, 'empty');
    assert.equal(await fourth.none(), 'accepted');
    using fifth = await open(none);
    assert.equal(await fifth.none(), 'refused: ');
    const key = await serverFor('publickey,none publickey', users, 'PermitEmptyPasswords yes');
    using sixth = await open(key, 'empty');
    assert.equal(await sixth.none(), 'refused: publickey');
  });

  const renamed = { skip: serverKind === 'sshd' ? 'sshd 9.2 goes on as the other user' : false };
  test('INCIDENTS 19: a module that changes PAM_USER ends it at any factor', renamed, async () => {
    const stock = readFileSync('/etc/pam.d/sshd', 'utf8');
    writePamService('sshd', [
      'auth required @lab ask=password user=root',
      'account required pam_permit.so',
      'session required pam_permit.so',
    ]);
    try {
      const server = await serverFor('keyboard-interactive,publickey');
      using client = await open(server);
      const { reply } = await client.keyboard(['secret']);
      assert.match(reply, /^(refused: keyboard-interactive|closed)/);
      const passwords = await serverFor('password,publickey');
      using second = await open(passwords);
      assert.match(await second.password('secret'), /^(refused: password|closed)/);
    } finally {
      writePamService('sshd', stock.trimEnd().split('\n'));
    }
  });
});
