/**
 * utmp, wtmp, lastlog and btmp: what who(1), last(1), lastlog(8) and lastb(1) say of logins, compared
 * with Debian's sshd. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import ssh2 from 'ssh2';
import { eventually } from '../support/child.ts';
import { inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { type RecordEntry, readRecords } from '../support/login-records.ts';
import { processTree, startServer, type TestServer } from '../support/server.ts';
import { sshArguments, ssh } from '../support/stock-client.ts';
import { openTerminal, type Terminal } from '../support/terminal.ts';

const lab = inLab(import.meta.url, 240_000);
const size = { rows: 24, columns: 80 };
const userProcess = 7;
const deadProcess = 8;

const twice = (text: string) => [text, text];
const utmp = () => readRecords('/run/utmp');
const wtmp = () => readRecords('/var/log/wtmp');
const btmp = () => readRecords('/var/log/btmp');

/** Without what differs from one login to the next; of an end, what readers go by. */
const plain = ({ pid: _pid, atSeconds: _at, ...rest }: RecordEntry) =>
  rest.type === deadProcess ? { ...rest, id: '', address: '' } : rest;

function clear(): void {
  for (const file of ['/run/utmp', '/var/log/wtmp', '/var/log/lastlog', '/var/log/btmp']) {
    truncateSync(file);
  }
}

describe('login records', lab, () => {
  let key: TestKey;
  let ours: TestServer;
  let theirs: TestServer;
  const terminals = new Set<Terminal>();
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line], password: 'right' });
    makeUser('bob', { authorizedKeys: [key.line], password: 'right' });
    const config = ['UsePAM yes', 'PasswordAuthentication yes', 'KbdInteractiveAuthentication yes'];
    ours = await startServer({ kind: 'sshdesk', config });
    theirs = await startServer({ kind: 'sshd', config });
  });
  after(async () => {
    await ours?.stop();
    await theirs?.stop();
  });
  beforeEach(clear);
  afterEach(() => {
    for (const terminal of terminals) {
      terminal.kill();
    }
    terminals.clear();
  });

  const login = async (server: TestServer, user = 'alice'): Promise<Terminal> => {
    const terminal = openTerminal('ssh', sshArguments(server, { key, user }), size);
    terminals.add(terminal);
    await terminal.shows(/\$ $/);
    return terminal;
  };
  const leave = async (terminal: Terminal): Promise<void> => {
    terminal.type('exit\n');
    await gone(terminal);
  };
  const gone = async (terminal: Terminal): Promise<void> => {
    await terminal.ended;
    terminals.delete(terminal);
  };
  const isOver = () => utmp().every(({ type }) => type === deadProcess);
  const over = () => eventually('the record has ended', isOver);

  test('a session on a terminal: the entries of utmp and wtmp are those of sshd, field for field', async () => {
    const seen = [];
    for (const server of [ours, theirs]) {
      clear();
      const terminal = await login(server);
      const during = [...utmp(), ...wtmp()];
      await leave(terminal);
      await over();
      const entries = [...during, ...utmp(), ...wtmp()];
      const now = Date.now() / 1000;
      for (const { atSeconds } of entries) {
        assert.ok(Math.abs(now - atSeconds) < 60, 'the time is now');
      }
      seen.push(entries.map((entry) => plain(entry)));
    }
    assert.deepEqual(seen[0], seen[1]);
    assert.deepEqual(
      seen[0]?.map(({ type, user, host }) => `${type} ${user} ${host}`),
      ['7 alice 127.0.0.1', '7 alice 127.0.0.1', '8  ', '7 alice 127.0.0.1', '8  '],
    );
  });

  test('who, last and lastlog read them', async () => {
    const said = [];
    for (const server of [ours, theirs]) {
      clear();
      const terminal = await login(server);
      const who = run('who', []).replaceAll(/(\d{4}-[\d-]+|\w{3} +\d+) \d\d:\d\d/g, 'TIME');
      await leave(terminal);
      await over();
      assert.equal(run('who', []), '');
      const last = run('last', ['-w', '-f', '/var/log/wtmp']).replaceAll(
        /\w{3} \w{3} +\d.*\)/g,
        'TIME',
      );
      const lastlog = run('lastlog', ['-u', 'alice']).replaceAll(/\w{3} \w{3} .*/g, 'TIME');
      said.push({ who, last: last.split('\n')[0], lastlog });
    }
    assert.deepEqual(said[0], said[1]);
    assert.match(said[0]?.who ?? '', /^alice +pts\/\d+ +TIME \(127\.0\.0\.1\)\n$/);
    assert.match(said[0]?.last ?? '', /^alice +pts\/\d+ +127\.0\.0\.1 /);
    assert.match(said[0]?.lastlog ?? '', /alice +pts\/\d+ +127\.0\.0\.1 +TIME/);
  });

  test('lastlog is the same file, byte for byte but for the time', async () => {
    const files = [];
    for (const server of [ours, theirs]) {
      clear();
      const terminal = await login(server, 'bob');
      await leave(terminal);
      await over();
      const bytes = readFileSync('/var/log/lastlog');
      const entry = Number(run('id', ['-u', 'bob'])) * 292;
      assert.ok(Math.abs(bytes.readInt32LE(entry) - Date.now() / 1000) < 60);
      files.push(bytes.fill(0, entry, entry + 4));
    }
    assert.deepEqual(files[0], files[1]);
  });

  test('commands, subsystems and shells without a terminal leave no record; a command with one does', async () => {
    for (const server of [ours, theirs]) {
      clear();
      await ssh(server, { key }, 'true');
      await ssh(server, { key, args: ['-T'], input: 'true\n' });
      assert.deepEqual([...utmp(), ...wtmp()], [], server.kind);
      await ssh(server, { key, args: ['-tt'] }, 'true');
      await eventually('there are two entries', () => wtmp().length === 2);
      assert.deepEqual(
        wtmp().map(({ type }) => type),
        [userProcess, deadProcess],
        server.kind,
      );
    }
  });

  test('the shell finds itself with who', async () => {
    const { text } = await ssh(ours, { key, args: ['-tt'] }, 'who; tty');
    const [line = '', tty = ''] = text.split('\r\n');
    assert.match(line, /^alice /);
    assert.ok(line.includes(` ${tty.replace('/dev/', '')} `), text);
  });

  test('several terminals of one connection end one by one; a line is used again', async () => {
    const client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({
        host: '127.0.0.1',
        port: ours.port,
        username: 'alice',
        privateKey: readFileSync(key.file),
      });
    });
    const shell = () =>
      new Promise<ssh2.ClientChannel>((resolve, reject) =>
        client.shell((error, channel) => (error ? reject(error) : resolve(channel))),
      );
    const [first, second] = [await shell(), await shell()];
    await eventually('both are there', () => utmp().length === 2);
    first.end('exit\n');
    await eventually(
      'one has ended',
      () => utmp().filter(({ type }) => type === deadProcess).length === 1,
    );
    const third = await shell();
    await eventually('the line is in use again', () =>
      utmp().every(({ type }) => type === userProcess),
    );
    assert.equal(utmp().length, 2);
    second.end('exit\n');
    third.end('exit\n');
    await over();
    client.end();
  });

  const killed: readonly (readonly [string, () => number])[] = [
    ['the worker', () => pidOf(/^sshdesk: worker/, 'all')],
    ['the leader', () => pidOf(/^sshdesk: leader alice/)],
    ['the client', () => 0],
  ];
  const pidOf = (title: RegExp, which?: 'all'): number => {
    const found = processTree(ours.pid).filter((entry) => title.test(entry.title));
    for (const entry of found) {
      process.kill(entry.pid, 'SIGKILL');
    }
    assert.ok(which === 'all' ? found.length > 0 : found.length === 1, String(title));
    return found.length;
  };
  for (const [name, kill] of killed) {
    test(`${name} is killed: the record ends all the same`, async () => {
      const terminal = await login(ours);
      assert.equal(utmp().length, 1);
      if (kill() === 0) {
        terminal.kill();
      }
      await gone(terminal);
      await over();
      assert.deepEqual(
        wtmp().map(({ type }) => type),
        [userProcess, deadProcess],
      );
      assert.equal(wtmp()[0]?.line, wtmp()[1]?.line);
      // Another worker is in its place.
      await eventually('logins go on', async () => (await ssh(ours, { key }, 'true')).status === 0);
    });
  }

  test('the monitor is killed: the record ends all the same', async () => {
    await using server = await startServer({ kind: 'sshdesk', config: ['UsePAM yes'] });
    const terminal = await login(server);
    assert.equal(utmp().length, 1);
    const monitor = processTree(server.pid).find(({ title }) =>
      title.startsWith('sshdesk: monitor'),
    );
    process.kill(monitor?.pid ?? assert.fail('no monitor'), 'SIGKILL');
    await gone(terminal);
    await over();
  });

  test('a wrong password is in btmp, by both methods, as with sshd; a right one is not', async () => {
    const seen = [];
    for (const server of [ours, theirs]) {
      clear();
      for (const user of ['alice', 'nobody-has-it', 'x'.repeat(40)]) {
        await attempt(server, user, 'wrong');
      }
      await attempt(server, 'alice', 'right');
      await attempt(server, 'alice', 'wrong', true);
      seen.push(btmp().map((entry) => plain(entry)));
    }
    assert.deepEqual(seen[0], seen[1]);
    assert.deepEqual(
      seen[0]?.map(({ type, line, user }) => `${type} ${line} ${user}`),
      // For a name that nobody has sshd writes one of its own.
      ['alice', ...twice('nobody-has-it'), ...twice('x'.repeat(32)), 'alice'].map(
        (user) => `6 ssh:notty ${user}`,
      ),
    );
    assert.match(run('lastb', ['-w']), /^alice +ssh:notty +127\.0\.0\.1 /);
  });

  test('btmp: with another owner or open to others it is left alone; without the file nothing is made', async () => {
    const bob = Number(run('id', ['-u', 'bob']));
    const spoil: readonly (readonly [string, () => void])[] = [
      ['mode 0604', () => chmodSync('/var/log/btmp', 0o604)],
      ['mode 0610', () => chmodSync('/var/log/btmp', 0o610)],
      ['owner bob', () => chownSync('/var/log/btmp', bob, 0)],
      ['mode 0660', () => chmodSync('/var/log/btmp', 0o660)],
    ];
    const counts = [];
    for (const server of [ours, theirs]) {
      const written = [];
      for (const [name, change] of spoil) {
        chownSync('/var/log/btmp', 0, 0);
        chmodSync('/var/log/btmp', 0o600);
        clear();
        change();
        await attempt(server, 'alice', 'wrong');
        written.push(`${name}: ${btmp().length}`);
      }
      rmSync('/var/log/btmp');
      await attempt(server, 'alice', 'wrong');
      assert.throws(() => statSync('/var/log/btmp'), /ENOENT/);
      writeFileSync('/var/log/btmp', '', { mode: 0o600 });
      counts.push(written);
    }
    assert.deepEqual(counts[0], counts[1]);
    assert.deepEqual(counts[0], ['mode 0604: 0', 'mode 0610: 0', 'owner bob: 0', 'mode 0660: 1']);
  });

  test('files that are not there are not made', async () => {
    const files = ['/run/utmp', '/var/log/wtmp', '/var/log/lastlog'];
    for (const server of [ours, theirs]) {
      for (const file of files) {
        rmSync(file);
      }
      const { status } = await ssh(server, { key, args: ['-tt'] }, 'true');
      assert.equal(status, 0);
      for (const file of files) {
        assert.throws(() => statSync(file), /ENOENT/, `${server.kind}: ${file}`);
        writeFileSync(file, '');
      }
    }
  });

  test('INCIDENTS 52: names of every odd kind: control characters do not reach the terminal of lastb', async () => {
    for (const user of ['a\u001b[31mred', 'line\nbreak', '-root', '%n%s', 'ä'.repeat(30)]) {
      await attempt(ours, user, 'wrong');
    }
    const users = new Set(btmp().map(({ user }) => user));
    assert.equal(users.size, 5);
    for (const user of users) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      assert.doesNotMatch(user, /[\u0000-\u001f\u007f]/);
    }
    assert.ok(users.has('a?[31mred'));
  });

  test('whoever holds a lock on utmp delays nobody and hides nobody', async () => {
    const holder = openTerminal(
      'setpriv',
      [
        ...['--reuid=bob', '--regid=bob', '--clear-groups', 'perl', '-e'],
        'open(F,"<","/run/utmp") or die; $l=pack("s s x4 q q i x4",0,0,0,0,0); fcntl(F,6,$l) or die $!; $|=1; print "held\\n"; sleep 60',
      ],
      size,
    );
    terminals.add(holder);
    await holder.shows(/held/);
    const began = Date.now();
    await ssh(ours, { key, args: ['-tt'] }, 'true');
    assert.ok(Date.now() - began < 5_000);
    await over();
    assert.deepEqual(
      wtmp().map(({ type }) => type),
      [userProcess, deadProcess],
    );
  });

  /** One attempt by password, or by keyboard-interactive. */
  async function attempt(
    server: TestServer,
    user: string,
    secret: string,
    isConversation = false,
  ): Promise<void> {
    const client = new ssh2.Client();
    const methods = isConversation ? (['keyboard-interactive'] as const) : (['password'] as const);
    client.on('keyboard-interactive', (_name, _text, _language, _prompts, finish) =>
      finish([secret]),
    );
    await new Promise<void>((resolve) => {
      client.once('ready', () => client.end());
      client.once('error', () => client.end());
      client.once('close', () => resolve());
      client.connect({
        host: '127.0.0.1',
        port: server.port,
        username: user,
        password: secret,
        tryKeyboard: isConversation,
        authHandler: [...methods],
        readyTimeout: 20_000,
      });
    });
  }
});
