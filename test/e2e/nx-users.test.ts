/**
 * Who logs in behind the account `nx`: by which password, listed or not, and as sshd_config and PAM let
 * him; one answer for all who do not. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import {
  checkout,
  inLab,
  makeKey,
  makeUser,
  run,
  type TestKey,
  writePamService,
} from '../support/lab.ts';
import { loginEcho, loginLines, nxRefused, startNxServer } from '../support/nx-account.ts';
import type { TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 180_000);
const system = 'system-Xy7';
const own = 'nx-own-Zq9';
/** Options of the machine's configuration, for `sshdesk nxserver`. */
const configFile = '/tmp/nx-users-config';

function nxserver(words: readonly string[], input = '') {
  const { status, stdout, stderr } = spawnSync(
    path.join(checkout, 'sshdesk'),
    ['nxserver', ...words, '--desktop-config', configFile],
    { encoding: 'utf8', input, timeout: 20_000, cwd: '/' },
  );
  return { status, stdout, stderr };
}
const framed = (...lines: readonly string[]): string =>
  ['NX> 100 NXSERVER - Version 3.5.0-1 - OSS', ...lines, 'NX> 999 Bye', ''].join('\n');

describe('logins behind nx', lab, () => {
  let key: TestKey;

  before(() => {
    key = makeKey('ed25519');
    for (const name of ['alice', 'bob', 'carol']) {
      makeUser(name, { password: system });
    }
    makeUser('gone', { password: system });
    run('chage', ['-E', '1', 'gone']);
    makeUser('stale', { password: system });
    run('chage', ['-d', '0', 'stale']);
    writeFileSync(
      configFile,
      'NXLegacyAccount yes\nNXPasswordUsers alice\nNXKeyFile /tmp/nx-made/keys\n',
    );
  });

  async function enters(server: TestServer, user: string, password: string): Promise<boolean> {
    const { text } = await ssh(server, {
      user: 'nx',
      key,
      input: `${loginLines(user, password)}quit\n`,
    });
    const rest = text.slice(loginEcho(user).length);
    assert.equal(text.slice(0, loginEcho(user).length), loginEcho(user));
    const isIn = rest.includes(`NX> 103 Welcome to: host user: ${user}\n`);
    assert.ok(isIn || rest === nxRefused, rest);
    return isIn;
  }

  test('nxserver: keys, users, passwords, and what it says', () => {
    const made = nxserver(['--keygen']);
    assert.match(made.stdout, /^Client key: \/tmp\/nx-made\/client\.id_ed25519\.key$/m);
    assert.equal(statSync('/tmp/nx-made/client.id_ed25519.key').mode & 0o777, 0o600);
    const first = readFileSync('/tmp/nx-made/keys', 'utf8');
    assert.equal(
      run('ssh-keygen', ['-y', '-f', '/tmp/nx-made/client.id_ed25519.key']).split(' ')[1],
      first.split(' ')[1],
    );
    assert.equal(nxserver(['--keygen', 'rsa']).status, 0);
    assert.notEqual(readFileSync('/tmp/nx-made/keys', 'utf8'), first);
    assert.deepEqual(nxserver(['--keygen', 'dsa']), {
      status: 1,
      stdout: framed(),
      stderr: 'NX> 500 ERROR: no key of type dsa (ed25519, rsa)\n',
    });
    assert.equal(
      nxserver(['--useradd', 'nobody-such']).stderr,
      "NX> 500 Error: User nobody-such not existing on local system. Can't add.\n",
    );
    assert.deepEqual(nxserver(['--useradd', 'alice']), {
      status: 0,
      stdout: framed(
        'NX> 801 User: alice uses a password of the NX password DB.',
        'NX> 301 User: alice enabled in the NX user DB.',
      ),
      stderr: '',
    });
    assert.equal(nxserver(['--useradd', 'bob']).status, 0);
    assert.equal(
      nxserver(['--userlist']).stdout,
      framed('NX> 146 NX users list', '', 'Username', '---------------', '', 'alice', 'bob', ''),
    );
    assert.match(nxserver(['--usercheck', 'alice']).stderr, /alice has no NX password/);
    assert.match(
      nxserver(['--passwd', 'bob'], `${own}\n`).stderr,
      /NXPasswordUsers does not name bob/,
    );
    assert.match(nxserver(['--passwd', 'alice'], 'short\n').stderr, /at least 8 characters/);
    assert.equal(
      nxserver(['--passwd', 'alice'], `${own}\n`).stdout,
      framed('New password: ', 'Password changed.'),
    );
    assert.equal(nxserver(['--usercheck', 'alice']).status, 0);
    assert.equal(
      nxserver(['--userdel', 'carol']).stderr,
      'NX> 500 Error: User carol not found in database.\n',
    );
    assert.equal(nxserver(['--status']).stdout, framed('NX> 110 NX Server is stopped'));
    assert.equal(nxserver(['--list']).status, 1);
    assert.equal(nxserver(['--start']).status, 1);
    assert.equal(nxserver([]).status, 2);
    const database = '/var/lib/sshdesk/nx.db';
    assert.equal(statSync(database).mode & 0o777, 0o600);
    const content = readFileSync(database, 'latin1');
    assert.ok(content.includes('$argon2id$v=19$') && !content.includes(own));
  });

  // alice: listed, with a password of her own; bob: listed; carol: neither.
  const combinations: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['neither', [], ['alice system', 'bob system', 'carol system']],
    ['passwords', ['NXPasswordUsers alice'], ['alice own', 'bob system', 'carol system']],
    ['users', ['NXUsersDatabase yes'], ['alice system', 'bob system']],
    ['both', ['NXPasswordUsers alice', 'NXUsersDatabase yes'], ['alice own', 'bob system']],
  ];
  for (const [name, desktops, expected] of combinations) {
    test(`databases: ${name}`, async () => {
      await using server = await startNxServer([key.line], {
        desktops,
        config: ['MaxStartups 100'],
      });
      const asked = ['alice', 'bob', 'carol'].flatMap((user) => [
        { user, which: 'system', password: system },
        { user, which: 'own', password: own },
      ]);
      const entered = await Promise.all(
        asked.map(async ({ user, which, password }) =>
          (await enters(server, user, password)) ? [`${user} ${which}`] : [],
        ),
      );
      assert.deepEqual(entered.flat(), expected);
    });
  }

  test('one answer, no sooner for one than for another: unknown, wrong, not listed, expired, to be changed, root, nx', async () => {
    await using server = await startNxServer([key.line], {
      desktops: ['NXPasswordUsers alice', 'NXUsersDatabase yes'],
      config: ['MaxStartups 100', 'LogLevel VERBOSE', 'DenyUsers bob', 'PermitRootLogin no'],
    });
    nxserver(['--useradd', 'gone']);
    nxserver(['--useradd', 'stale']);
    nxserver(['--useradd', 'root']);
    const startedMs = performance.now();
    const took = await Promise.all(
      [
        ['nobody-such', system],
        ['alice', 'wrong'],
        ['bob', system],
        ['carol', system],
        ['gone', system],
        ['stale', system],
        ['root', system],
        ['nx', system],
        ['NX guest user', system],
      ].map(async ([user, password]) => {
        assert.equal(await enters(server, user as string, password as string), false, user);
        return performance.now() - startedMs;
      }),
    );
    // PAM's two seconds with their jitter, at the next step: never sooner, not for a right password either.
    assert.ok(Math.min(...took) >= 2500, String(took));
    await server.logged(/nx: carol may not log in: not in the users database/);
    await server.logged(/access denied for gone by PAM account configuration/);
    await server.logged(/stale may not log in: the password has to be changed first/);
    await server.logged(/Failed password for invalid user nobody-such from/);
    await server.logged(/root may not log in: PermitRootLogin no does not allow password/);
  });

  const refusals: readonly (readonly [string, readonly string[], RegExp])[] = [
    [
      'a chain that one password does not meet',
      ['AuthenticationMethods publickey,password'],
      /alice may not log in: AuthenticationMethods asks for more/,
    ],
    [
      'PasswordAuthentication no, for this user',
      ['Match User alice', 'PasswordAuthentication no'],
      /alice may not log in: PasswordAuthentication is off/,
    ],
    ['AllowUsers', ['AllowUsers nx bob'], /User alice from 127\.0\.0\.1 not allowed because/],
  ];
  for (const [name, config, line] of refusals) {
    test(`refused: ${name}`, async () => {
      await using server = await startNxServer([key.line], {
        config: ['LogLevel VERBOSE', ...config],
      });
      assert.equal(await enters(server, 'alice', system), false);
      await server.logged(line);
    });
  }

  test('a second question of PAM: answered from a split line, never passed over', async () => {
    // Both at once, and one behind the other.
    const account = ['account required pam_permit.so', 'session required pam_permit.so'];
    writePamService('nx-two', ['auth required @lab ask=three', ...account]);
    const behind = ['auth required @lab ask=password', 'auth required @lab ask=rounds:1'];
    writePamService('nx-rounds', [...behind, ...account]);
    for (const [service, code] of [
      ['nx-two', '123456'],
      ['nx-rounds', 'answer-1'],
    ] as const) {
      await using server = await startNxServer([key.line], {
        config: [`PAMServiceName ${service}`, 'LogLevel VERBOSE', 'MaxStartups 100'],
        desktops: ['NXPasswordSplit none', 'Match User bob', `NXPasswordSplit ${code.length}`],
      });
      const entered = await Promise.all([
        enters(server, 'bob', `secret${code}`),
        enters(server, 'bob', `secret${code.replace('1', '2')}`),
        enters(server, 'bob', 'secret'),
        enters(server, 'carol', 'secret'),
        enters(server, 'carol', `secret${code}`),
      ]);
      assert.deepEqual(entered, [true, false, false, false, false], service);
      await server.logged(/carol may not log in: PAM asks for more than the password line answers/);
    }
  });
});
