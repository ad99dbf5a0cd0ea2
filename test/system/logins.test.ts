/**
 * `sshdesk who` and `sshdesk last` beside real logins: terminals, commands, tunnels, several factors,
 * a daemon that drains, one that is killed. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import type { ListedLogin, PastLogin } from '../../src/broker/control-logins.ts';
import { eventually } from '../support/child.ts';
import { sshdeskCommand } from '../support/desktop-session.ts';
import { inLab, type LabUser, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { readProcFile, startServer, type TestServer } from '../support/server.ts';
import { spawnClient, ssh, sshArguments } from '../support/stock-client.ts';
import { openTerminal, type Terminal } from '../support/terminal.ts';

const lab = inLab(import.meta.url, 280_000);
const size = { rows: 24, columns: 80 };
const loginsFile = '/var/lib/sshdesk/logins.db';

describe('who and last', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let bob: LabUser;
  const terminals = new Set<Terminal>();
  const clients = new Set<ReturnType<typeof spawnClient>>();

  async function start(): Promise<TestServer> {
    const started = await startServer({
      config: [
        ...['UsePAM yes', 'PasswordAuthentication yes'],
        ...['Match User carol', 'AuthenticationMethods publickey,password', 'Match all'],
      ],
    });
    // A daemon that was killed has left its path.
    await eventually('it answers', () => Promise.resolve(sshdeskCommand(['who']).status === 0));
    return started;
  }
  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    bob = makeUser('bob', { authorizedKeys: [key.line] });
    makeUser('carol', { authorizedKeys: [key.line], password: 'right' });
    server = await start();
  });
  after(async () => {
    await server?.stop();
  });
  afterEach(async () => {
    for (const terminal of terminals) {
      terminal.kill();
    }
    for (const client of clients) {
      client.kill('SIGKILL');
    }
    terminals.clear();
    clients.clear();
  });

  function asked<T>(words: readonly string[], user?: LabUser): readonly T[] {
    const { status, stdout, stderr } = sshdeskCommand([...words, '--json'], user);
    assert.deepEqual([status, stderr], [0, ''], words.join(' '));
    return JSON.parse(stdout) as T[];
  }
  const who = (user?: LabUser) => asked<ListedLogin>(['who'], user);
  const last = (words: readonly string[] = [], user?: LabUser) =>
    asked<PastLogin>(['last', ...words], user);
  const fingerprint = () => run('ssh-keygen', ['-lf', key.file]).split(' ')[1] ?? '';

  async function terminal(user: string, at = server): Promise<Terminal> {
    const opened = openTerminal('ssh', sshArguments(at, { key, user }), size);
    terminals.add(opened);
    void opened.ended.finally(() => terminals.delete(opened));
    await opened.shows(/\$ $/);
    return opened;
  }
  function client(user: string, args: readonly string[], ...command: readonly string[]) {
    const child = spawnClient('ssh', sshArguments(server, { key, user, args }, ...command));
    child.stdout.resume();
    child.stderr.resume();
    child.stdin.on('error', () => undefined);
    clients.add(child);
    return child;
  }
  async function nobody(): Promise<void> {
    await eventually('nobody is there', () => Promise.resolve(who().length === 0));
  }

  test('who: a terminal, a command and a tunnel; root sees all, a user his own', async () => {
    const startedMs = Date.now();
    await terminal('alice');
    const free = 20_000 + (process.pid % 10_000);
    client('bob', ['-R', `127.0.0.1:${free}:127.0.0.1:9`], 'sleep', '100');
    await eventually('both are there', () =>
      Promise.resolve(who().length === 2 && who(bob)[0]?.open?.sessions.length === 1),
    );
    const all = who();
    const [hers] = who(alice);
    const [his, ...more] = who(bob);
    assert.deepEqual(more, []);
    assert.deepEqual(
      all.map(({ user }) => user),
      ['alice', 'bob'],
    );
    assert.deepEqual(
      all.map(({ id }) => id),
      [hers?.id, his?.id],
    );
    assert.ok(hers !== undefined && his !== undefined);
    assert.deepEqual(
      [hers.via, hers.address, hers.factors, hers.draining, hers.daemon],
      ['sshdesk', '127.0.0.1', [`publickey ${fingerprint()}`], false, server.pid],
    );
    assert.ok(Date.parse(hers.since) >= startedMs - 1 && Date.parse(hers.since) <= Date.now());
    const [shell] = hers.open?.sessions ?? [];
    assert.equal(shell?.kind, 'shell');
    assert.match(shell?.terminal ?? '', /^pts\/\d+$/);
    assert.ok(hers.idleMs !== null && hers.idleMs < 60_000);
    assert.deepEqual(
      [his.idleMs, his.open?.listeners, his.open?.sessions.map(({ kind }) => kind)],
      [null, 1, ["command 'sleep 100'"]],
    );
    const { stdout } = sshdeskCommand(['who']);
    assert.match(stdout, /^USER +FROM +SINCE +IDLE +FACTORS +OPEN$/m);
    assert.match(stdout, /^alice +127\.0\.0\.1 .* pts\/\d+ shell$/m);
    assert.match(stdout, /^bob .* command 'sleep 100', -R$/m);
  });

  test('last: how each ended, of whom, since when and how many', async () => {
    await nobody();
    const before = new Date().toISOString();
    const shell = await terminal('alice');
    shell.type('exit 3\n');
    assert.equal(await shell.ended, 3);
    assert.equal((await ssh(server, { key, user: 'bob' }, 'true')).status, 0);
    const killed = client('bob', [], 'sleep', '100');
    await eventually('he is there', () =>
      Promise.resolve(who(bob)[0]?.open?.sessions.length === 1),
    );
    killed.kill('SIGKILL');
    await nobody();
    const recent = last(['--since', before]);
    assert.deepEqual(
      recent.map(({ user, exit, why }) => [user, exit, why]),
      [
        ['bob', '', 'closed'],
        ['bob', '0', 'disconnected'],
        ['alice', '3', 'disconnected'],
      ],
    );
    const hers = recent[2];
    assert.match(hers?.terminal ?? '', /^pts\/\d+$/);
    assert.ok(hers?.endedAt !== null && (hers?.endedAt ?? '') >= (hers?.startedAt ?? 'z'));
    assert.deepEqual(hers?.factors, [`publickey ${fingerprint()}`]);
    assert.ok(last([], alice).every(({ user }) => user === 'alice'));
    assert.deepEqual(last(['--user', 'bob'], alice), []);
    assert.ok(last(['--user', 'bob']).every(({ user }) => user === 'bob'));
    assert.deepEqual(last(['-n', '1']), recent.slice(0, 1));
    assert.deepEqual(last(['--since', '2999-01-01']), []);
    assert.match(
      sshdeskCommand(['last', '-n', '3']).stdout,
      /^alice +pts\/\d+ +127\.0\.0\.1 +\S+ \S+Z +\S+ \S+Z +\d+s +3 +disconnected +publickey SHA256:\S+$/m,
    );
    for (const wrong of [
      ['-n', '0'],
      ['-n', 'x'],
      ['--since', 'yesterday'],
    ]) {
      assert.equal(sshdeskCommand(['last', ...wrong]).status, 2, wrong.join(' '));
    }
  });

  test('several factors, in the order in which they were given', async () => {
    writeFileSync('/tmp/answer', '#!/bin/sh\necho right\n');
    chmodSync('/tmp/answer', 0o755);
    const { status, stderr } = await ssh(
      server,
      {
        key,
        user: 'carol',
        args: ['-o', 'PreferredAuthentications=publickey,password'],
        environment: { SSH_ASKPASS: '/tmp/answer', SSH_ASKPASS_REQUIRE: 'force' },
      },
      'true',
    );
    assert.equal(status, 0, stderr);
    await nobody();
    assert.deepEqual(last(['--user', 'carol'])[0]?.factors, [
      `publickey ${fingerprint()}`,
      'password',
    ]);
  });

  test('a command of a hostile name is one line of the table, without controls', async () => {
    client('bob', [], "sleep 100 #\n\u001b[2J\u202eroot\u0007 pts/0\r'");
    await eventually('it runs', () => Promise.resolve(who(bob)[0]?.open?.sessions.length === 1));
    const { stdout } = sshdeskCommand(['who']);
    assert.equal(stdout.trimEnd().split('\n').length, 2);
    assert.doesNotMatch(stdout.replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u);
    assert.match(stdout, /sleep 100 #\\u\{a\}\\u\{1b\}\[2J\\u\{202e\}root/);
  });

  test('a daemon that drains: its logins are there, and in the record when they end', async () => {
    await nobody();
    const shell = await terminal('alice');
    const old = server;
    process.kill(old.pid, 'SIGTERM');
    await old.logged(/Received signal 15/);
    const next = await start();
    try {
      await eventually('hers', () => Promise.resolve(who(alice).length === 1));
      const [login] = who(alice);
      assert.deepEqual(
        [login?.draining, login?.daemon, login?.open?.sessions[0]?.kind],
        [true, old.pid, 'shell'],
      );
      assert.ok(login?.idleMs !== null);
      assert.match(sshdeskCommand(['who']).stdout, /shell \[draining\]$/m);
      shell.type('exit 4\n');
      assert.equal(await shell.ended, 4);
      await eventually('the end of it', () => Promise.resolve(who().length === 0));
      assert.deepEqual([last()[0]?.id, last()[0]?.exit], [login?.id, '4']);
    } finally {
      await old.stop();
      server = next;
    }
  });

  test('they survive a restart; what a killed daemon had is gone', async () => {
    const known = last();
    assert.ok(known.length > 0);
    await terminal('alice');
    const [login] = who(alice);
    process.kill(server.pid, 'SIGKILL');
    await eventually('the daemon has ended', () =>
      Promise.resolve(
        ['', 'Z'].includes(/^State:\t(\w)/m.exec(readProcFile(server.pid, 'status'))?.[1] ?? ''),
      ),
    );
    await server.stop();
    server = await start();
    const [gone, ...before] = last();
    assert.deepEqual(before, known);
    assert.deepEqual([gone?.id, gone?.why, gone?.endedAt], [login?.id, 'gone', null]);
    assert.match(sshdeskCommand(['last', '-n', '1']).stdout, / gone +\? +- +gone /);
    assert.deepEqual(who(), []);
  });

  test('a record that cannot be written keeps nobody out, and is said', async () => {
    await server.stop();
    const kept = '/tmp/kept.db';
    run('mv', [loginsFile, kept]);
    run('rm', ['-f', `${loginsFile}-wal`, `${loginsFile}-shm`]);
    writeFileSync(loginsFile, 'this is no database, but a text of some length\n'.repeat(200));
    server = await start();
    await terminal('alice');
    assert.deepEqual(
      who().map(({ user }) => user),
      ['alice'],
    );
    const refused = sshdeskCommand(['last']);
    assert.deepEqual([refused.status, refused.stdout], [1, '']);
    assert.match(refused.stderr, /not recorded/);
    assert.match(server.log(), /logins\.db: logins are not recorded: /);
    await server.stop();
    for (const words of [['who'], ['last'], ['last', '--json']]) {
      const none = sshdeskCommand(words);
      assert.deepEqual([none.status, none.stdout], [255, ''], words.join(' '));
    }
  });
});
