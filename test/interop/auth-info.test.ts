/**
 * ExposeAuthInfo and SSH_AUTH_INFO_0: how the user has logged in, told to the session and to PAM's
 * stacks, as Debian's sshd tells it. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import ssh2, { type AuthenticationType } from 'ssh2';
import { eventually } from '../support/child.ts';
import { inLab, makeKey, makeUser, type TestKey, writePamService } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 200_000);
const told = '/run/told-to-pam';
const files = () => readdirSync('/tmp').filter((name) => name.startsWith('sshauth.'));

describe('how a user has logged in', lab, () => {
  let key: TestKey;
  let other: TestKey;
  const servers: Record<string, readonly [TestServer, TestServer]> = {};
  const configs: Readonly<Record<string, readonly string[]>> = {
    one: ['ExposeAuthInfo yes'],
    'key, then password': ['ExposeAuthInfo yes', 'AuthenticationMethods publickey,password'],
    'key, then conversation': [
      'ExposeAuthInfo yes',
      'AuthenticationMethods publickey,keyboard-interactive',
    ],
    'conversation, then key': [
      'ExposeAuthInfo yes',
      'AuthenticationMethods keyboard-interactive,publickey',
    ],
    'not said': [],
    'in a block': ['Match User alice', 'ExposeAuthInfo yes'],
  };
  before(async () => {
    key = makeKey('ed25519');
    other = makeKey('rsa', 3072);
    makeUser('alice', { password: 'word', authorizedKeys: [key.line, other.line] });
    makeUser('bob', { password: 'word', authorizedKeys: [key.line] });
    writeFileSync(
      '/usr/local/bin/tell',
      `#!/bin/sh\nprintf '%s: [%s]\\n' "$PAM_TYPE" "$SSH_AUTH_INFO_0" >> ${told}\n`,
      { mode: 0o755 },
    );
    writePamService('sshd', [
      'auth required pam_unix.so',
      'account required pam_unix.so',
      'account optional pam_exec.so quiet /usr/local/bin/tell',
      'session optional pam_exec.so quiet /usr/local/bin/tell',
      'session required pam_unix.so',
    ]);
    for (const [name, lines] of Object.entries(configs)) {
      const config = ['UsePAM yes', 'PasswordAuthentication yes', ...lines];
      servers[name] = [
        await startServer({ kind: 'sshdesk', config }),
        await startServer({ kind: 'sshd', config }),
      ];
    }
  });
  after(async () => {
    await Promise.all(Object.values(servers).flatMap((pair) => pair.map((one) => one.stop())));
  });

  const command =
    'echo "${SSH_USER_AUTH%.*} ${#SSH_USER_AUTH}"; stat -c "%a %U %F" "$SSH_USER_AUTH"; cat "$SSH_USER_AUTH"; env | grep ^SSH_AUTH_INFO';

  /** What the command says, and what PAM was told. */
  async function login(
    server: TestServer,
    methods: readonly AuthenticationType[],
    identity = key,
  ): Promise<{ readonly text: string; readonly pam: string }> {
    rmSync(told, { force: true });
    const client = new ssh2.Client();
    client.on('keyboard-interactive', (_name, _text, _language, prompts, finish) =>
      finish(prompts.map(() => 'word')),
    );
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({
        host: '127.0.0.1',
        port: server.port,
        username: 'alice',
        password: 'word',
        privateKey: readFileSync(identity.file),
        tryKeyboard: true,
        authHandler: [...methods],
      });
    });
    const text = await new Promise<string>((resolve, reject) =>
      client.exec(command, (error, channel) => {
        if (error) {
          reject(error);
          return;
        }
        let said = '';
        channel.on('data', (chunk: Buffer) => {
          said += chunk.toString();
        });
        channel.stderr.resume();
        channel.once('close', () => resolve(said));
      }),
    );
    client.end();
    await eventually(`${server.kind} removes the file`, () => files().length === 0);
    const pam = await eventually('PAM was told', () => {
      const lines = existsSync(told) ? readFileSync(told, 'utf8') : '';
      return lines.includes('close_session') ? lines : undefined;
    });
    return { text, pam };
  }

  const table: readonly (readonly [string, string, readonly AuthenticationType[]])[] = [
    ['a key', 'one', ['publickey']],
    ['a password', 'one', ['password']],
    ['a conversation', 'one', ['keyboard-interactive']],
    ['a key and a password', 'key, then password', ['publickey', 'password']],
    ['a key and a conversation', 'key, then conversation', ['publickey', 'keyboard-interactive']],
    ['a conversation and a key', 'conversation, then key', ['keyboard-interactive', 'publickey']],
    ['a key, where the file is not asked for', 'not said', ['publickey']],
    ['a key, by a Match block', 'in a block', ['publickey']],
  ];
  for (const [name, which, methods] of table) {
    test(name, async () => {
      const [ours, theirs] = servers[which] as readonly [TestServer, TestServer];
      const outcomes = [await login(ours, methods), await login(theirs, methods)];
      assert.deepEqual(outcomes[0], outcomes[1]);
      assert.match(outcomes[0]?.pam ?? '', /^open_session: \[.+/m);
    });
  }

  test('a large key is told in full', async () => {
    const [ours, theirs] = servers.one as readonly [TestServer, TestServer];
    const outcomes = [
      await login(ours, ['publickey'], other),
      await login(theirs, ['publickey'], other),
    ];
    assert.deepEqual(outcomes[0], outcomes[1]);
    assert.ok(outcomes[0]?.text.includes(other.line.split(' ')[1] as string));
  });

  test('the file is removed as the user: what he puts in its place of others stays', async () => {
    const [ours] = servers.one as readonly [TestServer, TestServer];
    writeFileSync('/tmp/of-root', 'stays');
    const moved = 'mv "$SSH_USER_AUTH" /tmp/of-alice; ln -s /tmp/of-root "$SSH_USER_AUTH"; echo in';
    assert.equal((await ssh(ours, { key }, moved)).text, 'in\n');
    await eventually('the link is removed', () => files().length === 0);
    assert.equal(readFileSync('/tmp/of-root', 'utf8'), 'stays');
    const { status } = await ssh(ours, { key }, 'rm "$SSH_USER_AUTH"; mkdir "$SSH_USER_AUTH"');
    assert.equal(status, 0);
    await eventually('the login is over', () =>
      ours.processes().every(({ title }) => !title.startsWith('sshdesk: leader alice')),
    );
    for (const name of files()) {
      rmSync(`/tmp/${name}`, { recursive: true });
    }
  });

  test('it is one file for all sessions of a connection, also when the client is killed', async () => {
    const [ours] = servers.one as readonly [TestServer, TestServer];
    const client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({
        host: '127.0.0.1',
        port: ours.port,
        username: 'bob',
        privateKey: readFileSync(key.file),
      });
    });
    const exec = () =>
      new Promise<string>((resolve, reject) =>
        client.exec('echo $SSH_USER_AUTH', (error, channel) =>
          error
            ? reject(error)
            : channel.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())),
        ),
      );
    const names = await Promise.all([exec(), exec(), exec()]);
    assert.equal(new Set(names).size, 1);
    assert.ok(existsSync(names[0] as string));
    client.destroy();
    await eventually('it is gone', () => files().length === 0);
  });
});
