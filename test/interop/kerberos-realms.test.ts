/**
 * Users of another realm that this one trusts: who they are here is said by auth_to_local and
 * ~/.k5login, and by nothing else. SSHDESK_TEST_SERVER=sshd: what Debian's sshd does. Runs in: test,
 * in the lab.
 */
import assert from 'node:assert/strict';
import { chownSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run as finish } from '../support/child.ts';
import { noRealm, Realm } from '../support/kerberos.ts';
import { checkout, inLab, type LabUser, makeUser } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOutcome, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
const missing = noRealm();

describe('two realms', { ...lab, skip: lab.skip === false ? (missing ?? false) : lab.skip }, () => {
  let here: Realm;
  let there: Realm;
  let server: TestServer;
  let alice: LabUser;
  let plain: string;

  before(async () => {
    here = await Realm.start();
    there = await Realm.start({ name: 'OTHER.TEST', port: 8889, isElsewhere: true });
    here.trust(there);
    there.addUser('alice', 'theirs');
    there.addUser('anna', 'hers');
    here.addUser('alice', 'ours');
    alice = makeUser('alice');
    plain = readFileSync('/etc/krb5.conf', 'utf8');
    server = await startServer({
      config: ['UsePAM yes', 'GSSAPIAuthentication yes', 'PasswordAuthentication no'],
    });
  });
  after(async () => {
    await server?.stop();
    await there?.stop();
    await here?.stop();
  });

  const login = (cache: string, user = 'alice'): Promise<ClientOutcome> =>
    ssh(
      server,
      { user, args: here.clientArguments(server.port), environment: { KRB5CCNAME: cache } },
      'id -un',
    );
  const map = (...rules: readonly string[]): void => {
    const lines = rules.map((rule) => `    auth_to_local = ${rule}\n`).join('');
    writeFileSync('/etc/krb5.conf', plain.replace('  LAB.TEST = {\n', `  LAB.TEST = {\n${lines}`));
  };

  test('the same name in the other realm is not the same person', async () => {
    const refused = await login(there.tickets('alice', 'theirs'));
    assert.equal(refused.status, 255);
    assert.match(refused.stderr, /Permission denied/);
    const own = await login(here.tickets('alice', 'ours'));
    assert.deepEqual([own.status, own.text], [0, 'alice\n'], own.stderr);
  });

  test('~/.k5login lets a principal of the other realm in, and that one alone', async () => {
    const list = path.join(alice.home, '.k5login');
    writeFileSync(list, 'anna@OTHER.TEST\nalice@LAB.TEST\n', { mode: 0o600 });
    chownSync(list, alice.uid, alice.gid);
    const anna = await login(there.tickets('anna', 'hers'));
    assert.deepEqual([anna.status, anna.text], [0, 'alice\n'], anna.stderr);
    const other = await login(there.tickets('alice', 'theirs'));
    assert.equal(other.status, 255);
    rmSync(list);
  });

  test('auth_to_local maps the other realm, and what it leaves out is refused', async () => {
    map('RULE:[1:$1@$0](^anna@OTHER\\.TEST$)s/.*/alice/', 'DEFAULT');
    try {
      const anna = await login(there.tickets('anna', 'hers'));
      assert.deepEqual([anna.status, anna.text], [0, 'alice\n'], anna.stderr);
      const unmapped = await login(there.tickets('alice', 'theirs'));
      assert.equal(unmapped.status, 255);
      const wrong = await login(there.tickets('anna', 'hers'), 'root');
      assert.equal(wrong.status, 255);
    } finally {
      writeFileSync('/etc/krb5.conf', plain);
    }
  });

  test('sshdesk connect across realms, and where there is no trust', async () => {
    map('RULE:[1:$1@$0](^anna@OTHER\\.TEST$)s/.*/alice/', 'DEFAULT');
    const connect = (cache: string) =>
      finish(
        path.join(checkout, 'sshdesk'),
        [
          ...['connect', '-F', 'none', '--batch', '-o', 'StrictHostKeyChecking=no'],
          ...['-o', 'UserKnownHostsFile=/dev/null', '--list', '--json'],
          `alice@${here.host}:${server.port}`,
        ],
        { env: { PATH: process.env.PATH, HOME: '/root', KRB5CCNAME: cache } },
      );
    const anna = await connect(there.tickets('anna', 'hers'));
    assert.equal(anna.code, 0, anna.stderr);
    const third = await Realm.start({ name: 'THIRD.TEST', port: 8890, isElsewhere: true });
    try {
      third.addUser('carl', 'his');
      const carl = await connect(third.tickets('carl', 'his'));
      assert.equal(carl.code, 5, carl.stderr);
      assert.match(
        carl.stderr,
        /^Kerberos: .*krbtgt\/LAB\.TEST@THIRD\.TEST.*Remedy: kinit NAME@REALM/m,
      );
    } finally {
      await third.stop();
      writeFileSync('/etc/krb5.conf', plain);
    }
  });
});
