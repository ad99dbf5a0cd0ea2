/**
 * OpenSSH's own programs in the uses that other files do not show: shared connections, hops, SOCKS,
 * scans of host keys, the installation of a key. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, describe } from 'node:test';
import {
  can,
  EchoTarget,
  Holding,
  inLabWith,
  largeFile,
  password,
  program,
  Stage,
  startProgram,
  TestAgent,
  throughPort,
} from '../../support/foreign-client.ts';
import { authorize, makeKey, makeUser, type TestKey } from '../../support/lab.ts';
import { freePort, serverKind } from '../../support/server.ts';
import {
  type ClientOptions,
  type ClientOutcome,
  copy,
  remote,
  ssh,
  sshArguments,
} from '../../support/stock-client.ts';
import { openTerminal } from '../../support/terminal.ts';

const lab = inLabWith(import.meta.url, 'openssh');

describe('OpenSSH', lab, () => {
  let stage: Stage;
  let key: TestKey;
  before(async () => {
    stage = await Stage.make();
    key = stage.ed25519;
    writeFileSync('/tmp/askpass', `#!/bin/sh\necho '${password}'\n`, { mode: 0o700 });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const asking = { SSH_ASKPASS: '/tmp/askpass', SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':9' };
  const run1 = async (options: ClientOptions, ...command: readonly string[]) =>
    await ssh(stage.server, { key, timeoutMs: 40_000, ...options }, ...command);
  const holding = (...args: readonly string[]): Holding =>
    new Holding(startProgram('ssh', sshArguments(stage.server, { key, args: ['-N', ...args] })));

  const logsInWith = async (key: TestKey): Promise<void> => {
    const outcome = await run1({ key }, 'id -un');
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  };
  const logsInBy = async (method: string): Promise<void> => {
    const outcome = await ssh(
      stage.server,
      { args: ['-o', `PreferredAuthentications=${method}`], environment: asking },
      'id -un',
    );
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  };

  can('key ed25519', 'logs in', async () => await logsInWith(stage.ed25519));

  can('key rsa', 'logs in', async () => await logsInWith(stage.rsa));

  can('password', 'logs in', async () => await logsInBy('password'));

  can('keyboard-interactive', 'logs in', async () => await logsInBy('keyboard-interactive'));

  can('command', 'gives the exit status and keeps stderr apart', async () => {
    const outcome = await run1({}, 'echo out; echo err >&2; exit 7');
    assert.deepEqual([outcome.status, outcome.text, outcome.stderr], [7, 'out\n', 'err\n']);
    assert.equal((await run1({}, 'kill -KILL $$')).status, 255);
  });

  can('upload', '9 MiB arrive as they were', async () => {
    const outcome = await run1({ input: stage.large }, 'cat > up');
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB arrive as they are', async () => {
    const outcome = await run1({}, `cat ${largeFile}`);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
  });

  can('rekey', 'every MB by its own wish, in the midst of both directions', async () => {
    const args = ['-o', 'RekeyLimit=1M', '-o', 'LogLevel=DEBUG1'];
    const outcome = await run1({ args, input: stage.large }, 'cat');
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
    const times = outcome.stderr.match(/SSH2_MSG_NEWKEYS sent/g)?.length ?? 0;
    assert.ok(times >= 5, `${times} times`);
  });

  can('rekeyed', 'goes along with the server, in the midst of both directions', async () => {
    const outcome = await ssh(
      await stage.rekeying(),
      { key, args: ['-o', 'LogLevel=DEBUG1'], input: stage.large, timeoutMs: 40_000 },
      'cat',
    );
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
    const times = outcome.stderr.match(/SSH2_MSG_NEWKEYS sent/g)?.length ?? 0;
    assert.ok(times >= 5, `${times} times`);
  });

  can('pty', 'has a terminal of its size', async () => {
    const terminal = openTerminal(
      'ssh',
      sshArguments(stage.server, { key, args: ['-tt'] }, 'tty; stty size'),
      { rows: 33, columns: 99 },
    );
    await terminal.shows(/^\/dev\/pts\/\d+\n33 99$/m);
    assert.equal(await terminal.ended, 0);
  });

  can('no warning', 'says nothing at a login, not of its algorithms either', async () => {
    const outcome = await run1({ args: ['-o', 'LogLevel=INFO'] }, 'true');
    assert.deepEqual([outcome.status, outcome.stderr], [0, '']);
  });

  can('ControlMaster', 'eight sessions at once over one connection, and its end', async () => {
    const share = ['-o', 'ControlPath=/tmp/control', '-o', 'ControlMaster=no'];
    await using master = holding('-M', '-o', 'ControlPath=/tmp/control');
    const until = Date.now() + 15_000;
    while (!existsSync('/tmp/control')) {
      assert.ok(Date.now() < until, master.said);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    const told = async (order: string): Promise<ClientOutcome> =>
      await run1({ args: [...share, '-O', order] });
    assert.match((await told('check')).stderr, /Master running/);
    // Not by a connection of their own: the key is missing.
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async (_, at) => {
        const options = { args: [...share, '-o', 'BatchMode=yes'], timeoutMs: 30_000 };
        return await ssh(stage.server, options, `sleep 0.2; echo ${at}; exit ${at}`);
      }),
    );
    assert.deepEqual(
      outcomes.map(({ status, text }) => [status, text]),
      Array.from({ length: 8 }, (_, at) => [at, `${at}\n`]),
    );
    const large = await ssh(stage.server, { args: share, timeoutMs: 30_000 }, `cat ${largeFile}`);
    assert.ok(large.stdout.equals(stage.large), large.stderr);
    const listing = await copy(
      'sftp',
      stage.server,
      { args: [...share, '-b', '-'], input: 'pwd\n' },
      'alice@127.0.0.1',
    );
    assert.match(listing.text, /Remote working directory: \/home\/alice/);
    assert.match((await told('exit')).stderr, /Exit request sent/);
  });

  for (const [name, args] of [
    ['the sftp protocol', []],
    ['the old protocol', ['-O']],
  ] as const) {
    can('scp', `with ${name} copies 9 MiB there and back`, async () => {
      const up = await copy('scp', stage.server, { key, args }, largeFile, remote('scp'));
      assert.equal(up.status, 0, up.stderr);
      rmSync('/tmp/got', { force: true });
      const down = await copy('scp', stage.server, { key, args }, remote('scp'), '/tmp/got');
      assert.equal(down.status, 0, down.stderr);
      assert.ok(readFileSync('/tmp/got').equals(stage.large));
    });
  }

  can('sftp', 'puts, gets, and asks what the server can do', async () => {
    rmSync('/tmp/got', { force: true });
    const batch = `put ${largeFile} sftp\ncopy sftp twin\nls -l twin\nget twin /tmp/got\ndf .\nrm twin\n`;
    const outcome = await copy(
      'sftp',
      stage.server,
      { key, args: ['-b', '-'], input: batch, timeoutMs: 40_000 },
      'alice@127.0.0.1',
    );
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  can('ssh-keyscan', 'finds each host key that is offered', async () => {
    const outcome = await program('ssh-keyscan', [
      ...['-T', '10', '-t', 'ed25519,ecdsa,rsa', '-p', String(stage.port), '127.0.0.1'],
    ]);
    assert.equal(outcome.status, 0, outcome.stderr);
    const found = outcome.text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    // sshd offers ECDSA too; here that is for those who name it.
    const known = readFileSync(stage.server.knownHosts, 'utf8')
      .trim()
      .split('\n')
      .filter((line) => serverKind === 'sshd' || !line.includes('ecdsa'));
    // Without the comments.
    const bare = (lines: readonly string[]) =>
      lines.map((line) => line.split(' ').slice(0, 3).join(' ')).sort();
    assert.deepEqual(bare(found), bare(known));
  });

  can('ssh-copy-id', 'installs a key by password, once', async () => {
    const bob = makeUser('bob', { password });
    const fresh = makeKey('ed25519');
    mkdirSync('/root/.ssh', { recursive: true, mode: 0o700 });
    const copyId = async (): Promise<ClientOutcome> =>
      await program(
        'ssh-copy-id',
        [
          ...['-i', `${fresh.file}.pub`, '-p', String(stage.port)],
          ...['-o', `UserKnownHostsFile=${stage.server.knownHosts}`],
          ...['-o', 'StrictHostKeyChecking=yes', 'bob@127.0.0.1'],
        ],
        { environment: asking },
      );
    const first = await copyId();
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.text, /Number of key\(s\) added: 1/);
    assert.equal(readFileSync(`${bob.home}/.ssh/authorized_keys`, 'utf8'), `${fresh.line}\n`);
    const login = await run1({ user: 'bob', key: fresh }, 'id -un');
    assert.deepEqual([login.status, login.text], [0, 'bob\n'], login.stderr);
    assert.match((await copyId()).stderr, /already exist on the remote system/);
  });

  can(
    'tun refused (-w)',
    'the client says that it is prohibited, and the connection lives',
    async () => {
      const outcome = await run1(
        { args: ['-w', 'any:any', '-o', 'ExitOnForwardFailure=no'] },
        'echo alive',
      );
      if (/Tunnel device open failed/.test(outcome.stderr)) {
        assert.fail('no /dev/net/tun here: nothing was asked of the server');
      }
      assert.equal(outcome.text, 'alive\n');
    },
  );

  can('-L', '9 MiB go through and come back', async () => {
    await using target = await EchoTarget.start();
    const port = await freePort();
    await using tunnel = holding('-L', `${port}:127.0.0.1:${target.port}`);
    await tunnel.listening(port);
    assert.ok((await throughPort(port, stage.large)).equals(stage.large), tunnel.said);
  });

  can('-R', '9 MiB go through and come back', async () => {
    await using target = await EchoTarget.start();
    const port = await freePort();
    await using tunnel = holding('-R', `${port}:127.0.0.1:${target.port}`);
    await tunnel.listening(port);
    assert.ok((await throughPort(port, stage.large)).equals(stage.large), tunnel.said);
  });

  can('-D', 'SOCKS 4 and 5, by address and by name', async () => {
    const server = createServer((_, response) => response.end(stage.large));
    const target = await freePort();
    await new Promise<void>((resolve) => server.listen(target, '127.0.0.1', resolve));
    const port = await freePort();
    await using tunnel = holding('-D', String(port));
    await tunnel.listening(port);
    try {
      for (const [way, host] of [
        ['--socks4', '127.0.0.1'],
        ['--socks5', '127.0.0.1'],
        ['--socks5-hostname', 'host.lab.test'],
      ] as const) {
        const got = await program('curl', [
          ...['-q', '-sS', '--max-time', '30', way, `127.0.0.1:${port}`],
          `http://${host}:${target}/`,
        ]);
        assert.equal(got.status, 0, `${way}: ${got.stderr}`);
        assert.ok(got.stdout.equals(stage.large), way);
      }
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  can('-W', 'stdin and stdout are the far end', async () => {
    await using target = await EchoTarget.start();
    const outcome = await run1({
      args: ['-W', `127.0.0.1:${target.port}`],
      input: stage.large,
    });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
  });

  can('ProxyJump', 'through the server to itself, with a key for each hop', async () => {
    const inner = makeKey('ed25519');
    const carol = makeUser('carol');
    authorize(carol, [inner.line]);
    const lines = (host: string, user: string, file: string, more: string) => `
Host ${host}
  HostName 127.0.0.1
  Port ${stage.port}
  User ${user}
  IdentityFile ${file}
  IdentitiesOnly yes
  UserKnownHostsFile ${stage.server.knownHosts}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  LogLevel ERROR
  ${more}
`;
    writeFileSync(
      '/tmp/ssh_config',
      lines('hop', 'alice', key.file, '') + lines('far', 'carol', inner.file, 'ProxyJump hop'),
    );
    const outcome = await program('ssh', ['-F', '/tmp/ssh_config', 'far', 'id -un >&2; cat'], {
      input: stage.large,
    });
    assert.deepEqual([outcome.status, outcome.stderr], [0, 'carol\n']);
    assert.ok(outcome.stdout.equals(stage.large));
  });

  can('-L of sockets', '9 MiB go to a socket in the file system and come back', async () => {
    await using target = await EchoTarget.start();
    const port = await freePort();
    rmSync('/home/alice/far', { force: true });
    await using back = holding('-R', `/home/alice/far:127.0.0.1:${target.port}`);
    const until = Date.now() + 15_000;
    while (!existsSync('/home/alice/far')) {
      assert.ok(Date.now() < until, back.said);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    await using tunnel = holding('-L', `${port}:/home/alice/far`);
    await tunnel.listening(port);
    assert.ok((await throughPort(port, stage.large)).equals(stage.large), tunnel.said);
  });

  can('agent', 'is forwarded and lists its key', async () => {
    await using agent = await TestAgent.start(stage.rsa);
    const outcome = await run1(
      { args: ['-A'], environment: { SSH_AUTH_SOCK: agent.socket } },
      'ssh-add -l',
    );
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /3072 SHA256:\S+ rsa@test \(RSA\)/);
  });
});
