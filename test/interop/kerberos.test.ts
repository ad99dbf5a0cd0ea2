/**
 * Logins with Kerberos tickets by the stock client, against MIT's KDC. SSHDESK_TEST_SERVER=sshd:
 * what Debian's sshd does. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Child, eventually } from '../support/child.ts';
import { noRealm, Realm } from '../support/kerberos.ts';
import {
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  run,
  type TestKey,
} from '../support/lab.ts';
import {
  allProcesses,
  type ProcessEntry,
  readProcFile,
  startServer,
  type TestServer,
} from '../support/server.ts';
import { type ClientOutcome, ssh, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
const missing = noRealm();
const config = [
  'UsePAM yes',
  'GSSAPIAuthentication yes',
  'PasswordAuthentication no',
  'KbdInteractiveAuthentication no',
  'LogLevel VERBOSE',
];

describe('Kerberos', { ...lab, skip: lab.skip === false ? (missing ?? false) : lab.skip }, () => {
  let realm: Realm;
  let server: TestServer;
  let alice: LabUser;
  let key: TestKey;
  const cachesOf = (uid: number): readonly string[] =>
    readdirSync('/tmp').filter((name) => name.startsWith(`krb5cc_${uid}_`));

  async function login(
    cache: string,
    command: string,
    more: readonly string[] = [],
    user = 'alice',
  ): Promise<ClientOutcome> {
    return ssh(
      server,
      {
        user,
        args: [...realm.clientArguments(server.port), ...more],
        environment: { KRB5CCNAME: cache },
      },
      command,
    );
  }

  before(async () => {
    realm = await Realm.start();
    realm.addUser('alice', 'secret');
    realm.addUser('bob', 'other');
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    server = await startServer({ config });
  });
  after(async () => {
    await server?.stop();
    await realm?.stop();
  });

  test('a ticket opens the account of its principal, and the log says whose it was', async () => {
    const outcome = await login(
      realm.tickets('alice', 'secret'),
      'id -un; echo "${KRB5CCNAME-none}"',
    );
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\nnone\n'], outcome.stderr);
    await server.logged(
      /Authorized to alice, krb5 principal alice@LAB\.TEST \(krb5_kuserok\)[^]*Accepted gssapi-with-mic for alice from 127\.0\.0\.1 port \d+ ssh2: alice@LAB\.TEST/,
    );
  });

  test('tickets that were passed on are the user’s alone, and go with the login', async () => {
    const cache = realm.tickets('alice', 'secret');
    const command = 'klist -f; f=${KRB5CCNAME#FILE:}; stat -c "%U %a" "$f"; echo "at $KRB5CCNAME"';
    const outcome = await login(cache, command, ['-K']);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /Default principal: alice@LAB\.TEST/);
    assert.match(outcome.text, /krbtgt\/LAB\.TEST@LAB\.TEST\n.*Flags: [A-Za-z]*F/s);
    assert.match(outcome.text, /^alice 600$/m);
    assert.match(outcome.text, new RegExp(`^at FILE:/tmp/krb5cc_${alice.uid}_\\w+$`, 'm'));
    await eventually('they are removed', () => cachesOf(alice.uid).length === 0);
  });

  test('tickets that may not be passed on are none, and the login goes on', async () => {
    const cache = realm.tickets('alice', 'secret', { forwardable: false });
    const outcome = await login(cache, 'echo "${KRB5CCNAME-none}"', ['-K']);
    assert.deepEqual([outcome.status, outcome.text], [0, 'none\n'], outcome.stderr);
  });

  test('somebody else’s ticket is refused, until ~/.k5login lists its principal', async () => {
    const cache = realm.tickets('bob', 'other');
    const refused = await login(cache, 'true');
    assert.equal(refused.status, 255);
    assert.match(refused.stderr, /Permission denied/);
    await server.logged(/Failed gssapi-with-mic for alice from 127\.0\.0\.1 port \d+ ssh2$/m);
    const list = path.join(alice.home, '.k5login');
    writeFileSync(list, 'alice@LAB.TEST\nbob@LAB.TEST\n', { mode: 0o600 });
    chownSync(list, alice.uid, alice.gid);
    const outcome = await login(cache, 'id -un');
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  });

  test('k5login_directory, closed to users: a list that leaves the principal out counts', async () => {
    const before = readFileSync('/etc/krb5.conf', 'utf8');
    const directory = '/etc/k5login.d';
    mkdirSync(directory, { mode: 0o700 });
    writeFileSync(path.join(directory, 'dora'), 'bob@LAB.TEST\n');
    realm.addUser('dora', 'hers');
    makeUser('dora');
    const cache = realm.tickets('dora', 'hers');
    try {
      const open = await login(cache, 'id -un', [], 'dora');
      assert.deepEqual([open.status, open.text], [0, 'dora\n'], open.stderr);
      writeFileSync(
        '/etc/krb5.conf',
        before.replace('[libdefaults]', `[libdefaults]\n  k5login_directory = ${directory}`),
      );
      const shut = await login(cache, 'id -un', [], 'dora');
      assert.deepEqual([shut.status, shut.text], [255, ''], shut.stderr);
    } finally {
      writeFileSync('/etc/krb5.conf', before);
      rmSync(directory, { recursive: true });
    }
  });

  test('a user who does not exist is refused with the same words', async () => {
    const cache = realm.tickets('bob', 'other');
    const nobody = await login(cache, 'true', [], 'nobody-of-that-name');
    makeUser('carol');
    const other = await login(cache, 'true', [], 'carol');
    assert.deepEqual([nobody.status, other.status], [255, 255]);
    const words = ({ stderr }: ClientOutcome, name: string) => stderr.replaceAll(name, 'NAME');
    assert.equal(words(nobody, 'nobody-of-that-name'), words(other, 'carol'));
  });

  test('root: prohibit-password lets a ticket in, no does not', async () => {
    realm.addUser('root', 'toor');
    const cache = realm.tickets('root', 'toor');
    const outcome = await login(cache, 'id -un', [], 'root');
    assert.deepEqual([outcome.status, outcome.text], [0, 'root\n'], outcome.stderr);
    await using strict = await startServer({ config: [...config, 'PermitRootLogin no'] });
    const refused = await ssh(
      strict,
      {
        user: 'root',
        args: realm.clientArguments(strict.port),
        environment: { KRB5CCNAME: cache },
      },
      'true',
    );
    assert.equal(refused.status, 255);
    await strict.logged(/ROOT LOGIN REFUSED FROM 127\.0\.0\.1/);
  });

  test('a desktop has them under one name, fresh ones when it is resumed, and renews them', async () => {
    const look = async (cache: string, passOn: boolean): Promise<void> => {
      const args = [...realm.clientArguments(server.port), ...(passOn ? ['-K'] : []), '-s'];
      const viewer = new Child('ssh', sshArguments(server, { user: 'alice', args }, 'rfb'), {
        env: { PATH: '/usr/bin:/bin', HOME: '/root', KRB5CCNAME: cache },
      });
      await eventually('a picture', () => viewer.stdout.startsWith('RFB 003.008'), 20_000);
      await viewer.stop();
    };
    const ofDesktop = (): ProcessEntry =>
      allProcesses().find(({ title }) => /^\S*Xvnc/.test(title)) as ProcessEntry;
    const klist = (place: string): string =>
      run('runuser', ['-u', 'alice', '--', 'klist', '-c', place]);
    await look(realm.tickets('alice', 'secret', { lifetime: '1h' }), true);
    const xvnc = ofDesktop();
    const place = /KRB5CCNAME=(FILE:[^\0]+)/.exec(readProcFile(xvnc.pid, 'environ'))?.[1] as string;
    const first = klist(place);
    assert.match(first, /Default principal: alice@LAB\.TEST[^]*krbtgt\/LAB\.TEST@LAB\.TEST/);
    const file = place.slice('FILE:'.length);
    assert.deepEqual([statSync(file).uid, statSync(file).mode & 0o777], [alice.uid, 0o600]);
    await eventually('the login’s own go', () => cachesOf(alice.uid).length === 0);
    await look(realm.tickets('alice', 'secret'), false);
    assert.equal(klist(place), first, 'a login without tickets takes nothing away');
    await look(realm.tickets('alice', 'secret', { lifetime: '9h' }), true);
    assert.equal(ofDesktop().pid, xvnc.pid);
    assert.notEqual(klist(place), first);
    await look(realm.tickets('alice', 'secret', { lifetime: '14s', renewable: '1h' }), true);
    const short = klist(place);
    await eventually('they are renewed', () => klist(place) !== short, 14_000);
    assert.match(klist(place), /renew until/);
    run(path.join(checkout, 'sshdesk'), ['sessions', 'terminate', 'default']);
    await eventually('they end with the desktop', () => !existsSync(file));
  });

  test('after a key as a second factor', async () => {
    await using chained = await startServer({
      config: [...config, 'AuthenticationMethods publickey,gssapi-with-mic'],
    });
    const cache = realm.tickets('alice', 'secret');
    const args = [
      ...realm.clientArguments(chained.port).slice(0, 4),
      ...['-o', 'GSSAPIAuthentication=yes', '-K', '-i', key.file],
      ...['-o', 'PreferredAuthentications=publickey,gssapi-with-mic'],
    ];
    const outcome = await ssh(
      chained,
      { user: 'alice', args, environment: { KRB5CCNAME: cache } },
      'klist -s && echo tickets',
    );
    assert.deepEqual([outcome.status, outcome.text], [0, 'tickets\n'], outcome.stderr);
    await chained.logged(/Partial publickey for alice/);
    await chained.logged(/Accepted gssapi-with-mic for alice/);
  });

  test('GSSAPICleanupCredentials no leaves the tickets', async () => {
    await using keeping = await startServer({ config: [...config, 'GSSAPICleanupCredentials no'] });
    const outcome = await ssh(
      keeping,
      {
        user: 'alice',
        args: [...realm.clientArguments(keeping.port), '-K'],
        environment: { KRB5CCNAME: realm.tickets('alice', 'secret') },
      },
      'true',
    );
    assert.equal(outcome.status, 0, outcome.stderr);
    await keeping.logged(/Disconnected from user alice/);
    assert.equal(cachesOf(alice.uid).length, 1);
  });

  test('GSSAPIStrictAcceptorCheck: another name of this host, only when it is said', async () => {
    realm.addService('host/alias.lab.test');
    writeFileSync('/etc/hosts', `127.0.0.1 ${realm.host} alias.lab.test localhost\n`);
    const environment = { KRB5CCNAME: realm.tickets('alice', 'secret') };
    for (const [line, status] of [
      ['GSSAPIStrictAcceptorCheck yes', 255],
      ['GSSAPIStrictAcceptorCheck no', 0],
    ] as const) {
      await using one = await startServer({ config: [...config, line] });
      const args = [...realm.clientArguments(one.port)];
      args[1] = 'HostName=alias.lab.test';
      const outcome = await ssh(one, { user: 'alice', args, environment }, 'true');
      assert.equal(outcome.status, status, `${line}: ${outcome.stderr}`);
    }
  });
});
