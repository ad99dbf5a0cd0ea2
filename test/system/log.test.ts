/** The log while nothing goes well: nobody reads it, clients write into it, workers lie in it. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { events, fieldSummaries } from '../../src/audit/events.ts';
import { jsonFields } from '../../src/audit/json.ts';
import { eventually } from '../support/child.ts';
import { FactorClient } from '../support/factors.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { hostileTexts } from '../support/log-attempts.ts';
import { no, payload, RawSsh, str, u32 } from '../support/raw-ssh.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';
import { SyslogReader } from '../support/syslog.ts';

const lab = inLab(import.meta.url, 200_000);
const config = ['UsePAM yes', 'LogLevel VERBOSE', 'MaxStartups 100', 'PasswordAuthentication yes'];

/** A user name and a farewell of these bytes, on one connection. */
async function say(server: TestServer, bytes: Buffer): Promise<void> {
  using raw = await RawSsh.shaken(server.port);
  await raw.requestUserauth();
  raw.send(payload(50, str(bytes), str('ssh-connection'), str('password'), no, str('x')));
  await raw.nextOf(51, 1).catch(() => undefined);
  raw.send(payload(1, u32(11), str(bytes), str('')));
  for (let count = 0; count < 10 && (await raw.next()) !== undefined; count++);
}

describe('the log', lab, () => {
  let key: TestKey;
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
  });

  const enters = async (server: TestServer): Promise<void> => {
    const outcome = await ssh(server, { key }, 'echo in');
    assert.equal(outcome.text, 'in\n', outcome.stderr);
  };

  test('INCIDENTS 26, 52: whatever a client calls itself or says, the log is printable ASCII, a line each', async () => {
    await using reader = await SyslogReader.start();
    await using inFile = await startServer({ kind: 'sshdesk', config });
    await using inSyslog = await startServer({ kind: 'sshdesk', config, logsToSyslog: true });
    for (const [, bytes] of [
      ...hostileTexts,
      ['format strings', Buffer.from('%n%s%99999d')],
    ] as const) {
      await say(inFile, bytes);
      await say(inSyslog, bytes);
    }
    const count = hostileTexts.length + 1;
    const isTold = (text: string): boolean =>
      (text.match(/Disconnected from/g) ?? []).length >= count;
    await eventually('the file has it', () => isTold(inFile.log()));
    await eventually('syslog has it', () => isTold(reader.stdout));
    for (const text of [inFile.log(), reader.stdout.slice('ready\n'.length)]) {
      assert.match(text, /^[\n -~]*$/);
      const lines = text.split('\n').filter(Boolean);
      const known =
        /(?:^|: )(?:Server listening|Connection from|Invalid user|Failed password for invalid user|Received disconnect from|Disconnected from invalid user|pam_unix\(sshd:auth\)|error: |Received signal)/;
      assert.deepEqual(
        lines.filter((line) => !known.test(line)),
        [],
      );
      assert.ok(text.includes('Invalid user x\\012Sep 1 sshd[1]: Accepted password for root from'));
      assert.ok(text.includes('Invalid user a\\\\012b from'));
      assert.ok(text.includes('Invalid user j\\374rg from'));
      assert.ok(text.includes(`Received disconnect from`));
      assert.ok(text.includes(':11: \\342\\200\\256txt.exe\\342\\201\\246'));
      assert.ok(text.includes('Invalid user %n%s%99999d from'));
    }
    await enters(inFile);
  });

  test('INCIDENTS 25: a name as long as a packet is no line as long, and nothing else ends', async () => {
    await using server = await startServer({ kind: 'sshdesk', config });
    using client = await FactorClient.open(server.port, 'n'.repeat(32_000));
    await client.none();
    await server.logged(/Disconnecting .*a user name of 32000 bytes/);
    assert.ok(
      server
        .log()
        .split('\n')
        .every((line) => line.length < 2200),
    );
    await enters(server);
  });

  test('a log socket that is there and never read holds nobody up', async () => {
    await using _full = await SyslogReader.start({ readsNothing: true });
    await using server = await startServer({ kind: 'sshdesk', config, logsToSyslog: true });
    for (let count = 0; count < 6; count++) {
      const began = performance.now();
      await enters(server);
      assert.ok(performance.now() - began < 10_000);
    }
  });

  test('a log socket that comes later gets what was said before, and one that was replaced the rest', async () => {
    await using server = await startServer({ kind: 'sshdesk', config, logsToSyslog: true });
    await enters(server);
    for (const _daemon of ['syslogd', 'another syslogd']) {
      await using reader = await SyslogReader.start();
      await eventually('it is told', () => reader.stdout.includes('Accepted publickey for alice'));
      await enters(server);
      await eventually('and of the next', () => reader.stdout.includes('Disconnected from user'));
      const before = reader.lines.length;
      await enters(server);
      await eventually('as it happens', () =>
        reader.lines.slice(before).some(({ text }) => text.startsWith('Accepted')),
      );
      await reader[Symbol.asyncDispose]();
      await enters(server);
    }
  });

  test('SyslogFacility: in every line of ours', async () => {
    await using reader = await SyslogReader.start();
    const facilities = { LOCAL5: 21, authpriv: 10, DAEMON: 3 };
    for (const [name, code] of Object.entries(facilities)) {
      const from = reader.lines.length;
      const settings = [...config, `SyslogFacility ${name}`];
      await using server = await startServer({
        ...{ kind: 'sshdesk', config: settings, logsToSyslog: true },
        desktopConfig: ['LogTag sshd-session'],
      });
      await enters(server);
      const ours = () => reader.lines.slice(from).filter(({ text }) => !text.startsWith('pam_'));
      await eventually('the login', () =>
        ours().some(({ text }) => text.startsWith('Disconnected')),
      );
      assert.deepEqual([...new Set(ours().map(({ facility }) => facility))], [code]);
      assert.deepEqual([...new Set(ours().map(({ tag }) => tag))], ['sshd-session']);
    }
  });

  test('LogLevel in Match: from the moment that the user is known', async () => {
    await using server = await startServer({
      kind: 'sshdesk',
      config: ['UsePAM yes', 'LogLevel ERROR', 'Match User alice', 'LogLevel VERBOSE'],
    });
    await enters(server);
    await server.logged(/Disconnected from user alice/);
    assert.match(server.log(), /Starting session: command for alice/);
    assert.doesNotMatch(server.log(), /Connection from/);
    const before = server.log();
    using client = await FactorClient.open(server.port, 'nobody-here');
    await client.password('x');
    await client.password('x');
    assert.equal(server.log(), before);
  });

  test('SIGHUP: a file that logrotate has moved away is made anew', async () => {
    const file = '/tmp/moved.log';
    await using server = await startServer({ kind: 'sshdesk', config, flags: ['-E', file] });
    await enters(server);
    await eventually('the first', () => readFileSync(file, 'utf8').includes('Disconnected from'));
    renameSync(file, `${file}.1`);
    process.kill(server.pid, 'SIGHUP');
    await eventually('a new file', () => existsSync(file));
    await enters(server);
    await eventually('it is written', () =>
      readFileSync(file, 'utf8').includes('Disconnected from user alice'),
    );
    assert.match(readFileSync(file, 'utf8'), /\r\n$/);
  });

  test('LogFormat json: every line is an object of the schema, all of a connection have its id', async () => {
    await using server = await startServer({
      kind: 'sshdesk',
      config,
      desktopConfig: ['LogFormat json'],
    });
    await enters(server);
    await ssh(server, { key: makeKey('ed25519') }, 'true');
    using client = await FactorClient.open(server.port, 'x"\n\u202e');
    await client.password('x');
    client.raw.close();
    await server.logged(/"event":"connection\.closed"[^\n]*"user":"x/);
    const lines = server.log().trimEnd().split('\n');
    const known = new Set([...Object.keys(jsonFields), ...Object.keys(fieldSummaries)]);
    const objects = lines.map((line) => {
      assert.match(line, /^[ -~]+$/);
      return JSON.parse(line) as Record<string, string | number | boolean>;
    });
    for (const object of objects) {
      const { event } = object;
      assert.ok(typeof event === 'string' && event in events, String(event));
      const own: readonly string[] = events[event as keyof typeof events].fields;
      for (const name of Object.keys(object)) {
        assert.ok(known.has(name), name);
        assert.ok(name in jsonFields || name === 'user' || own.includes(name), `${event}: ${name}`);
      }
    }
    const accepted = objects.find(({ event }) => event === 'authentication.accepted');
    const of = objects.filter(({ connection }) => connection === accepted?.connection);
    assert.deepEqual(
      of.map(({ event }) => event).filter((event) => event !== 'message'),
      [
        ...['connection.opened', 'authentication.postponed', 'authentication.accepted'],
        ...['session.started', 'session.closed', 'connection.disconnected', 'connection.closed'],
      ],
    );
    assert.ok(of.slice(2).every(({ user }) => user === undefined || user === 'alice'));
    assert.match(String(accepted?.key), /^SHA256:\S{43}$/);
    assert.match(String(accepted?.connection), /^[0-9a-f]{16}$/);
    const ids = new Set(objects.flatMap(({ connection }) => connection ?? []));
    assert.equal(ids.size, 3);
  });
});
