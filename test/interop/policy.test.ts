/** Access rules, forced commands and options of keys: what the configuration says. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  authorize,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  run,
  setPassword,
  type TestKey,
} from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOutcome, copy, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
let key: TestKey;
let alice: LabUser;
let bob: LabUser;

function makeAccounts(): void {
  key = makeKey('ed25519');
  alice = makeUser('alice', { authorizedKeys: [key.line] });
  bob = makeUser('bob', { authorizedKeys: [key.line] });
}

function assertDenied(outcome: ClientOutcome): void {
  assert.deepEqual([outcome.status, outcome.text], [255, ''], outcome.stderr);
  assert.match(outcome.stderr, /Permission denied/);
}

describe('access', lab, () => {
  before(makeAccounts);

  test('AllowUsers lets in who is named, by pattern and host, and nobody else', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'AllowUsers al* bob@10.0.0.0/8', 'AllowUsers root@127.0.0.1'],
    });
    mkdirSync('/root/.ssh', { recursive: true });
    writeFileSync('/root/.ssh/authorized_keys', `${key.line}\n`, { mode: 0o600 });
    assert.equal((await ssh(server, { key }, 'id -un')).text, 'alice\n');
    assert.equal((await ssh(server, { key, user: 'root' }, 'id -un')).text, 'root\n');
    assertDenied(await ssh(server, { key, user: 'bob' }, 'id -un'));
    assertDenied(await ssh(server, { key, user: 'nobody-such' }, 'id -un'));
    await server.logged(/User bob from 127\.0\.0\.1 not allowed because not listed in AllowUsers/);
    await server.logged(/Invalid user nobody-such from 127\.0\.0\.1/);
  });

  for (const [value, plainKey, forcedKey] of [
    ['yes', true, true],
    ['prohibit-password', true, true],
    ['without-password', true, true],
    ['forced-commands-only', false, true],
    ['no', false, false],
  ] as const) {
    test(`PermitRootLogin ${value}: a key ${plainKey ? 'opens' : 'does not'}, a key with a command ${forcedKey ? 'opens' : 'does not'}`, async () => {
      await using server = await startServer({
        config: ['UsePAM yes', `PermitRootLogin ${value}`],
      });
      mkdirSync('/root/.ssh', { recursive: true, mode: 0o700 });
      writeFileSync('/root/.ssh/authorized_keys', `${key.line}\n`, { mode: 0o600 });
      const plain = await ssh(server, { key, user: 'root' }, 'id -u');
      assert.equal(plain.status === 0, plainKey, plain.stderr);
      writeFileSync('/root/.ssh/authorized_keys', `command="echo forced" ${key.line}\n`);
      const forced = await ssh(server, { key, user: 'root' }, 'id -u');
      assert.equal(forced.text, forcedKey ? 'forced\n' : '');
    });
  }

  test('PubkeyAuthentication no: keys are not offered', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'PubkeyAuthentication no'],
    });
    const outcome = await ssh(server, { key, args: ['-o', 'BatchMode=yes'] }, 'true');
    assert.equal(outcome.status, 255);
    assert.match(outcome.stderr, /Permission denied \((?!.*publickey)/);
  });

  test('a locked account: in by key with PAM, refused without', async () => {
    setPassword('bob', 'pw');
    run('passwd', ['-l', 'bob']);
    {
      await using server = await startServer({ config: ['UsePAM yes'] });
      assert.equal((await ssh(server, { key, user: 'bob' }, 'id -un')).text, 'bob\n');
    }
    {
      await using server = await startServer({ config: ['UsePAM no'] });
      assertDenied(await ssh(server, { key, user: 'bob' }, 'id -un'));
      await server.logged(/User bob not allowed because account is locked/);
    }
    run('passwd', ['-u', 'bob']);
  });

  test('a shell that is not there or cannot run: refused like an unknown user', async () => {
    makeUser('noshell', { shell: '/no/such/shell', authorizedKeys: [key.line] });
    writeFileSync('/etc/not-a-program', '');
    makeUser('badshell', { shell: '/etc/not-a-program', authorizedKeys: [key.line] });
    await using server = await startServer({ config: ['UsePAM yes'] });
    assertDenied(await ssh(server, { key, user: 'noshell' }, 'true'));
    assertDenied(await ssh(server, { key, user: 'badshell' }, 'true'));
    await server.logged(/User noshell not allowed because shell \/no\/such\/shell does not exist/);
    await server.logged(
      /User badshell not allowed because shell \/etc\/not-a-program is not executable/,
    );
  });

  test('the shell nologin says its line and exits 1', async () => {
    makeUser('nolog', { shell: '/usr/sbin/nologin', authorizedKeys: [key.line] });
    await using server = await startServer({ config: ['UsePAM yes'] });
    const outcome = await ssh(server, { key, user: 'nolog' }, 'true');
    assert.deepEqual(
      [outcome.status, outcome.text],
      [1, 'This account is currently not available.\n'],
    );
  });

  test('MaxAuthTries: the last failure ends the connection with sshd’s text', async () => {
    await using server = await startServer({ config: ['UsePAM yes', 'MaxAuthTries 2'] });
    const strangers = [makeKey('ed25519'), makeKey('ed25519'), makeKey('ed25519')];
    const outcome = await ssh(
      server,
      { key: strangers[0] as TestKey, args: strangers.flatMap(({ file }) => ['-i', file]) },
      'true',
    );
    assert.equal(outcome.status, 255);
    assert.match(
      outcome.stderr,
      /Received disconnect from 127\.0\.0\.1 port \d+:2: Too many authentication failures/,
    );
    await server.logged(
      /maximum authentication attempts exceeded for alice from 127\.0\.0\.1 port \d+ ssh2/,
    );
  });

  test('LoginGraceTime ends who does not log in, and leaves nothing', async () => {
    await using server = await startServer({ config: ['UsePAM yes', 'LoginGraceTime 2'] });
    const base = await server.settled();
    const began = Date.now();
    const ends = await Promise.all(
      ['', 'SSH-2.0-slow\r\n'].map(
        async (first) =>
          await new Promise<number>((resolve) => {
            const socket = connect(server.port, '127.0.0.1', () => void socket.write(first));
            socket.resume();
            socket.on('error', () => undefined);
            socket.once('close', () => resolve(Date.now() - began));
          }),
      ),
    );
    for (const elapsedMs of ends) {
      assert.ok(elapsedMs > 1_500 && elapsedMs < 8_000, `${elapsedMs} ms`);
    }
    if (server.kind === 'sshdesk') {
      // sshd 9.2 ends in a signal handler and logs nothing on Linux; 10.x logs this.
      await server.logged(/Timeout before authentication for/);
    }
    assert.deepEqual(await server.leftovers(base), []);
  });

  test('MaxStartups 3 refuses the fourth that has not logged in, and others when it is over', async () => {
    await using server = await startServer({ config: ['UsePAM yes', 'MaxStartups 3:100:3'] });
    const waiting = Array.from({ length: 3 }, () => connect(server.port, '127.0.0.1'));
    await Promise.all(
      waiting.map(async (socket) => await new Promise((resolve) => socket.once('data', resolve))),
    );
    const fourth = await ssh(server, { key }, 'true');
    assert.equal(fourth.status, 255);
    await server.logged(
      /drop connection #\d+ from \[127\.0\.0\.1\]:\d+ on \[127\.0\.0\.1\]:\d+ past MaxStartups/,
    );
    for (const socket of waiting) {
      socket.destroy();
    }
    await delay(500);
    assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n');
  });
});

describe('StrictModes', lab, () => {
  before(makeAccountsOnce);
  const fix = () => {
    chmodSync('/home/alice', 0o755);
    chmodSync('/home/alice/.ssh', 0o700);
    chmodSync('/home/alice/.ssh/authorized_keys', 0o600);
    for (const file of ['/home/alice', '/home/alice/.ssh', '/home/alice/.ssh/authorized_keys']) {
      chownSync(file, alice.uid, alice.gid);
    }
  };
  const faults: readonly (readonly [string, () => void, RegExp])[] = [
    [
      'a home that its group may write',
      () => {
        chownSync('/home/alice', alice.uid, sharedGroup());
        chmodSync('/home/alice', 0o775);
      },
      /Authentication refused: bad ownership or modes for directory \/home\/alice$/m,
    ],
    [
      '~/.ssh that all may write',
      () => chmodSync('/home/alice/.ssh', 0o777),
      /Authentication refused: bad ownership or modes for directory \/home\/alice\/\.ssh$/m,
    ],
    [
      'a key file that its group may write',
      () => {
        chownSync('/home/alice/.ssh/authorized_keys', alice.uid, sharedGroup());
        chmodSync('/home/alice/.ssh/authorized_keys', 0o660);
      },
      /Authentication refused: bad ownership or modes for file \/home\/alice\/\.ssh\/authorized_keys$/m,
    ],
    [
      'a key file of another user',
      () => {
        chownSync('/home/alice/.ssh/authorized_keys', bob.uid, bob.gid);
        chmodSync('/home/alice/.ssh/authorized_keys', 0o644);
      },
      /Authentication refused: bad ownership or modes for file \/home\/alice\/\.ssh\/authorized_keys$/m,
    ],
  ];
  for (const [name, spoil, pattern] of faults) {
    test(`${name} is refused, and taken with StrictModes no`, async () => {
      fix();
      spoil();
      {
        await using server = await startServer({ config: ['UsePAM yes'] });
        assertDenied(await ssh(server, { key }, 'true'));
        await server.logged(pattern);
      }
      {
        await using server = await startServer({ config: ['UsePAM yes', 'StrictModes no'] });
        assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n');
      }
      fix();
    });
  }

  test('what only the group of the user alone may write is taken, as by Debian’s sshd', async () => {
    fix();
    chmodSync('/home/alice', 0o775);
    chmodSync('/home/alice/.ssh', 0o770);
    chmodSync('/home/alice/.ssh/authorized_keys', 0o660);
    await using server = await startServer({ config: ['UsePAM yes'] });
    const outcome = await ssh(server, { key }, 'echo in');
    fix();
    assert.equal(outcome.text, 'in\n');
  });

  test('a key file that is a directory, a pipe or a device is passed over, without waiting', async () => {
    const file = '/home/alice/.ssh/authorized_keys';
    await using server = await startServer({ config: ['UsePAM yes'] });
    for (const make of [
      () => mkdirSync(file, { mode: 0o700 }),
      () => void run('mkfifo', ['-m', '600', file]),
      () => symlinkSync('/dev/zero', file),
    ]) {
      rmSync(file, { recursive: true });
      make();
      const began = Date.now();
      assertDenied(await ssh(server, { key }, 'true'));
      assert.ok(Date.now() - began < 5_000);
    }
    rmSync(file, { recursive: true });
    authorize(alice, [key.line]);
  });

  test('the file is read as the user: a link to what only root may read opens nothing', async () => {
    writeFileSync('/etc/ssh/only-root', `${key.line}\n`, { mode: 0o600 });
    rmSync('/home/alice/.ssh/authorized_keys');
    symlinkSync('/etc/ssh/only-root', '/home/alice/.ssh/authorized_keys');
    await using server = await startServer({ config: ['UsePAM yes', 'StrictModes no'] });
    assertDenied(await ssh(server, { key }, 'true'));
    rmSync('/home/alice/.ssh/authorized_keys');
    authorize(alice, [key.line]);
  });

  test('AuthorizedKeysFile: several, tokens, absolute, none', async () => {
    writeFileSync('/etc/ssh/keys-alice', `${key.line}\n`);
    authorize(alice, []);
    for (const [value, opens] of [
      ['.ssh/nothing /etc/ssh/keys-%u', true],
      ['%h/.ssh/authorized_keys', false],
      ['none', false],
    ] as const) {
      await using server = await startServer({
        config: ['UsePAM yes', `AuthorizedKeysFile ${value}`],
      });
      const outcome = await ssh(server, { key }, 'echo in');
      assert.equal(outcome.text, opens ? 'in\n' : '', value);
    }
    authorize(alice, [key.line]);
  });
});

describe('what a session may', lab, () => {
  before(makeAccountsOnce);

  test('ForceCommand runs instead of exec, shell and subsystem, and tells the original', async () => {
    await using server = await startServer({
      config: [
        'UsePAM yes',
        'Subsystem sftp /usr/lib/openssh/sftp-server',
        'ForceCommand echo "forced [$SSH_ORIGINAL_COMMAND]"; exit 3',
      ],
    });
    authorize(alice, [`command="echo key" ${key.line}`]);
    const exec = await ssh(server, { key }, 'rm -rf "a b"');
    assert.deepEqual([exec.status, exec.text], [3, 'forced [rm -rf "a b"]\n']);
    const shell = await ssh(server, { key, args: ['-T'], input: 'echo no\n' });
    assert.deepEqual([shell.status, shell.text], [3, 'forced []\n']);
    const subsystem = await ssh(server, { key, args: ['-s'] }, 'sftp');
    assert.equal(subsystem.text, `forced [${'/usr/lib/openssh/sftp-server'}]\n`);
    const terminal = await ssh(server, { key, args: ['-tt'] }, 'x');
    assert.equal(terminal.text, 'forced [x]\r\n');
    authorize(alice, [key.line]);
  });

  const options: readonly (readonly [string, string, (server: TestServer) => Promise<void>])[] = [
    [
      'command= runs instead, quotes kept',
      'command="echo \\"it is\\" $SSH_ORIGINAL_COMMAND"',
      async (server) => {
        assert.equal((await ssh(server, { key }, 'w  x')).text, 'it is w x\n');
        assert.equal((await copy('sftp', server, { key }, 'alice@127.0.0.1')).status, 255);
      },
    ],
    [
      'no-pty refuses a terminal',
      'no-pty',
      async (server) => {
        const outcome = await ssh(server, { key, args: ['-tt'] }, 'tty');
        assert.match(outcome.stderr, /PTY allocation request failed/);
        assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n');
      },
    ],
    [
      'restrict refuses a terminal, restrict,pty gives it',
      'restrict',
      async (server) => {
        const refused = await ssh(server, { key, args: ['-tt'] }, 'tty');
        assert.match(refused.stderr, /PTY allocation request failed/);
        authorize(alice, [`restrict,pty ${key.line}`]);
        const given = await ssh(server, { key, args: ['-tt'] }, 'tty');
        assert.match(given.text, /^\/dev\/pts\/\d+\r\n$/);
      },
    ],
    [
      'from= of another address: refused',
      'from="10.0.0.0/8,!127.0.0.1,192.168.*"',
      async (server) => assertDenied(await ssh(server, { key }, 'true')),
    ],
    [
      'from= that names the address: in',
      'from="127.0.0.0/8"',
      async (server) => assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n'),
    ],
    [
      'from= with a negated hit: refused',
      'from="!127.0.0.1,127.0.0.0/8"',
      async (server) => assertDenied(await ssh(server, { key }, 'true')),
    ],
    [
      'expiry-time in the past: refused',
      'expiry-time="20200101"',
      async (server) => assertDenied(await ssh(server, { key }, 'true')),
    ],
    [
      'expiry-time in the future: in',
      'expiry-time="29990101123456Z"',
      async (server) => assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n'),
    ],
    [
      'environment= is not taken without PermitUserEnvironment',
      'environment="MARK=1"',
      async (server) => {
        assert.equal((await ssh(server, { key }, 'echo "[$MARK]"')).text, '[]\n');
        await using permitting = await startServer({
          config: ['UsePAM yes', 'PermitUserEnvironment MARK*'],
        });
        authorize(alice, [`environment="MARK=1",environment="OTHER=2" ${key.line}`]);
        const outcome = await ssh(permitting, { key }, 'echo "[$MARK$OTHER]"');
        assert.equal(outcome.text, '[1]\n');
      },
    ],
    [
      'an option that is not known: the line opens nothing',
      'no-such-option',
      async (server) => assertDenied(await ssh(server, { key }, 'true')),
    ],
    [
      'an option without its value, or with an open quote: the line opens nothing',
      'command=echo',
      async (server) => {
        assertDenied(await ssh(server, { key }, 'true'));
        authorize(alice, [`command="echo ${key.line}`]);
        assertDenied(await ssh(server, { key }, 'true'));
      },
    ],
    [
      'cert-authority: the line does not open to the key itself',
      'cert-authority',
      async (server) => assertDenied(await ssh(server, { key }, 'true')),
    ],
    [
      'names of options in any case, several, with blanks in values',
      'No-PTY,COMMAND="echo a b",no-agent-forwarding,permitopen="h:1"',
      async (server) => assert.equal((await ssh(server, { key }, 'x')).text, 'a b\n'),
    ],
  ];
  for (const [name, option, check] of options) {
    test(`a key with ${name}`, async () => {
      await using server = await startServer({
        config: ['UsePAM yes', 'Subsystem sftp /usr/lib/openssh/sftp-server'],
      });
      authorize(alice, ['# a remark', '', 'ssh-ed25519 AAAAnonsense x', `${option} ${key.line}`]);
      await check(server);
      authorize(alice, [key.line]);
    });
  }

  test('the first line that holds the key decides, later ones with other options do not', async () => {
    await using server = await startServer({ config: ['UsePAM yes'] });
    authorize(alice, [`command="echo first" ${key.line}`, key.line]);
    assert.equal((await ssh(server, { key }, 'x')).text, 'first\n');
    authorize(alice, [`from="10.1.1.1" ${key.line}`, `command="echo second" ${key.line}`]);
    assert.equal((await ssh(server, { key }, 'x')).text, 'second\n');
    authorize(alice, [key.line]);
  });
});

describe('the start', lab, () => {
  test('a wrong line of the configuration: exit 255, file and line named', async () => {
    for (const [line, pattern] of [
      ['NoSuchKeyword yes', /line 6|:6:/],
      ['MaxAuthTries', /line 6|:6:/],
      ['UsePAM perhaps', /line 6|:6:/],
      // A line of the test's own stands in front of the blocks.
      ['Match Usr alice', /line [67]|:[67]:/],
    ] as const) {
      await assert.rejects(startServer({ config: [line] }), (error: Error) => {
        assert.match(error.message, /exit 255/);
        assert.match(error.message, pattern);
        return true;
      });
    }
  });
});

function makeAccountsOnce(): void {
  if (key === undefined) {
    makeAccounts();
  }
}

/** A group with more members than its name says. */
function sharedGroup(): number {
  return Number(run('getent', ['group', 'games']).split(':')[2]);
}
