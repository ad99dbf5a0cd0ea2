/**
 * `sshdesk connect` with Kerberos tickets, against MIT's KDC and the real acceptors of sshdesk and of
 * Debian's sshd (SSHDESK_TEST_SERVER=sshd). Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Child, eventually, type Finished, run as finish } from '../support/child.ts';
import { noRealm, Realm } from '../support/kerberos.ts';
import { checkout, inLab, type LabUser, makeUser } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url);
const missing = noRealm();
const config = [
  'UsePAM yes',
  'GSSAPIAuthentication yes',
  'PasswordAuthentication no',
  'KbdInteractiveAuthentication no',
  'PerSourcePenalties no',
  'MaxAuthTries 10',
  'LogLevel VERBOSE',
];

describe('connect with Kerberos tickets', {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  let realm: Realm;
  let server: TestServer;
  let alice: LabUser;

  before(async () => {
    realm = await Realm.start();
    realm.addUser('alice', 'secret');
    realm.addUser('bob', 'other');
    alice = makeUser('alice');
    server = await startServer({ config });
  });
  after(async () => {
    await server?.stop();
    await realm?.stop();
  });

  /** `sshdesk connect --list --json`: an empty list of desktops is a login. */
  function connect(
    cache: string,
    args: readonly string[] = [],
    { host = realm.host, port = server.port } = {},
  ): Promise<Finished> {
    return finish(path.join(checkout, 'sshdesk'), argumentsFor(args, host, port), {
      env: environmentWith(cache),
      timeoutMs: 30_000,
    });
  }
  const environmentWith = (cache: string): NodeJS.ProcessEnv => ({
    PATH: process.env.PATH,
    HOME: '/root',
    KRB5CCNAME: cache,
  });
  const argumentsFor = (
    args: readonly string[] = [],
    host = realm.host,
    port = server.port,
  ): readonly string[] => [
    ...['connect', '-F', 'none', '--batch', '--list', '--json'],
    ...['-o', 'UserKnownHostsFile=/tmp/connect_known_hosts'],
    ...['-o', 'StrictHostKeyChecking=no', ...args, `alice@${host}:${port}`],
  ];
  const cachesOf = (uid: number): readonly string[] =>
    readdirSync('/tmp').filter((name) => name.startsWith(`krb5cc_${uid}_`));

  test('a ticket logs in, without a word', async () => {
    const { code, stdout, stderr } = await connect(realm.tickets('alice', 'secret'));
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), []);
    await server.logged(/Accepted gssapi-with-mic for alice from 127\.0\.0\.1 port \d+ ssh2/);
  });

  test('-K passes the tickets on, -k does not, and neither does a word of the file', async () => {
    const cache = realm.tickets('alice', 'secret');
    for (const [args, count] of [
      [['-K'], 1],
      [['-o', 'GSSAPIDelegateCredentials=yes'], 1],
      [['-k', '-o', 'GSSAPIDelegateCredentials=yes'], 0],
      [[], 0],
    ] as const) {
      await using keeping = await startServer({
        config: [...config, 'GSSAPICleanupCredentials no'],
      });
      const { code, stderr } = await connect(cache, args, { port: keeping.port });
      assert.equal(code, 0, stderr);
      assert.equal(cachesOf(alice.uid).length, count, args.join(' '));
      for (const name of cachesOf(alice.uid)) rmSync(path.join('/tmp', name));
    }
  });

  test('-K with tickets that may not be passed on: logged in, and told', async () => {
    const cache = realm.tickets('alice', 'secret', { forwardable: false });
    const { code, stderr } = await connect(cache, ['-K']);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /Kerberos: this ticket may not be passed on\. Remedy: kinit -f\./);
  });

  test('no tickets: the next method, and the remedy where there is none', async () => {
    const { code, stderr } = await connect('FILE:/tmp/there-is-none');
    assert.equal(code, 5);
    assert.match(
      stderr,
      /Permission denied \(.*\)\.\nKerberos: .*\. Remedy: kinit gets a ticket\.$/m,
    );
    await server.logged(/Connection (?:reset|closed) by authenticating user alice/);
    assert.doesNotMatch(server.log(), /Failed gssapi-with-mic for alice/);
  });

  test('a ticket that has expired: said at once, with the remedy', async () => {
    const cache = realm.tickets('alice', 'secret', { lifetime: '1s' });
    await eventually('it expires', async () => {
      const { code } = await finish('kvno', ['-c', cache, `host/${realm.host}`]);
      return code !== 0;
    });
    const { code, stderr } = await connect(cache);
    assert.equal(code, 5);
    assert.match(stderr, /^Kerberos: .*expired.*\. Remedy: kinit gets a new ticket\.$/m);
  });

  test('a host that the realm does not know', async () => {
    writeFileSync('/etc/hosts', `127.0.0.1 ${realm.host} stranger.lab.test localhost\n`);
    const { code, stderr } = await connect(realm.tickets('alice', 'secret'), [], {
      host: 'stranger.lab.test',
    });
    assert.equal(code, 5);
    assert.match(stderr, /^Kerberos: .*not found in Kerberos database.*host\/stranger\.lab\.test/m);
  });

  test('a host whose key is another: refused by the server', async () => {
    realm.addService('host/moved.lab.test', '/tmp/moved.keytab');
    writeFileSync('/etc/hosts', `127.0.0.1 ${realm.host} moved.lab.test localhost\n`);
    const { code, stderr } = await connect(realm.tickets('alice', 'secret'), [], {
      host: 'moved.lab.test',
    });
    assert.equal(code, 5, stderr);
    assert.match(stderr, /^Kerberos: .*isn't for us.*sshdesk doctor/m);
    assert.match(stderr, /Permission denied/);
  });

  test('somebody else’s ticket is refused in good order', async () => {
    const { code, stderr } = await connect(realm.tickets('bob', 'other'));
    assert.equal(code, 5, stderr);
    assert.match(stderr, /Permission denied/);
  });

  test('GSSAPIAuthentication no: nothing is tried', async () => {
    const { code, stderr } = await connect(realm.tickets('alice', 'secret'), [
      ...['-o', 'GSSAPIAuthentication=no'],
    ]);
    assert.equal(code, 5);
    assert.doesNotMatch(stderr, /Kerberos/);
  });

  test('a KDC that does not answer holds nobody up: Ctrl-C is heard', async () => {
    const cache = realm.tickets('alice', 'secret');
    const before = readFileSync('/etc/krb5.conf', 'utf8');
    const kdc = createSocket('udp4');
    const asked = once(kdc, 'message', { signal: AbortSignal.timeout(15_000) });
    kdc.bind(0, '127.0.0.1');
    await once(kdc, 'listening');
    const dead = before.replace(/^ *kdc = .*/m, `kdc = 127.0.0.1:${kdc.address().port}`);
    writeFileSync('/etc/krb5.conf', dead);
    const child = new Child(path.join(checkout, 'sshdesk'), argumentsFor(), {
      env: environmentWith(cache),
    });
    try {
      await asked;
      child.process.kill('SIGINT');
      const { code, signal } = await child.finished;
      assert.deepEqual([code, signal], [130, null], child.stderr);
    } finally {
      kdc.close();
      writeFileSync('/etc/krb5.conf', before);
    }
  });

  test('no KDC at all: said at once, with the remedy', async () => {
    const cache = realm.tickets('alice', 'secret');
    await realm.stop();
    const { code, stderr } = await connect(cache);
    assert.equal(code, 5, stderr);
    assert.match(stderr, /^Kerberos: Cannot contact any KDC.*Remedy: look at the network/m);
  });
});
