/**
 * Modules of PAM that misbehave when a login is asked again (DesktopReauth): the desktop stays shut or
 * opens rightly, the log has one line, nothing stays behind and nobody else notices.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import {
  greetRfb,
  listDesktops,
  openSubsystem,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, type TestKey, writePamService } from '../support/lab.ts';
import { makeRawKey, RawSsh } from '../support/raw-ssh.ts';
import { DialogueClient, type Turn } from '../support/reauthentication.ts';
import type { Holdings, TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url, 170_000);
const graceSeconds = 3;

describe('hostile modules of PAM, asked again', lab, () => {
  const raw = makeRawKey();
  let key: TestKey;
  let server: TestServer;
  let base: Holdings;
  let id: string;
  let from = 0;

  const stack = (options: Readonly<Record<string, string>>): void =>
    writePamService('sshd', [
      `auth required @lab ${options['auth'] ?? 'ask=password'}`,
      `account required @lab ${options['account'] ?? ''}`,
      'session required pam_permit.so',
    ]);

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [raw.line] });
    stack({});
    server = await startDesktopServer('exec xterm', {
      config: [`LoginGraceTime ${graceSeconds}`, 'MaxAuthTries 20', 'PerSourcePenalties no'],
      desktops: ['DesktopReauth resume'],
    });
    const first = openSubsystem(server, 'rfb', { user: 'alice', key });
    await greetRfb(first);
    first.child.stdin.end();
    assert.equal(await first.status, 0, first.stderr());
    id = listDesktops()[0]?.id ?? '';
    base = await server.settled();
  });
  after(async () => await server?.stop());
  beforeEach(() => {
    from = server.log().length;
  });
  afterEach(async () => {
    stack({});
    using client = await RawSsh.loggedIn(server.port, 'bob', raw);
    assert.equal(await client.exec('id -un'), 'bob\n', 'somebody else');
    client.close();
    assert.deepEqual(await server.leftovers(base), []);
  });

  /** Logs in as ever, and is asked by another stack then. */
  const asked = async (
    options: Readonly<Record<string, string>>,
    ...answers: string[]
  ): Promise<readonly Turn[]> => {
    stack({});
    using client = await DialogueClient.open(server, { user: 'alice', key });
    stack(options);
    return await client.restore(id, answers);
  };
  const isOpen = (turns: readonly Turn[]): boolean => {
    const last = turns.at(-1);
    return last?.is === 'reply' && /^NX> 710 /m.test(last.text);
  };
  const assertShut = (turns: readonly Turn[], why: RegExp): void => {
    const last = turns.at(-1);
    assert.ok(last?.is === 'reply', JSON.stringify(last));
    assert.match(last.text, /^NX> 404 ERROR: Authentication failed\.$/m);
    const lines =
      server
        .log()
        .slice(from)
        .match(/^.*reauthentication.*$/gim) ?? [];
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0] ?? '', why);
    assert.match(
      lines[0] ?? '',
      /Failed reauthentication for alice from .* ssh2: desktop [0-9A-F]{32}: /,
    );
    from = server.log().length;
  };
  const question = (turns: readonly Turn[]) => {
    const [first] = turns;
    assert.ok(first?.is === 'question', JSON.stringify(first));
    return first;
  };

  test('as many messages as PAM has in one call, all told in order', async () => {
    const right = await asked({ auth: 'ask=many:32' }, 'secret');
    const wanted = Array.from({ length: 31 }, (_, at) => `line ${at + 1}\n`).join('');
    assert.equal(question(right).told.toString(), wanted);
    assert.equal(question(right).text.toString(), 'Password: ');
    assert.ok(isOpen(right));
    from = server.log().length;
    assertShut(await asked({ auth: 'ask=many:32' }, 'wrong'), /PAM: Authentication failure$/);
  });

  test('more messages than PAM has in one call open nothing', async () => {
    for (const count of [33, 64, 300, 512]) {
      stack({});
      using client = await DialogueClient.open(server, { user: 'alice', key });
      stack({ auth: `ask=many:${count}` });
      let turns = await client.restore(id, []);
      if (turns.at(-1)?.is === 'question') {
        turns = [await client.say('wrong')];
      }
      assertShut(turns, /PAM: /);
    }
  });

  test('a prompt without a text is one', async () => {
    const right = await asked({ auth: 'ask=empty' }, 'secret');
    assert.deepEqual([question(right).text.length, question(right).isShown], [0, false]);
    assert.ok(isOpen(right));
  });

  for (const length of [4096, 65_536, 1_000_000]) {
    test(`a text of ${length} bytes is told, as far as there is room`, async () => {
      const turns = await asked({ auth: `ask=long:${length}` }, 'secret');
      const told = question(turns).told.toString();
      assert.match(told, /^x+\n$/);
      assert.equal(told.length - 1, Math.min(length, 64 * 1024));
      assert.ok(isOpen(turns));
    });
  }

  test('bytes that are no text arrive as they are, and not in the log', async () => {
    const turns = await asked({ auth: 'ask=odd' }, 'secret');
    const { told, text } = question(turns);
    assert.equal(
      told.toString('latin1'),
      'odd \u00ff\u00fe \u001b]0;title\u0007\r\nAccepted password for root\u0001\n',
    );
    assert.equal(text.toString('latin1'), '\u001b[31m\u00c0\u0080Password: ');
    assert.ok(isOpen(turns));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    assert.doesNotMatch(
      server.log().slice(from),
      /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|for root/,
    );
  });

  test('an answer of every byte, and one that is too long', async () => {
    const escaped = Buffer.from('secret').toString('hex').replace(/../g, '%$&');
    assert.ok(isOpen(await asked({}, escaped)));
    from = server.log().length;
    assertShut(await asked({}, `secret%00`), /PAM: Authentication failure/);
    assertShut(await asked({}, 's'.repeat(4000)), /PAM: /);
  });

  test('a module that changes PAM_USER', async () => {
    assertShut(await asked({ auth: 'ask=password user=bob' }, 'secret'), /names another user$/);
  });

  test('an account that PAM refuses by now, or whose password has expired', async () => {
    const denied = await asked({ account: 'fail=account' }, 'secret');
    assertShut(denied, /PAM: the account$/);
    const last = denied.at(-1);
    assert.equal(last?.told.toString(), 'lab: account refused\n');
    assertShut(await asked({ account: 'expired' }, 'secret'), /PAM: the password has expired$/);
  });

  for (const how of ['segv', 'abort', 'exit', 'closed'] as const) {
    test(`a module that ends its process (${how})`, async () => {
      assertShut(await asked({ auth: `ask=password die=auth:${how}` }), /link ended|ended/);
      assertShut(await asked({ account: `die=account:${how}` }, 'secret'), /link ended|ended/);
    });
  }

  test('a module that leaves signals, ids and an alarm behind', async () => {
    assert.ok(isOpen(await asked({ auth: 'ask=password mess=auth' }, 'secret')));
  });

  for (const phase of ['auth', 'account'] as const) {
    test(`a module that never returns in ${phase}: LoginGraceTime ends it`, async () => {
      const answers = phase === 'auth' ? [] : ['secret'];
      assertShut(
        await asked({ [phase]: `ask=password die=${phase}:hang` }, ...answers),
        /the time for it is over$/,
      );
    });
  }

  test('who does not answer: LoginGraceTime lets PAM go, the login stays', async () => {
    using client = await DialogueClient.open(server, { user: 'alice', key });
    assert.equal((await client.restore(id, [])).at(-1)?.is, 'question');
    await eventually('it is given up', () =>
      /Failed reauthentication for alice .*: the time for it is over$/m.test(
        server.log().slice(from),
      ),
    );
    assertShut([await client.say('secret')], /the time for it is over$/);
    assert.ok(isOpen(await client.restore(id, ['secret'])), 'asked anew');
  });

  test('two channels of one login: one is asked, the other told so', async () => {
    const control = `/tmp/master-${process.pid}`;
    const args = ['-o', 'ControlMaster=auto', '-o', `ControlPath=${control}`];
    using first = await DialogueClient.open(server, { user: 'alice', key, args });
    assert.equal((await first.restore(id, [])).at(-1)?.is, 'question');
    using second = await DialogueClient.open(server, { user: 'alice', key, args });
    const [turn] = await second.restore(id, []);
    assert.ok(turn?.is === 'reply');
    assert.match(
      turn.text,
      /NX> 596 Error: This login is being asked already, on another channel\./,
    );
    assert.ok(isOpen([await first.say('secret')]));
  });
});
