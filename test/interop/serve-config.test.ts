/**
 * Keywords of sshd_config and sshdesk_config in the running daemon, those that no other test sees at
 * work. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Child, eventually } from '../support/child.ts';
import { Ground, listening } from '../support/daemon.ts';
import {
  checkout,
  inLab,
  makeKey,
  makeUser,
  run,
  setPassword,
  type TestKey,
  writePamService,
} from '../support/lab.ts';
import { openDescriptors, type ProcessEntry, processTree } from '../support/server.ts';
import { openTerminal, type Terminal } from '../support/terminal.ts';
import { ssh, sshArguments } from '../support/stock-client.ts';

const launcher = path.join(checkout, 'sshdesk');
const lab = inLab(import.meta.url, 240_000);
let key: TestKey;

const workersOf = (pid: number): readonly ProcessEntry[] =>
  processTree(pid).filter(({ title }) => /^sshdesk: worker \d/.test(title));
const leadersOf = (pid: number): readonly ProcessEntry[] =>
  processTree(pid).filter(({ title }) => /^sshdesk: leader/.test(title));

/** First line that a connection gets. */
async function firstLine(port: number, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes('\n')) {
        socket.destroy();
        resolve(text);
      }
    });
    socket.once('error', reject);
    socket.once('end', () => resolve(text));
  });
}

async function held(port: number, count: number): Promise<readonly Socket[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      await new Promise((resolve) => socket.once('data', resolve));
      return socket;
    }),
  );
}

/** Bounded: a client that does not end is killed. */
async function endOf(terminal: Terminal): Promise<number | null> {
  const timer = setTimeout(() => terminal.kill(), 15_000);
  try {
    return await terminal.ended;
  } finally {
    clearTimeout(timer);
  }
}

/** How many connections to `port` a process holds. */
function connectionsOf(pid: number, port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(local) === true && fields[3] === '01')
    .map((fields) => `socket:[${fields[9]}]`);
  return openDescriptors(pid).filter((line) => inodes.includes(line.split(' ')[1] as string))
    .length;
}

/** `-N`-like: a login that stays until its input ends. */
function stay(ground: Ground, command = 'echo "$$"; cat'): Child {
  return new Child('ssh', sshArguments(ground, { key }, command), {
    env: { PATH: '/usr/bin:/bin', HOME: '/root' },
  });
}

describe('serve with a configuration', lab, () => {
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line], password: 'alice word' });
  });

  describe('sshd_config', () => {
    test('Debian’s untouched file loads and serves', async () => {
      mkdirSync('/etc/ssh/sshd_config.d', { recursive: true });
      writeFileSync('/etc/ssh/sshd_config', readFileSync('/usr/share/openssh/sshd_config'));
      run('ssh-keygen', ['-A']);
      await using ground = await Ground.make();
      const daemon = ground.serve('-D', '-e');
      await listening(daemon);
      assert.match(daemon.stderr, /Server listening on 0\.0\.0\.0 port 22\./);
      assert.match(daemon.stderr, /Server listening on :: port 22\./);
      const line = readFileSync('/etc/ssh/ssh_host_ed25519_key.pub', 'utf8');
      writeFileSync(ground.knownHosts, `127.0.0.1 ${line}::1 ${line}`);
      const server = { port: 22, knownHosts: ground.knownHosts };
      assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n');
      const files = await ssh(server, { key, args: ['-s'], input: '' }, 'sftp');
      assert.equal(files.status, 0, files.stderr);
      await eventually('the pid file', () => existsSync('/run/sshd.pid'));
      assert.equal(readFileSync('/run/sshd.pid', 'utf8'), `${daemon.pid}\n`);
    });

    test('Include: in place, before what follows; nested, and errors name their file', async () => {
      await using ground = await Ground.make();
      const folder = ground.file('parts');
      mkdirSync(folder);
      writeFileSync(`${folder}/10.conf`, 'ForceCommand echo ten\n');
      writeFileSync(`${folder}/20.conf`, `ForceCommand echo twenty\nInclude ${folder}/deep/*\n`);
      mkdirSync(`${folder}/deep`);
      writeFileSync(`${folder}/deep/x`, 'AllowUsers alice\n');
      ground.configure([`Include ${folder}/*.conf`, 'ForceCommand echo main', 'AllowUsers bob']);
      const daemon = await ground.daemon();
      assert.equal((await ssh(ground, { key }, 'x')).text, 'ten\n', daemon.stderr);
      writeFileSync(`${folder}/deep/x`, '\nUsePAM si\n');
      const finished = await ground.ended('-t', '-f', ground.configFile);
      assert.equal(finished.code, 255);
      assert.match(finished.stderr, new RegExp(`^${folder}/deep/x:2: UsePAM: `, 'm'));
    });

    test('Port several, ListenAddress of both families', async () => {
      await using ground = await Ground.make();
      const other = ground.port === 65535 ? 1024 : ground.port + 1;
      ground.knows(other);
      ground.configure(
        [
          `Port ${ground.port}`,
          `Port ${other}`,
          'ListenAddress 127.0.0.1',
          'ListenAddress [::1]',
          `HostKey ${ground.hostKey}`,
          'PidFile none',
        ],
        { bare: true },
      );
      const daemon = await ground.daemon();
      for (const port of [ground.port, other]) {
        for (const host of ['127.0.0.1', '::1']) {
          assert.match(await firstLine(port, host), /^SSH-2\.0-sshdesk/);
          assert.match(daemon.stderr, new RegExp(`listening on ${host} port ${port}\\.`));
        }
      }
      const outcome = await ssh(
        ground,
        { key, args: ['-o', 'HostName=::1'] },
        'echo "$SSH_CLIENT"',
      );
      assert.match(outcome.text, new RegExp(`^::1 \\d+ ${ground.port}\\n$`), outcome.stderr);
    });

    test('ListenAddress with a port of its own, AddressFamily inet', async () => {
      await using ground = await Ground.make();
      ground.configure(
        [
          'Port 1',
          'AddressFamily inet',
          `ListenAddress localhost:${ground.port}`,
          `HostKey ${ground.hostKey}`,
          'PidFile none',
        ],
        { bare: true },
      );
      await ground.daemon();
      assert.match(await firstLine(ground.port), /^SSH-2\.0-/);
      await assert.rejects(firstLine(ground.port, '::1'), { code: 'ECONNREFUSED' });
    });

    test('LogLevel: what is said at each', async () => {
      for (const [level, accepted, connection] of [
        ['QUIET', false, false],
        ['ERROR', false, false],
        ['INFO', true, false],
        ['VERBOSE', true, true],
      ] as const) {
        await using ground = await Ground.make({ config: [`LogLevel ${level}`] });
        const daemon = ground.serve('-D', '-e', '-f', ground.configFile);
        await eventually('workers', () => workersOf(daemon.pid).length >= 2);
        await eventually(
          'it serves',
          async () => (await ssh(ground, { key }, 'echo in')).text === 'in\n',
        );
        await delay(100);
        assert.equal(/Accepted publickey/.test(daemon.stderr), accepted, level);
        assert.equal(/Connection from 127\.0\.0\.1 port \d+ on/.test(daemon.stderr), connection);
        if (level === 'QUIET' || level === 'ERROR') {
          assert.equal(daemon.stderr, '', level);
        }
      }
    });

    test('PidFile none: none; one that cannot be written is said, and it serves', async () => {
      await using ground = await Ground.make();
      ground.configure(
        [`Port ${ground.port}`, 'ListenAddress 127.0.0.1', `HostKey ${ground.hostKey}`],
        { bare: true },
      );
      await ground.daemon('-o', 'PidFile=none');
      assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
      assert.ok(
        !existsSync('/run/sshd.pid') ||
          processTree(Number(readFileSync('/run/sshd.pid', 'utf8'))).length === 0,
      );
      await using other = await Ground.make();
      const daemon = await other.daemon('-o', 'PidFile=/no/such/pid');
      assert.equal((await ssh(other, { key }, 'echo in')).text, 'in\n');
      assert.match(daemon.stderr, /Couldn't create pid file "\/no\/such\/pid"/);
    });

    test('PAMServiceName: that stack and no other', async () => {
      writePamService('closed', ['account required pam_deny.so', 'session required pam_permit.so']);
      await using ground = await Ground.make({ config: ['UsePAM yes', 'PAMServiceName closed'] });
      const daemon = await ground.daemon();
      const outcome = await ssh(ground, { key }, 'echo in');
      assert.deepEqual([outcome.status, outcome.text], [255, '']);
      assert.match(daemon.stderr, /Access denied for user alice by PAM account configuration/);
    });

    test('PAMServiceName in a Match block: by user and by group, for a desktop too', async () => {
      writePamService('closed', ['account required pam_deny.so', 'session required pam_permit.so']);
      const note = '/usr/local/bin/note-service';
      writeFileSync(note, '#!/bin/sh\necho "$PAM_TYPE $PAM_SERVICE" >> /tmp/services\n', {
        mode: 0o755,
      });
      for (const name of ['outer', 'inner']) {
        writePamService(name, [
          'account required pam_permit.so',
          `session optional pam_exec.so ${note}`,
        ]);
      }
      await using ground = await Ground.make({
        config: [
          ...['UsePAM yes', 'PAMServiceName outer'],
          ...[
            'Match Group alice',
            'PAMServiceName inner',
            'Match User root',
            'PAMServiceName closed',
            'Match all',
          ],
        ],
      });
      const daemon = await ground.daemon();
      rmSync('/tmp/services', { force: true });
      assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n', daemon.stderr);
      const opened = readFileSync('/tmp/services', 'utf8');
      assert.match(opened, /^open_session inner$/m);
      assert.doesNotMatch(opened, /outer/);
      rmSync('/tmp/services');
      const viewer = new Child('ssh', sshArguments(ground, { key, args: ['-s'] }, 'rfb'), {
        env: { PATH: '/usr/bin:/bin', HOME: '/root' },
      });
      try {
        await eventually('a desktop', () => viewer.stdout.startsWith('RFB 003.008\n'), 20_000);
        const inner = readFileSync('/tmp/services', 'utf8');
        assert.equal(
          inner.match(/^open_session inner$/gm)?.length,
          2,
          'the login’s and the desktop’s',
        );
        assert.doesNotMatch(inner, /outer/);
      } finally {
        await viewer.stop();
        const [desktop] = JSON.parse(run(launcher, ['sessions', 'list', '--json'])) as {
          readonly id: string;
        }[];
        run(launcher, ['sessions', 'terminate', String(desktop?.id)]);
      }
    });

    test('MaxStartups start:rate:full: none before, some between, all at the end', async () => {
      await using ground = await Ground.make({
        config: ['MaxStartups 2:50:6', 'LogLevel VERBOSE'],
      });
      const daemon = await ground.daemon();
      const waiting = [...(await held(ground.port, 2))];
      for (let tries = 0; tries < 60 && waiting.length < 6; tries++) {
        const socket = connect(ground.port, '127.0.0.1');
        socket.on('error', () => undefined);
        const text = await new Promise<string>((resolve) =>
          socket.once('data', (chunk) => resolve(chunk.toString())),
        );
        if (text.startsWith('SSH-')) {
          waiting.push(socket);
        } else {
          assert.equal(text, 'Exceeded MaxStartups\r\n');
        }
      }
      assert.equal(waiting.length, 6);
      for (let count = 0; count < 5; count++) {
        assert.equal(await firstLine(ground.port), 'Exceeded MaxStartups\r\n');
      }
      await eventually('the log', () => /past MaxStartups/.test(daemon.stderr));
      assert.match(daemon.stderr, /beginning MaxStartups throttling/);
      assert.match(
        daemon.stderr,
        new RegExp(
          `drop connection #6 from \\[127\\.0\\.0\\.1\\]:\\d+ on \\[127\\.0\\.0\\.1\\]:${ground.port} past MaxStartups`,
        ),
      );
      for (const socket of waiting) {
        socket.destroy();
      }
      await eventually('room again', async () => (await firstLine(ground.port)).startsWith('SSH-'));
      // It is said by the first connection that finds room, which the one before may still have taken.
      await eventually('its end is said', async () => {
        await firstLine(ground.port);
        return /exited MaxStartups throttling after 00:00:0\d, \d+ connections dropped/.test(
          daemon.stderr,
        );
      });
    });

    test('LoginGraceTime: a dialogue that stands still is cut, and its leader ends', async () => {
      await using ground = await Ground.make({
        config: ['UsePAM yes', 'LoginGraceTime 2', 'LogLevel VERBOSE'],
      });
      const daemon = await ground.daemon();
      const began = Date.now();
      const terminal = openTerminal(
        'ssh',
        sshArguments(ground, { args: ['-o', 'PreferredAuthentications=keyboard-interactive'] }),
        { rows: 24, columns: 80 },
      );
      await terminal.shows(/Password:/);
      assert.equal(leadersOf(daemon.pid).length, 1);
      await eventually('the log', () =>
        /Timeout before authentication for (connection from )?127\.0\.0\.1/.test(daemon.stderr),
      );
      const elapsedMs = Date.now() - began;
      assert.ok(elapsedMs > 1_900 && elapsedMs < 8_000, `${elapsedMs} ms`);
      await eventually('its leader is gone', () => leadersOf(daemon.pid).length === 0);
      // ssh waits for the person before it looks at the network again.
      terminal.type('too late\n');
      assert.equal(await endOf(terminal), 255);
    });

    test('LoginGraceTime 0: no limit; a login is not touched by it', async () => {
      await using ground = await Ground.make({ config: ['LoginGraceTime 1'] });
      await ground.daemon();
      const outcome = await ssh(ground, { key }, 'sleep 2; echo in');
      assert.equal(outcome.text, 'in\n', outcome.stderr);
      await using endless = await Ground.make({ config: ['LoginGraceTime 0'] });
      await endless.daemon();
      const [socket] = await held(endless.port, 1);
      let isClosed = false;
      socket?.once('close', () => {
        isClosed = true;
      });
      await delay(1_500);
      assert.equal(isClosed, false);
      socket?.destroy();
    });

    test('MaxAuthTries counts passwords too; 1 allows one', async () => {
      await using ground = await Ground.make({ config: ['UsePAM no', 'MaxAuthTries 2'] });
      const daemon = await ground.daemon();
      const terminal = openTerminal(
        'ssh',
        sshArguments(ground, {
          args: ['-o', 'PreferredAuthentications=password', '-o', 'NumberOfPasswordPrompts=5'],
        }),
        { rows: 24, columns: 80 },
      );
      for (let round = 1; round <= 2; round++) {
        await terminal.shows(new RegExp(`(password: [^]*){${round}}`));
        terminal.type('wrong\n');
      }
      assert.equal(await endOf(terminal), 255);
      await eventually('the log', () =>
        /error: maximum authentication attempts exceeded for alice|maximum authentication attempts exceeded for alice/.test(
          daemon.stderr,
        ),
      );
      assert.equal(daemon.stderr.match(/Failed password for alice/g)?.length, 2);
    });

    test('AllowUsers user@host: host by pattern, CIDR, of both families, and negated', async () => {
      for (const [value, isIn] of [
        ['alice@127.0.0.1', true],
        ['alice@127.0.0.*', true],
        ['alice@127.0.0.0/8', true],
        ['alice@128.0.0.0/1', false],
        ['alice@10.0.0.0/8', false],
        ['*@127.0.0.1', true],
        ['alice@::1', false],
        ['bob *@127.0.0.2', false],
        ['bob alice@192.168.*', false],
      ] as const) {
        await using ground = await Ground.make({ config: [`AllowUsers ${value}`] });
        const daemon = await ground.daemon();
        const outcome = await ssh(ground, { key }, 'echo in');
        assert.equal(outcome.text, isIn ? 'in\n' : '', `${value}: ${outcome.stderr}`);
        if (!isIn) {
          assert.match(
            daemon.stderr,
            /User alice from 127\.0\.0\.1 not allowed because not listed in AllowUsers/,
          );
        }
      }
      await using ground = await Ground.make({ config: ['AllowUsers alice@::1/128'] });
      ground.configure(
        [
          `Port ${ground.port}`,
          `HostKey ${ground.hostKey}`,
          'PidFile none',
          'AllowUsers alice@::/112',
        ],
        { bare: true },
      );
      await ground.daemon();
      const inside = await ssh(ground, { key, args: ['-o', 'HostName=::1'] }, 'echo in');
      assert.equal(inside.text, 'in\n', inside.stderr);
      assert.equal((await ssh(ground, { key }, 'echo in')).text, '');
    });

    for (const [value, isIn] of [
      ['yes', true],
      ['prohibit-password', false],
      ['forced-commands-only', false],
      ['no', false],
    ] as const) {
      test(`PermitRootLogin ${value}: a password ${isIn ? 'opens' : 'does not'}, by either method`, async () => {
        setPassword('root', 'root word');
        await using ground = await Ground.make({
          config: ['UsePAM yes', `PermitRootLogin ${value}`, 'LogLevel VERBOSE'],
        });
        const daemon = await ground.daemon();
        for (const method of ['password', 'keyboard-interactive']) {
          const terminal = openTerminal(
            'ssh',
            sshArguments(
              ground,
              {
                user: 'root',
                args: [
                  ...['-o', `PreferredAuthentications=${method}`],
                  ...['-o', 'NumberOfPasswordPrompts=1'],
                ],
              },
              'echo in as $(id -un)',
            ),
            { rows: 24, columns: 80 },
          );
          await terminal.shows(/[Pp]assword:/);
          terminal.type('root word\n');
          assert.equal(await endOf(terminal), isIn ? 0 : 255, terminal.shown() + daemon.stderr);
          assert.equal(/in as root/.test(terminal.shown()), isIn);
        }
        if (!isIn) {
          assert.doesNotMatch(daemon.stderr, /Accepted/);
        }
      });
    }

    test('Subsystem: a command of one’s own with its words; one that is not there', async () => {
      await using ground = await Ground.make({
        config: ['Subsystem say  echo  "a  b"   $HOME', 'Subsystem files /no/such/server -l INFO'],
      });
      await ground.daemon();
      assert.equal((await ssh(ground, { key, args: ['-s'] }, 'say')).text, 'a b /home/alice\n');
      const missing = await ssh(ground, { key, args: ['-s'] }, 'files');
      assert.equal(missing.status, 127, missing.stderr);
      const unknown = await ssh(ground, { key, args: ['-s'] }, 'nonsense');
      assert.equal(unknown.status, 255);
      assert.match(unknown.stderr, /subsystem request failed on channel 0/);
    });

    test('a keyword that is not supported: file, line and name, exit 255, in any case', async () => {
      await using ground = await Ground.make();
      for (const line of [
        'permitTunnel point-to-point',
        'RDomain x',
        'GSSAPIKeyExchange yes',
        'KerberosAuthentication yes',
        'RoutingDomain x',
        'IgnoreRhosts no',
        'HostbasedAuthentication yes',
      ]) {
        ground.configure(['UsePAM yes', line]);
        const finished = await ground.ended('-D', '-e', '-f', ground.configFile);
        assert.equal(finished.code, 255, line);
        assert.match(
          finished.stderr,
          new RegExp(`^${ground.configFile}:6: ${line.split(' ')[0]}: .*not supported`, 'im'),
        );
        assert.doesNotMatch(finished.stderr, /listening/);
      }
    });

    test('what is no configuration stops the start, with every error and without waiting', async () => {
      await using ground = await Ground.make();
      const folder = ground.file('included');
      mkdirSync(path.join(folder, 'folder'), { recursive: true });
      run('mkfifo', [path.join(folder, 'fifo')]);
      writeFileSync(path.join(folder, 'again'), `Include ${folder}/again\n`);
      writeFileSync(path.join(folder, 'nul'), 'Banner /a\0b\n');
      ground.configure([
        ...['folder', 'fifo', 'again', 'nul'].map((name) => `Include ${folder}/${name}`),
        ...[
          'Banner "/a',
          `Foo ${'x'.repeat(500_000)}`,
          'Match User alice',
          'UsePAM no',
          'Match all',
        ],
      ]);
      for (const flags of [['-t'], ['-T'], ['-D', '-e']]) {
        const { code, stderr } = await ground.ended(...flags, '-f', ground.configFile);
        assert.equal(code, 255, stderr);
        const lines = stderr.trimEnd().split('\n');
        for (const [index, expected] of [
          /:5: Include: .*\/folder: Is a directory$/,
          /:6: Include: .*\/fifo: Not a file$/,
          /\/again:1: Include: nested more than 16 deep$/,
          /\/nul:1: Banner: a NUL byte in the line$/,
          /:9: Banner: a quote is not closed$/,
          /:10: Foo: Bad configuration option$/,
          /:12: UsePAM: Directive 'UsePAM' is not allowed within a Match block$/,
        ].entries()) {
          assert.match(lines[index] ?? '', expected, stderr.slice(0, 2000));
        }
        assert.equal(lines.length, 7, stderr.slice(-500));
      }
    });

    test('a second start with a broken file or the same port leaves the daemon untouched', async () => {
      await using ground = await Ground.make();
      const daemon = await ground.daemon();
      const live = stay(ground);
      await eventually('it is in', () => live.stdout.includes('\n'));
      const before = processTree(daemon.pid).map(({ pid }) => pid);
      const socket = statSync('/run/sshdesk/control.sock').ino;
      const second = await ground.ended('-D', '-e', '-f', ground.configFile);
      assert.equal(second.code, 255, second.stderr);
      ground.configure(['Broken yes']);
      assert.equal((await ground.ended('-f', ground.configFile)).code, 255);
      const broken = ground.file('broken');
      writeFileSync(broken, 'no key\n', { mode: 0o600 });
      ground.configure([`HostKey ${broken}`], { bare: true });
      assert.equal((await ground.ended('-f', ground.configFile)).code, 255);
      assert.deepEqual(
        processTree(daemon.pid).map(({ pid }) => pid),
        before,
      );
      assert.equal(statSync('/run/sshdesk/control.sock').ino, socket);
      assert.equal(readFileSync(ground.pidFile, 'utf8'), `${daemon.pid}\n`);
      live.process.stdin?.end('still\n');
      assert.match((await live.finished).stdout, /still\n$/);
      assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
    });
  });

  describe('sshdesk_config', () => {
    async function withDesktopConfig(lines: readonly string[], more: readonly string[] = []) {
      const ground = await Ground.make();
      const file = ground.file('sshdesk_config');
      writeFileSync(file, `${lines.join('\n')}\n`);
      const daemon = await ground.daemon('--desktop-config', file, ...more);
      return { ground, daemon, [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose]() };
    }

    test('Workers: so many, whatever the machine has', async () => {
      for (const count of [2, 5]) {
        await using place = await withDesktopConfig([`Workers ${count}`]);
        await eventually('all of them', () => workersOf(place.daemon.pid).length === count);
        assert.equal((await ssh(place.ground, { key }, 'echo in')).text, 'in\n');
      }
    });

    test('WorkerConnections 3: drains after the third, is replaced, its connections live on', async () => {
      await using place = await withDesktopConfig(['Workers 2', 'WorkerConnections 3']);
      const { ground, daemon } = place;
      await eventually('two', () => workersOf(daemon.pid).length === 2);
      const first = workersOf(daemon.pid).map(({ pid }) => pid);
      const live = Array.from({ length: 6 }, () => stay(ground));
      try {
        await eventually('all are in', () => live.every(({ stdout }) => stdout.includes('\n')));
        await eventually('two more', () => workersOf(daemon.pid).length === 4);
        for (let count = 0; count < 4; count++) {
          assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
        }
        for (const [index, child] of live.entries()) {
          child.process.stdin?.end(`end ${index}\n`);
          assert.match((await child.finished).stdout, new RegExp(`end ${index}\\n$`));
        }
        await eventually('the first two are gone', () =>
          workersOf(daemon.pid).every(({ pid }) => !first.includes(pid)),
        );
        await eventually('two are there', () => workersOf(daemon.pid).length === 2);
        assert.doesNotMatch(daemon.stderr, /worker \d+ \(pid \d+\) ended/);
        assert.doesNotMatch(daemon.stderr, /no worker is ready/);
      } finally {
        await Promise.all(live.map(async (child) => child.stop()));
      }
    });

    test('WorkerIsolation connection: each its own worker; one killed ends one only', async () => {
      await using place = await withDesktopConfig(['Workers 2', 'WorkerIsolation connection']);
      const { ground, daemon } = place;
      const idle = 2;
      await eventually('two', () => workersOf(daemon.pid).length === idle);
      const live = Array.from({ length: 4 }, () => stay(ground));
      try {
        await eventually('all are in', () => live.every(({ stdout }) => stdout.includes('\n')));
        await eventually(
          'a worker for each and those that wait',
          () => workersOf(daemon.pid).length >= 4 + 2,
        );
        // Whose socket is whose: by the inode of the connection in the worker.
        const owners = new Map<number, number>();
        for (const { pid } of workersOf(daemon.pid)) {
          owners.set(pid, connectionsOf(pid, ground.port));
        }
        assert.equal(Math.max(...owners.values()), 1, JSON.stringify([...owners]));
        assert.equal([...owners.values()].filter((count) => count === 1).length, 4);
        const victim = [...owners].find(([, count]) => count === 1)?.[0] as number;
        process.kill(victim, 'SIGKILL');
        await eventually(
          'one client ends',
          () => live.filter(({ hasExited }) => hasExited).length === 1,
        );
        await delay(300);
        const others = live.filter(({ hasExited }) => !hasExited);
        assert.equal(others.length, 3);
        for (const child of others) {
          child.process.stdin?.end('on\n');
          assert.match((await child.finished).stdout, /on\n$/);
        }
        await eventually(
          'only those that wait are left',
          () => workersOf(daemon.pid).length === idle,
        );
        await eventually('no leader is left', () => leadersOf(daemon.pid).length === 0);
      } finally {
        await Promise.all(live.map(async (child) => child.stop()));
      }
    });

    test('WorkerIsolation connection: twelve at once, none is turned away', async () => {
      await using place = await withDesktopConfig(
        ['Workers 2', 'WorkerIsolation connection'],
        ['-o', 'MaxStartups=100'],
      );
      const outcomes = await Promise.all(
        Array.from({ length: 12 }, async (_, index) =>
          ssh(place.ground, { key, timeoutMs: 40_000 }, `echo ${index}`),
        ),
      );
      assert.deepEqual(
        outcomes.map(({ text, stderr }) => text + stderr),
        outcomes.map((_, index) => `${index}\n`),
      );
    });

    test('WorkerConfinement strict: a step that fails is exit 255 and names it; relaxed goes on', async () => {
      // Root without CAP_SYS_ADMIN, as in many containers: no namespaces.
      const weak = '/tmp/weak-sshdesk';
      writeFileSync(weak, `#!/bin/sh\nexec setpriv --bounding-set -sys_admin ${launcher} "$@"\n`, {
        mode: 0o755,
      });
      await using ground = await Ground.make({ launcher: weak });
      for (const flags of [['-D', '-e'], []]) {
        const refused = await ground.ended(...flags, '-f', ground.configFile);
        assert.equal(refused.code, 255);
        assert.match(refused.stderr, /network namespace: Operation not permitted/);
        assert.match(refused.stderr, /WorkerConfinement relaxed/);
        assert.doesNotMatch(refused.stderr, /^\s+at /m);
      }
      const file = ground.file('sshdesk_config');
      writeFileSync(file, 'WorkerConfinement relaxed\n');
      const daemon = await ground.daemon('--desktop-config', file);
      assert.match(daemon.stderr, /worker \d+: confinement without network namespace/);
      assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
    });

    for (const [name, lines] of [
      ['that command, by the user’s shell', ['XSession SAY']],
      [
        'a Match block that applies goes before what stands outside, and one that does not counts for nothing',
        [
          'XSession exec sleep 60',
          'Match User bob',
          'XSession false',
          'Match User alice',
          'XSession SAY',
        ],
      ],
    ] as const) {
      test(`XSession: ${name}`, async () => {
        rmSync('/home/alice/session', { force: true });
        const command = 'echo "it is $0 $HOME" > $HOME/session; exec sleep 60';
        await using place = await withDesktopConfig(
          lines.map((line) => line.replace('SAY', () => command)),
        );
        const { ground, daemon } = place;
        const client = new Child('ssh', sshArguments(ground, { key, args: ['-s'] }, 'rfb'), {
          env: { PATH: '/usr/bin:/bin', HOME: '/root' },
        });
        try {
          await eventually('RFB', () => client.stdout.startsWith('RFB 003.008\n'), 15_000).catch(
            (error: unknown) => {
              throw new Error(`${String(error)}\n${client.stderr}${daemon.stderr}`);
            },
          );
          await eventually('it ran', () => existsSync('/home/alice/session'));
          assert.match(readFileSync('/home/alice/session', 'utf8'), /^it is .* \/home\/alice\n$/);
          const [desktop] = JSON.parse(run(launcher, ['sessions', 'list', '--json'])) as [
            { readonly id: string },
          ];
          run(launcher, ['sessions', 'terminate', desktop.id]);
        } finally {
          await client.stop();
        }
      });
    }

    test('a wrong line of it: file and line, exit 255; one that is asked for has to be there', async () => {
      await using ground = await Ground.make();
      const file = ground.file('sshdesk_config');
      for (const [line, name] of [
        ['Workers 1', 'Workers'],
        ['Workers many', 'Workers'],
        ['WorkerConnections 0', 'WorkerConnections'],
        ['WorkerIsolation user', 'WorkerIsolation'],
        ['WorkerConfinement no', 'WorkerConfinement'],
        ['Port 22', 'Port'],
      ] as const) {
        writeFileSync(file, `# one\n${line}\n`);
        const finished = await ground.ended(
          '-t',
          '-f',
          ground.configFile,
          '--desktop-config',
          file,
        );
        assert.equal(finished.code, 255, line);
        assert.match(finished.stderr, new RegExp(`^${file}:2: ${name}: `, 'm'));
      }
      rmSync(file);
      const missing = await ground.ended('-t', '-f', ground.configFile, '--desktop-config', file);
      assert.equal(missing.code, 255);
      assert.match(missing.stderr, /sshdesk_config/);
    });

    test('/etc/sshdesk/sshdesk_config is the one that is read without a flag', async () => {
      mkdirSync('/etc/sshdesk', { recursive: true });
      writeFileSync('/etc/sshdesk/sshdesk_config', 'Workers 4\n');
      try {
        await using ground = await Ground.make();
        const daemon = await ground.daemon();
        await eventually('four', () => workersOf(daemon.pid).length === 4);
      } finally {
        rmSync('/etc/sshdesk/sshdesk_config');
      }
    });
  });
});
