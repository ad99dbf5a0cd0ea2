/** Logins through PAM: every stage of the stack, with the reference's texts. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  inLab,
  makeKey,
  makeUser,
  run,
  setPassword,
  type TestKey,
  writePamService,
} from '../support/lab.ts';
import { makeRawKey, RawSsh } from '../support/raw-ssh.ts';
import { readProcFile, serverKind, startServer, type TestServer } from '../support/server.ts';
import { ssh, sshArguments } from '../support/stock-client.ts';
import { openTerminal } from '../support/terminal.ts';
import { type Dialogue, keyboardInteractive, password } from '../support/userauth.ts';

const lab = inLab(import.meta.url);
const secret = 'oldpw-Xy7';
const rawKey = makeRawKey();

describe('PAM', lab, () => {
  let server: TestServer;
  let key: TestKey;
  const stock = lab.skip === false ? readFileSync('/etc/pam.d/sshd', 'utf8') : '';
  let counts = '';
  let stacks = 0;

  before(async () => {
    key = makeKey('ed25519');
    for (const name of ['alice', 'bob', 'expired', 'locked', 'gone']) {
      makeUser(name, { password: secret, authorizedKeys: [key.line, rawKey.line] });
    }
    server = await startServer({
      config: [
        'UsePAM yes',
        'KbdInteractiveAuthentication yes',
        'PasswordAuthentication yes',
        'AllowUsers alice bob expired locked gone',
      ],
    });
  });
  after(async () => await server?.stop());
  afterEach(() => {
    writeFileSync('/etc/pam.d/sshd', stock);
    rmSync('/etc/nologin', { force: true });
  });

  const asked = async (
    how: (client: RawSsh) => Promise<Dialogue>,
    then: (client: RawSsh) => Promise<void> = async () => undefined,
  ): Promise<Dialogue> => {
    using client = await RawSsh.shaken(server.port);
    await client.requestUserauth();
    const dialogue = await how(client);
    if (dialogue.outcome === 'accepted') {
      await then(client);
    }
    return dialogue;
  };
  const labStack = (auth: string, account = '', session = ''): void => {
    // A file of its own for each stack: logins of a test before may still be closing.
    counts = `/tmp/pam-counts-${stacks++}`;
    writePamService('sshd', [
      `auth required @lab ${auth} count=${counts}`,
      `account required @lab ${account} count=${counts}`,
      `password required @lab count=${counts}`,
      `session required @lab ${session} count=${counts}`,
    ]);
  };
  const counted = (): readonly string[] =>
    existsSync(counts) ? readFileSync(counts, 'utf8').trim().split('\n') : [];

  test('password: the right one opens, a wrong and an empty one do not; both are logged', async () => {
    const right = await asked(
      (client) => password(client, 'alice', secret),
      async (client) => assert.equal(await client.exec('id -un'), 'alice\n'),
    );
    assert.equal(right.outcome, 'accepted');
    await server.logged(/Accepted password for alice from 127\.0\.0\.1 port \d+ ssh2/);
    const [wrong, empty] = await Promise.all([
      asked((client) => password(client, 'alice', 'wrong')),
      asked((client) => password(client, 'alice', '')),
    ]);
    assert.deepEqual([wrong.outcome, empty.outcome], ['refused', 'refused']);
    await server.logged(/Failed password for alice from 127\.0\.0\.1 port \d+ ssh2/);
  });

  test('keyboard-interactive with Debian’s stack', async () => {
    const right = await asked((client) => keyboardInteractive(client, 'alice', [secret]));
    assert.equal(right.outcome, 'accepted');
    assert.deepEqual(right.shown, ['Password:']);
    await server.logged(/Accepted keyboard-interactive\/pam for alice from 127\.0\.0\.1/);
  });

  test('information, a hidden and a shown prompt in one call: in order, with their echo', async () => {
    labStack('ask=three');
    const right = await asked((client) =>
      keyboardInteractive(client, 'alice', ['secret', '123456']),
    );
    assert.equal(right.outcome, 'accepted');
    assert.deepEqual(right.shown, ['Two things are asked', 'Password:', 'One-time code:']);
    assert.deepEqual(
      right.rounds.flatMap((round) => round.prompts.map(([, echo]) => echo)),
      [false, true],
    );
    if (serverKind === 'sshdesk') {
      // sshd asks one by one; RFC 4256 has room for both at once, as the module asked.
      assert.equal(right.rounds.filter((round) => round.prompts.length > 0).length, 1);
      assert.deepEqual(right.rounds[0]?.prompts, [
        ['Password: ', false],
        ['One-time code: ', true],
      ]);
    }
    for (const answers of [
      ['secret', '000000'],
      ['wrong', '123456'],
      ['123456', 'secret'],
    ]) {
      const wrong = await asked((client) => keyboardInteractive(client, 'alice', answers));
      assert.equal(wrong.outcome, 'refused');
    }
  });

  test('any number of rounds, texts before their prompts', async () => {
    labStack('ask=rounds:5');
    const right = await asked((client) =>
      keyboardInteractive(client, 'alice', [
        'answer-1',
        'answer-2',
        'answer-3',
        'answer-4',
        'answer-5',
      ]),
    );
    assert.equal(right.outcome, 'accepted');
    assert.deepEqual(
      right.shown,
      [1, 2, 3, 4, 5].flatMap((n) => [`This is round ${n} of 5`, `Round ${n}:`]),
    );
  });

  test('an error text is shown, before the prompt', async () => {
    labStack('ask=error');
    const right = await asked((client) => keyboardInteractive(client, 'alice', ['secret']));
    assert.equal(right.outcome, 'accepted');
    assert.deepEqual(right.shown, ['Something is amiss', 'Password:']);
  });

  test('password method: the word answers a hidden prompt; a shown one fails the attempt', async () => {
    labStack('ask=password');
    assert.equal(
      (await asked((client) => password(client, 'alice', 'secret'))).outcome,
      'accepted',
    );
    labStack('ask=three');
    assert.equal((await asked((client) => password(client, 'alice', 'secret'))).outcome, 'refused');
  });

  test('answers of any bytes, long ones, too many and too few', async () => {
    labStack('ask=password');
    for (const answer of ['\u00e4\u20ac', '\n', 'x'.repeat(511), 'x'.repeat(20_000)]) {
      const outcome = await asked((client) => keyboardInteractive(client, 'alice', [answer]));
      assert.notEqual(outcome.outcome, 'accepted');
    }
    assert.equal(
      (await asked((client) => keyboardInteractive(client, 'alice', ['secret']))).outcome,
      'accepted',
    );
  });

  test('the order of the calls, and that the session closes as root; by key no auth', async () => {
    labStack('ask=password');
    await asked(
      (client) => password(client, 'alice', 'secret'),
      async (client) => {
        assert.match(
          await client.exec('echo $LABCRED; echo $LABSESS'),
          /^1\ntty:\S+,rhost:127\.0\.0\.1\n$/,
        );
      },
    );
    // sshd establishes credentials again in each session's child.
    const phases = (): string =>
      counted()
        .map((line) => line.split(' ')[0])
        .filter(
          (phase, at, all) =>
            serverKind !== 'sshd' || phase !== 'cred' || all.indexOf(phase) === at,
        )
        .join(' ');
    for (let tries = 0; tries < 50 && !phases().includes('cred-delete'); tries++) {
      await delay(100);
    }
    assert.equal(phases(), 'auth account cred open close cred-delete');
    assert.ok(counted().every((line) => line.includes(' uid=0 ')));
    assert.ok(counted().every((line) => line.includes(' user=alice ')));
    if (serverKind === 'sshdesk') {
      // One handle in one process, on its main thread: some modules depend on it.
      assert.equal(new Set(counted().map((line) => line.split(' ')[1])).size, 1);
      for (const line of counted()) {
        const [, pid, tid] = /pid=(\d+) tid=(\d+)/.exec(line) ?? [];
        assert.equal(tid, pid);
      }
    }
    labStack('ask=password');
    assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n');
    for (let tries = 0; tries < 50 && !phases().includes('cred-delete'); tries++) {
      await delay(100);
    }
    assert.equal(phases(), 'account cred open close cred-delete');
  });

  test('a module that changes PAM_USER ends the login', {
    skip: serverKind === 'sshd' ? 'sshd 9.2 goes on as the first user' : false,
  }, async () => {
    labStack('ask=password user=bob');
    const outcome = await asked(
      (client) => keyboardInteractive(client, 'alice', ['secret']),
      async (client) => assert.notEqual(await client.exec('id -un').catch(() => ''), 'bob\n'),
    );
    assert.notEqual(outcome.outcome, 'accepted');
  });

  test('a failed account phase: refused by every method, its text reaches the user', async () => {
    labStack('ask=password', 'fail=account');
    const byKey = await ssh(server, { key, args: ['-o', 'LogLevel=INFO'] }, 'echo in');
    assert.deepEqual([byKey.status, byKey.text], [255, '']);
    assert.match(byKey.stderr, /lab: account refused/);
    await server.logged(/Access denied for user alice by PAM account configuration/);
    const byPassword = await asked((client) => password(client, 'alice', 'secret'));
    assert.notEqual(byPassword.outcome, 'accepted');
    const byDialogue = await asked((client) => keyboardInteractive(client, 'alice', ['secret']));
    assert.notEqual(byDialogue.outcome, 'accepted');
    assert.ok(byDialogue.shown.includes('lab: account refused'), byDialogue.shown.join('|'));
  });

  test('a failed session: its text, exit 254, nothing runs, the connection lives', async () => {
    labStack('', '', 'fail=session');
    const outcome = await ssh(server, { key }, 'touch /tmp/ran; echo ran');
    assert.equal(outcome.status, 254);
    assert.equal(outcome.text + outcome.stderr, 'lab: session refused\n');
    assert.ok(!existsSync('/tmp/ran'));
  });

  test('/etc/nologin: refused for users with its text, root may', async () => {
    writeFileSync('/etc/nologin', 'maintenance until 12:00\n');
    const outcome = await ssh(server, { key, args: ['-o', 'LogLevel=INFO'] }, 'echo in');
    assert.deepEqual([outcome.status, outcome.text], [255, '']);
    assert.match(outcome.stderr, /maintenance until 12:00/);
  });

  test('a locked password: no login by it, but by key', async () => {
    run('passwd', ['-l', 'locked']);
    assert.equal((await asked((client) => password(client, 'locked', secret))).outcome, 'refused');
    assert.equal((await ssh(server, { key, user: 'locked' }, 'echo in')).text, 'in\n');
  });

  test('an expired account: refused by every method, and told why', async () => {
    run('chage', ['-E', '1', 'gone']);
    const byKey = await ssh(
      server,
      { key, user: 'gone', args: ['-o', 'LogLevel=INFO'] },
      'echo in',
    );
    assert.deepEqual([byKey.status, byKey.text], [255, '']);
    assert.match(byKey.stderr, /Your account has expired/);
    const byPassword = await asked((client) => password(client, 'gone', secret));
    assert.notEqual(byPassword.outcome, 'accepted');
  });

  test('an expired password is changed inside the keyboard-interactive dialogue', async () => {
    setPassword('expired', secret);
    run('chage', ['-d', '0', 'expired']);
    const changed = await asked(
      (client) =>
        keyboardInteractive(client, 'expired', [secret, secret, 'Brand-new-9k', 'Brand-new-9k']),
      async (client) => assert.equal(await client.exec('id -un'), 'expired\n'),
    );
    assert.equal(changed.outcome, 'accepted');
    const text = changed.shown.join('\n');
    assert.match(text, /^Password:\n/);
    assert.match(text, /You are required to change your password immediately/);
    assert.match(text, /Current password:\n(.*\n)*New password:\n(.*\n)*Retype new password:/);
    const after = await asked((client) => password(client, 'expired', 'Brand-new-9k'));
    assert.equal(after.outcome, 'accepted');
  });

  test('a change to a weak or mistyped password fails', async () => {
    setPassword('expired', secret);
    run('chage', ['-d', '0', 'expired']);
    const failed = await asked((client) =>
      keyboardInteractive(client, 'expired', [
        secret,
        secret,
        'abc',
        'abc',
        'def',
        'ghi',
        'x',
        'x',
      ]),
    );
    assert.notEqual(failed.outcome, 'accepted');
  });

  test('an expired password by key, without a terminal: told so, exit 1, nothing runs', async () => {
    setPassword('expired', secret);
    run('chage', ['-d', '0', 'expired']);
    const outcome = await ssh(server, { key, user: 'expired' }, 'echo ran');
    assert.deepEqual([outcome.status, outcome.text], [1, '']);
    assert.match(outcome.stderr, /Password change required but no TTY available\./);
  });

  test('an expired password by key, with a terminal: passwd runs and nothing else', async () => {
    setPassword('expired', secret);
    run('chage', ['-d', '0', 'expired']);
    const terminal = openTerminal(
      'ssh',
      sshArguments(server, { key, user: 'expired', args: ['-tt'] }, 'echo ran'),
      { rows: 24, columns: 80 },
    );
    await terminal.shows(/WARNING: Your password has expired\./);
    await terminal.shows(/You must change your password now and login again!/);
    await terminal.shows(/Current password:/);
    terminal.type(`${secret}\n`);
    await terminal.shows(/New password:/);
    terminal.type('Brand-new-9k\n');
    await terminal.shows(/Retype new password:/);
    terminal.type('Brand-new-9k\n');
    await terminal.shows(/password updated successfully/);
    assert.equal(await terminal.ended, 0);
    assert.doesNotMatch(terminal.shown(), /^ran$/m);
    assert.equal((await ssh(server, { key, user: 'expired' }, 'echo ran')).text, 'ran\n');
  });

  test('a module that takes its time delays nobody else', async () => {
    labStack('ask=password slow=3000');
    const slow = asked((client) => password(client, 'bob', 'secret'));
    await delay(300);
    const began = Date.now();
    assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n');
    assert.ok(Date.now() - began < 2_000, 'waited for another login');
    assert.equal((await slow).outcome, 'accepted');
  });

  test('a client that leaves in the middle of a dialogue leaves nothing behind', async () => {
    labStack('ask=rounds:3');
    const base = await server.settled();
    for (let index = 0; index < 5; index++) {
      const client = await RawSsh.shaken(server.port);
      await client.requestUserauth();
      const dialogue = keyboardInteractive(client, 'alice', [
        () => {
          client.close();
          return 'x';
        },
      ]);
      assert.equal((await dialogue).outcome, 'closed');
    }
    const left = await server.leftovers(base, 3_000);
    assert.deepEqual(
      left.filter((line) => !line.includes('pam-counts')),
      [],
    );
  });

  test('the greeting of the session stack is shown before a shell, not before a command', async () => {
    writeFileSync('/etc/motd', 'greetings from the lab\n');
    try {
      const shell = await ssh(server, { key, args: ['-T'], input: 'echo shell\n' });
      assert.equal(shell.text, 'greetings from the lab\nshell\n');
      const command = await ssh(server, { key }, 'echo command');
      assert.equal(command.text, 'command\n');
    } finally {
      writeFileSync('/etc/motd', '');
    }
  });

  test('no password stays in the memory-mapped environment, arguments or log', async () => {
    const word = 'canary-8f31-word';
    setPassword('alice', word);
    await asked(
      (client) => password(client, 'alice', word),
      async () => {
        for (const entry of server.processes()) {
          for (const file of ['cmdline', 'environ']) {
            assert.ok(!readProcFile(entry.pid, file).includes(word), `${entry.title}: ${file}`);
          }
        }
      },
    );
    assert.ok(!server.log().includes(word));
    setPassword('alice', secret);
  });
});

describe('UsePAM no', lab, () => {
  let server: TestServer;
  before(async () => {
    for (const name of ['carol', 'clocked', 'cexpired', 'cold', 'cempty']) {
      makeUser(name, { password: secret, authorizedKeys: [rawKey.line] });
    }
    run('passwd', ['-l', 'clocked']);
    run('chage', ['-E', '1', 'cexpired']);
    run('passwd', ['-d', 'cempty']);
    server = await startServer({ config: ['UsePAM no', 'PasswordAuthentication yes'] });
  });
  after(async () => await server?.stop());
  const attempt = async (user: string, word: string): Promise<string> => {
    using client = await RawSsh.shaken(server.port);
    await client.requestUserauth();
    return (await password(client, user, word)).outcome;
  };
  const attemptByKey = async (user: string): Promise<string> => {
    try {
      using client = await RawSsh.loggedIn(server.port, user, rawKey);
      return await client.exec('id -un');
    } catch (error) {
      return (error as Error).message;
    }
  };

  test('the shadow entry decides: right, wrong, empty', async () => {
    assert.deepEqual(
      [await attempt('carol', secret), await attempt('carol', 'no'), await attempt('carol', '')],
      ['accepted', 'refused', 'refused'],
    );
  });
  test('no password set: an empty one is refused without PermitEmptyPasswords', async () => {
    assert.equal(await attempt('cempty', ''), 'refused');
  });
  test('a locked account is refused, by key too', async () => {
    assert.equal(await attempt('clocked', secret), 'refused');
    assert.notEqual(await attemptByKey('clocked'), 'clocked\n');
  });
  test('an expired account is refused, by key too', async () => {
    assert.equal(await attempt('cexpired', secret), 'refused');
    assert.notEqual(await attemptByKey('cexpired'), 'cexpired\n');
  });
  test('yescrypt, sha-256 and bcrypt hashes', async () => {
    for (const method of ['YESCRYPT', 'SHA256', 'SHA512']) {
      run('chpasswd', ['-c', method], `cold:${secret}\n`);
      assert.equal(await attempt('cold', secret), 'accepted', method);
      assert.equal(await attempt('cold', 'no'), 'refused', method);
    }
  });
});
