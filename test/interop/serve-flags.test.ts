/** Each flag of `sshdesk serve`, where sshd stood, with its effect (sshd(8)). Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Child, eventually, type Finished } from '../support/child.ts';
import { end, Ground } from '../support/daemon.ts';
import { checkout, inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { allProcesses, freePort, processTree, serverKind } from '../support/server.ts';
import { SyslogReader } from '../support/syslog.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const launcher = path.join(checkout, 'sshdesk');
let key: TestKey;

/** Processes of ours that are there and not below a test's own daemon. */
const ours = (): readonly string[] =>
  allProcesses()
    .map(({ title }) => title)
    .filter((title) => /^sshdesk: |main\.ts serve/.test(title));

function assertFails(finished: Finished, ...patterns: readonly RegExp[]): void {
  assert.equal(finished.code, 255, finished.stderr);
  for (const pattern of patterns) {
    assert.match(finished.stderr, pattern);
  }
  assert.doesNotMatch(finished.stderr, /^\s+at /m, 'a stack trace');
}

/** The zygote ends a moment after its monitor. */
async function nothingLeft(): Promise<void> {
  await eventually('nothing is left', () => ours().length === 0, 3_000).catch(() => undefined);
  assert.deepEqual(ours(), []);
}

async function isOpen(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function greets(ground: Ground, port = ground.port): Promise<string> {
  const outcome = await ssh({ port, knownHosts: ground.knownHosts }, { key }, 'echo in');
  return outcome.status === 0 ? outcome.text : `${outcome.stderr}${ground.said()}`;
}

describe('serve', lab, () => {
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
  });

  describe('what it is told', () => {
    test('-f: the file is read; one that is not there is named, exit 255', async () => {
      await using ground = await Ground.make();
      await ground.daemon();
      assert.equal(await greets(ground), 'in\n');
      await eventually('the pid file', () => existsSync(ground.pidFile));
      assert.equal(statSync(ground.pidFile).mode & 0o777, 0o644);
      await using other = await Ground.make();
      const missing = await other.ended('-D', '-e', '-f', other.file('nothing'));
      assert.equal(missing.code, 255);
      assert.match(missing.stderr, /ground-\w+\/nothing: .*(ENOENT|No such file|no such file)/);
    });

    test('-f relative to where it is started', async () => {
      await using ground = await Ground.make();
      assert.equal((await ground.ended('-t', '-f', 'sshd_config')).code, 0);
    });

    test('-p: several, attached too, in place of Port', async () => {
      await using ground = await Ground.make();
      const [first, second] = [await freePort(), await freePort()];
      ground.knows(first);
      ground.knows(second);
      await ground.daemon('-p', String(first), `-p${second}`);
      assert.equal(await greets(ground, first), 'in\n');
      assert.equal(await greets(ground, second), 'in\n');
      assert.equal(await isOpen(ground.port), false);
    });

    test('-p: what is no port is a matter of usage, exit 1', async () => {
      await using ground = await Ground.make();
      for (const port of ['0', '65536', '22x', '', '-1']) {
        const finished = await ground.ended('-t', '-f', ground.configFile, '-p', port);
        assert.deepEqual([finished.code, /Bad port number/.test(finished.stderr)], [1, true], port);
      }
    });

    test('-h: several keys, in front of those of the file', async () => {
      await using ground = await Ground.make();
      const more = [makeKey('ecdsa', 256), makeKey('rsa', 2048)];
      for (const { file } of more) {
        ground.knows(ground.port, file);
      }
      await ground.daemon(
        ...more.flatMap(({ file }) => ['-h', file]),
        ...['-o', 'HostKeyAlgorithms=+ecdsa-*'],
      );
      for (const algorithm of ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512']) {
        const outcome = await ssh(
          ground,
          { key, args: ['-o', `HostKeyAlgorithms=${algorithm}`] },
          'echo in',
        );
        assert.equal(outcome.text, 'in\n', outcome.stderr);
      }
    });

    test('-h: a key that others may read is skipped, the others serve', async () => {
      await using ground = await Ground.make();
      const open = makeKey('ecdsa', 256);
      chmodSync(open.file, 0o644);
      const daemon = await ground.daemon('-h', open.file);
      assert.match(daemon.stderr, /Permissions 0644 for '.*id_ecdsa' are too open/);
      assert.match(daemon.stderr, /UNPROTECTED PRIVATE KEY FILE/);
      assert.equal(await greets(ground), 'in\n');
    });

    test('-h: no key that can be used is exit 255, each named with what is wrong', async () => {
      await using ground = await Ground.make();
      ground.configure([`ListenAddress 127.0.0.1:${ground.port}`], { bare: true });
      const open = makeKey('ed25519');
      chmodSync(open.file, 0o640);
      const encrypted = ground.file('encrypted');
      run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret', '-f', encrypted]);
      const encryptedPem = ground.file('encrypted_pem');
      run('ssh-keygen', [
        '-q',
        '-t',
        'rsa',
        '-b',
        '2048',
        '-m',
        'PEM',
        '-N',
        'secret',
        '-f',
        encryptedPem,
      ]);
      const broken = ground.file('broken');
      const whole = readFileSync(ground.hostKey, 'utf8');
      writeFileSync(broken, whole.replace(/[A-Za-z]{8}\n-----END/, '!!!!!!!!\n-----END'), {
        mode: 0o600,
      });
      const cut = ground.file('cut');
      writeFileSync(cut, whole.slice(0, 150), { mode: 0o600 });
      const empty = ground.file('empty');
      writeFileSync(empty, '', { mode: 0o600 });
      const cases: readonly (readonly [string, RegExp])[] = [
        [open.file, /Permissions 0640 for .* are too open/],
        [encrypted, /encrypted: .*(encrypted|passphrase)/],
        [encryptedPem, /encrypted_pem: .*(encrypted|passphrase)/],
        [broken, /broken: /],
        [cut, /cut: /],
        [empty, /empty: /],
        [ground.file('nothing'), /nothing: .*(no such file|No such file)/],
        [ground.folder, /ground-\w+: not a key file/],
        [`${ground.hostKey}.pub`, /host_key\.pub/],
      ];
      for (const [file, pattern] of cases) {
        const finished = await ground.ended('-D', '-f', ground.configFile, '-h', file);
        assertFails(finished, pattern, /no hostkeys available/);
        await nothingLeft();
      }
      const all = await ground.ended(
        '-t',
        ...['-f', ground.configFile],
        ...cases.flatMap(([file]) => ['-h', file]),
      );
      assertFails(all, ...cases.map(([, pattern]) => pattern));
    });

    test('-o wins over the file; all errors are told at once', async () => {
      await using ground = await Ground.make({ config: ['AllowUsers nobody-else'] });
      const port = await freePort();
      ground.knows(port);
      await ground.daemon('-o', `Port=${port}`, '-oAllowUsers alice', '-o', 'LogLevel VERBOSE');
      assert.equal(await greets(ground, port), 'in\n');
      await using other = await Ground.make();
      other.configure(['MaxAuthTries many', 'Match Usr alice', 'Nonsense 1']);
      const finished = await other.ended(
        ...['-D', '-f', other.configFile, '-o', 'Foo=bar', '-o', 'UsePAM=perhaps'],
      );
      const file = other.configFile.replaceAll('.', '\\.');
      assert.equal(finished.code, 255);
      for (const pattern of [
        /command-line:1: Foo: /,
        /command-line:2: UsePAM: /,
        new RegExp(`^${file}:5: MaxAuthTries: `, 'm'),
        new RegExp(`^${file}:6: Match: Unsupported Match attribute Usr$`, 'm'),
        new RegExp(`^${file}:7: Nonsense: `, 'm'),
      ]) {
        assert.match(finished.stderr, pattern);
      }
    });

    test('-4 and -6: the one family only', async () => {
      for (const [flag, address, other] of [
        ['-4', '127.0.0.1', '::1'],
        ['-6', '::1', '127.0.0.1'],
      ] as const) {
        await using ground = await Ground.make();
        ground.configure([`Port ${ground.port}`, `HostKey ${ground.hostKey}`, 'PidFile none'], {
          bare: true,
        });
        await ground.daemon(flag);
        assert.equal(await isOpen(ground.port, address), true, flag);
        assert.equal(await isOpen(ground.port, other), false, flag);
      }
    });

    test('neither: both families', async () => {
      await using ground = await Ground.make();
      ground.configure([`Port ${ground.port}`, `HostKey ${ground.hostKey}`, 'PidFile none'], {
        bare: true,
      });
      await ground.daemon();
      assert.equal(await isOpen(ground.port, '127.0.0.1'), true);
      assert.equal(await isOpen(ground.port, '::1'), true);
    });

    test('an unknown flag, a missing value, a word too much: usage, exit 1', async () => {
      await using ground = await Ground.make();
      for (const [args, pattern] of [
        [['-Z'], /unknown option -- Z/],
        [['-DZ'], /unknown option -- Z/],
        [['--no-such'], /unknown option -- no-such/],
        [['-p'], /requires an argument -- p/],
        [['-De', '-f'], /requires an argument -- f/],
        [['-t', 'word'], /extra argument word/i],
        [['-D', '-C', 'user=a'], /-C/],
      ] as const) {
        const finished = await ground.ended(...args);
        assert.equal(finished.code, 1, args.join(' '));
        assert.match(finished.stderr, pattern);
        assert.match(finished.stderr, /usage: sshdesk serve /);
        assert.equal(finished.stdout, '');
      }
    });

    test('-V: name and version on stderr, exit 0', async () => {
      await using ground = await Ground.make();
      const finished = await ground.ended('-V');
      assert.deepEqual([finished.code, finished.stdout], [0, '']);
      assert.match(finished.stderr, /^sshdesk_\d+\.\d+\.\d+\S*, OpenSSL \d\S*\n$/);
    });
  });

  describe('what it only checks', () => {
    test('-t: 0 in silence, 255 with the text; nothing is started or written', async () => {
      await using ground = await Ground.make();
      const good = await ground.ended('-t', '-f', ground.configFile);
      assert.deepEqual([good.code, good.stdout, good.stderr], [0, '', '']);
      assert.ok(!existsSync(ground.pidFile));
      ground.configure(['PermitRootLogin sometimes']);
      const bad = await ground.ended('-t', '-f', ground.configFile);
      assertFails(bad, /:5: PermitRootLogin: /);
      await nothingLeft();
    });

    test('-t does not mind that the daemon runs, nor the daemon it', async () => {
      await using ground = await Ground.make();
      const daemon = await ground.daemon();
      assert.equal((await ground.ended('-t', '-f', ground.configFile)).code, 0);
      ground.configure(['Broken yes']);
      assert.equal((await ground.ended('-t', '-f', ground.configFile)).code, 255);
      assert.equal(await greets(ground), 'in\n');
      assert.ok(!daemon.hasExited);
    });

    test('-T: the configuration on stdout, exit 0; 255 without a line when it is wrong', async () => {
      await using ground = await Ground.make({ config: ['MaxSessions 7'] });
      const good = await ground.ended('-T', '-f', ground.configFile, '-o', 'MaxAuthTries=3');
      assert.equal(good.code, 0, good.stderr);
      assert.match(good.stdout, /^maxsessions 7$/m);
      assert.match(good.stdout, /^maxauthtries 3$/m);
      for (const line of ['KerberosAuthentication yes', 'RDomain x']) {
        ground.configure([line]);
        const bad = await ground.ended('-T', '-f', ground.configFile);
        assert.equal(bad.stdout, '');
        assertFails(bad, new RegExp(`:5: ${line.split(' ')[0]}: .*not supported`, 'm'));
      }
    });

    test('-C with -T: taken; a wrong specification is refused', async () => {
      await using ground = await Ground.make();
      const spec = 'user=alice,host=h.example,addr=10.0.0.1,laddr=::1,lport=22';
      const good = await ground.ended(
        '-T',
        '-f',
        ground.configFile,
        '-C',
        spec,
        '-C',
        'invalid-user',
      );
      assert.equal(good.code, 0, good.stderr);
      assert.match(good.stdout, /^port /m);
      for (const wrong of ['nonsense', 'user', 'port=22', 'lport=x', 'user=a,,', 'addr=a.b']) {
        const bad = await ground.ended('-T', '-f', ground.configFile, '-C', wrong);
        assert.equal(bad.code, 255, wrong);
        assert.match(bad.stderr, /test mode specification/);
        assert.equal(bad.stdout, '');
      }
    });
  });

  describe('where it runs', () => {
    test('-D: stays; the pid file holds its pid and goes with it', async () => {
      await using ground = await Ground.make();
      const daemon = await ground.daemon();
      await eventually('the pid file', () => existsSync(ground.pidFile));
      assert.equal(readFileSync(ground.pidFile, 'utf8'), `${daemon.pid}\n`);
      assert.equal(processTree(daemon.pid)[0]?.title, 'sshdesk: monitor');
      daemon.process.kill('SIGTERM');
      assert.equal((await daemon.finished).code, 0);
      assert.ok(!existsSync(ground.pidFile));
    });

    test('without -D: exit 0 once it listens, away from terminal, session and folder', async () => {
      await using ground = await Ground.make();
      const began = await ground.ended('-f', ground.configFile);
      assert.deepEqual([began.code, began.stdout, began.stderr], [0, '', '']);
      const pid = Number(readFileSync(ground.pidFile, 'utf8'));
      try {
        // No waiting here: it listened before the launcher ended.
        assert.equal(await isOpen(ground.port), true);
        assert.equal(await greets(ground), 'in\n');
        const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
        const [, parent, , session, terminal] = fields;
        assert.equal(session, String(pid), 'a session of its own');
        assert.equal(terminal, '0', 'no terminal');
        assert.notEqual(parent, String(process.pid));
        assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
        for (const descriptor of [0, 1, 2]) {
          assert.equal(readlinkSync(`/proc/${pid}/fd/${descriptor}`), '/dev/null');
        }
        process.kill(pid, 'SIGTERM');
        await eventually('it ends', () => !existsSync(`/proc/${pid}`));
        assert.ok(!existsSync(ground.pidFile));
      } finally {
        await end(processTree(pid));
      }
    });

    test('a port that is taken: 255 with the text and who has it, with and without -D', async () => {
      await using ground = await Ground.make();
      const holder = createServer();
      await new Promise<void>((resolve) => holder.listen(ground.port, '127.0.0.1', resolve));
      try {
        for (const flags of [['-D'], []]) {
          const finished = await ground.ended(...flags, '-f', ground.configFile);
          assertFails(
            finished,
            new RegExp(
              `Bind to port ${ground.port} on 127\\.0\\.0\\.1 failed: .*already in use`,
              'i',
            ),
            new RegExp(`pid ${process.pid}\\b`),
          );
          assert.ok(!existsSync(ground.pidFile));
          await nothingLeft();
        }
      } finally {
        holder.close();
      }
    });

    test('one of two ports is taken: it serves the other and says so, as sshd does', async () => {
      await using ground = await Ground.make();
      const holder = createServer();
      const taken = await freePort();
      await new Promise<void>((resolve) => holder.listen(taken, '127.0.0.1', resolve));
      try {
        const daemon = await ground.daemon('-p', String(taken), '-p', String(ground.port));
        assert.match(daemon.stderr, new RegExp(`Bind to port ${taken} on 127.0.0.1 failed`));
        assert.equal(await greets(ground), 'in\n');
      } finally {
        holder.close();
      }
    });

    test('-d: in the foreground, debug on stderr, one connection, then it exits', async () => {
      await using ground = await Ground.make();
      const daemon = ground.serve('-d', '-f', ground.configFile);
      await eventually('it listens', () => isListening(daemon, ground.port));
      assert.ok(!existsSync(ground.pidFile), 'no pid file for one connection');
      assert.equal(await greets(ground), 'in\n');
      const finished = await daemon.finished;
      assert.equal(finished.code, 0, finished.stderr);
      assert.match(finished.stderr, /^debug1: /m);
      assert.match(finished.stderr, /Accepted publickey for alice/);
      await nothingLeft();
    });

    test('-d: a second connection meanwhile is refused', async () => {
      await using ground = await Ground.make();
      const daemon = ground.serve('-ddd', '-f', ground.configFile);
      await eventually('it listens', () => isListening(daemon, ground.port));
      const first = connect(ground.port, '127.0.0.1');
      await new Promise((resolve) => first.once('data', resolve));
      await eventually('nothing listens any more', async () => !(await isOpen(ground.port)));
      first.destroy();
      assert.equal((await daemon.finished).code, 0);
    });

    test('short flags in one word: -Deq, -tf FILE', async () => {
      await using ground = await Ground.make();
      assert.equal((await ground.ended('-tf', ground.configFile)).code, 0);
      assert.equal((await ground.ended(`-46tqf${ground.configFile}`)).code, 0);
      const daemon = ground.serve(`-Def${ground.configFile}`);
      await eventually('it listens', () => daemon.stderr.includes('Server listening'));
    });
  });

  describe('-i', () => {
    test('on pipes, as a ProxyCommand: a login, and it exits with the connection', async () => {
      await using ground = await Ground.make();
      const proxy = `${launcher} serve -i -E ${ground.file('log')} -f ${ground.configFile}`;
      const outcome = await ssh(
        ground,
        { key, args: ['-o', `ProxyCommand=${proxy}`] },
        'echo "$SSH_CONNECTION/$SSH_CLIENT"; cat /dev/zero | head -c 3000000 | sha256sum; exit 4',
      );
      const sum = run('sh', ['-c', 'head -c 3000000 /dev/zero | sha256sum']);
      assert.deepEqual(
        [outcome.status, outcome.text],
        [4, `UNKNOWN 65535 UNKNOWN 65535/UNKNOWN 65535 65535\n${sum}`],
        outcome.stderr + readFileSync(ground.file('log'), 'utf8'),
      );
      assert.match(
        readFileSync(ground.file('log'), 'utf8'),
        /Accepted publickey for alice from UNKNOWN port 65535 ssh2/,
      );
      assert.ok(!existsSync(ground.pidFile));
      await nothingLeft();
    });

    test('on a socket, from an inetd: addresses are the client’s, and it exits with it', async () => {
      await using ground = await Ground.make();
      const log = ground.file('log');
      // What inetd does: accept, and the connection as 0, 1 and 2 of the program.
      const inetd = new Child('perl', [
        '-e',
        `use Socket; my ($port, @program) = @ARGV;
         socket(L, PF_INET, SOCK_STREAM, 0) or die; setsockopt(L, SOL_SOCKET, SO_REUSEADDR, 1);
         bind(L, sockaddr_in($port, INADDR_LOOPBACK)) or die $!; listen(L, 5) or die; $| = 1;
         print "ready\\n"; accept(C, L) or die; close(L);
         my $pid = fork();
         if ($pid == 0) { open(STDIN, "<&C"); open(STDOUT, ">&C"); open(STDERR, ">&C"); close(C);
           exec(@program) or die; }
         close(C); waitpid($pid, 0); print "status $?\\n";`,
        String(ground.port),
        ...[launcher, 'serve', '-i', '-E', log, '-f', ground.configFile],
      ]);
      try {
        await eventually('it accepts', () => inetd.stdout.includes('ready'));
        const outcome = await ssh(ground, { key }, 'echo "$SSH_CONNECTION"');
        assert.match(
          outcome.text,
          new RegExp(`^127\\.0\\.0\\.1 \\d+ 127\\.0\\.0\\.1 ${ground.port}\\n$`),
          outcome.stderr + readFileSync(log, 'utf8'),
        );
        assert.match((await inetd.finished).stdout, /status 0/);
        assert.match(
          readFileSync(log, 'utf8'),
          /Accepted publickey for alice from 127\.0\.0\.1 port/,
        );
        await nothingLeft();
      } finally {
        await inetd.stop();
      }
    });

    test('ends when the client goes away before it logs in', async () => {
      await using ground = await Ground.make();
      const child = ground.serve('-i', '-E', ground.file('log'), '-f', ground.configFile);
      await eventually('it greets', () => child.stdout.startsWith('SSH-2.0-'));
      child.process.stdin?.end();
      await Promise.race([child.finished, delay(5_000)]);
      assert.ok(child.hasExited);
      await nothingLeft();
    });

    test('beside a daemon: neither disturbs the other', async () => {
      await using ground = await Ground.make();
      await ground.daemon();
      const proxy = `${launcher} serve -i -E ${ground.file('log')} -f ${ground.configFile}`;
      const outcome = await ssh(ground, { key, args: ['-o', `ProxyCommand=${proxy}`] }, 'echo in');
      assert.equal(outcome.text, 'in\n', outcome.stderr);
      assert.ok(existsSync(ground.pidFile));
      assert.equal(await greets(ground), 'in\n');
      assert.equal(run(launcher, ['sessions', 'list', '--json']).trim(), '[]');
    });

    test('a broken configuration: 255, and not a byte to the client but the reason on stderr', async () => {
      await using ground = await Ground.make({ config: ['Broken yes'] });
      const finished = await ground.ended('-i', '-f', ground.configFile);
      assert.equal(finished.stdout, '');
      assertFails(finished, /:5: Broken: /);
    });
  });

  describe('where it logs', () => {
    test('-e: on stderr, lines end CR LF, without prefix', async () => {
      await using ground = await Ground.make();
      const daemon = await ground.daemon();
      assert.equal(await greets(ground), 'in\n');
      await eventually('it is logged', () => /Accepted publickey/.test(daemon.stderr));
      for (const line of daemon.stderr.split(/(?<=\n)/)) {
        assert.match(line, /^[^\r\n]+\r\n$/);
      }
      assert.match(
        daemon.stderr,
        new RegExp(`^Server listening on 127\\.0\\.0\\.1 port ${ground.port}\\.\\r$`, 'm'),
      );
    });

    test('-E: in the file, appended, 0600, CR LF; nothing on stderr', async () => {
      await using ground = await Ground.make();
      const log = ground.file('log');
      writeFileSync(log, 'of before\n', { mode: 0o600 });
      const daemon = ground.serve('-D', '-E', log, '-f', ground.configFile);
      await eventually('it listens', () => readFileSync(log, 'utf8').includes('Server listening'));
      assert.equal(await greets(ground), 'in\n');
      const text = readFileSync(log, 'utf8');
      assert.match(text, /^of before\nServer listening on .*\r\n/);
      assert.match(text, /Accepted publickey for alice.*\r\n/);
      assert.equal(daemon.stderr, '');
      await daemon.stop();
      rmSync(log);
      const again = ground.serve('-D', '-E', 'log', '-f', ground.configFile);
      await eventually('it listens', () => existsSync(log) && statSync(log).size > 0);
      assert.equal(statSync(log).mode & 0o777, 0o600);
      await again.stop();
    });

    test('-E: a file that cannot be opened is exit 255, named', async () => {
      await using ground = await Ground.make();
      const finished = await ground.ended('-D', '-E', '/no/such/log', '-f', ground.configFile);
      assertFails(finished, /\/no\/such\/log/);
    });

    test('-q: not a line, and it serves', async () => {
      await using ground = await Ground.make();
      const daemon = ground.serve('-D', '-e', '-q', '-f', ground.configFile);
      await eventually('it listens', () => isListening(daemon, ground.port));
      assert.equal(await greets(ground), 'in\n');
      await ssh(ground, { key: makeKey('ed25519') }, 'true');
      assert.equal(daemon.stderr, '');
    });

    test('otherwise to syslog: tag sshd with the pid or a number beyond pids, facility auth, severity by level', async () => {
      await using reader = await SyslogReader.start();
      await using ground = await Ground.make();
      const daemon = ground.serve('-D', '-f', ground.configFile, '-h', ground.file('nothing'));
      await eventually('it listens', () => isListening(daemon, ground.port));
      assert.equal(await greets(ground), 'in\n');
      // A process serves many connections: theirs is a number that no process can have.
      const isOurs = serverKind === 'sshdesk';
      const connectionNumber = isOurs ? '(?:[1-9]\\d{7,9}|[4-9]\\d{6})' : '\\d+';
      const auth = 4 << 3;
      for (const [severity, number, pattern] of [
        [6, daemon.pid, `Server listening on 127\\.0\\.0\\.1 port ${ground.port}\\.`],
        [
          6,
          connectionNumber,
          'Accepted publickey for alice from 127\\.0\\.0\\.1 port \\d+ ssh2: ED25519 SHA256:\\S+',
        ],
        [3, daemon.pid, 'error: Unable to load host key: .*nothing.*'],
      ] as const) {
        await eventually(pattern, () =>
          new RegExp(`^<${auth | severity}>.{15} sshd\\[${number}\\]: ${pattern}$`, 'm').test(
            reader.stdout.replaceAll('\0', ''),
          ),
        ).catch((error: unknown) => {
          throw new Error(`${String(error)}\n${reader.stdout}`);
        });
      }
      assert.equal(daemon.stderr, '');
    });
  });
});

/** By the table, so that no connection is used up. */
function isListening(child: Child, port: number): boolean {
  if (child.hasExited) {
    throw new Error(`it ended: ${child.stderr}`);
  }
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  const isBound = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .some((line) => line.includes(wanted) && / 0A /.test(line));
  return isBound && processTree(child.pid).some(({ title }) => /^sshdesk: worker/.test(title));
}

after(nothingLeft);
