/**
 * Hops with Kerberos tickets from inside a desktop, before a suspend and after a resume: MIT's KDC,
 * Debian's sshd with a keytab of its own as the next host, an xterm in a real Xvnc, tickets that a
 * client passes on and tickets that PAM gets with a password. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { listDesktops, sessionsCommand, startDesktopServer } from '../support/desktop-session.ts';
import { DesktopTerminal, Onlooker, terminalSession } from '../support/desktop-terminal.ts';
import { noRealm, pamKrb5, Realm } from '../support/kerberos.ts';
import { inLab, type LabUser, makeUser, writePamService } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import type { ClientOptions } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
const skip = lab.skip === false ? (noRealm() ?? false) : lab.skip;
const nextHost = 'next.lab.test';

describe('tickets in a desktop', { ...lab, skip }, () => {
  let realm: Realm;
  let server: TestServer;
  let next: TestServer;
  let alice: LabUser;
  let terminal: DesktopTerminal;
  const known = '/tmp/known-next';

  before(async () => {
    realm = await Realm.start();
    realm.addUser('alice', 'secret');
    const keytab = path.join(mkdtempSync('/tmp/next-keytab-'), 'keytab');
    realm.addService(`host/${nextHost}`, keytab);
    writeFileSync('/etc/hosts', `127.0.0.1 ${realm.host} localhost\n127.0.0.2 ${nextHost}\n`);
    alice = makeUser('alice');
    terminal = new DesktopTerminal(alice);
    const config = ['GSSAPIAuthentication yes', 'PasswordAuthentication yes', 'LogLevel VERBOSE'];
    server = await startDesktopServer(terminalSession, { config });
    next = await startServer({
      kind: 'sshd',
      config: ['UsePAM yes', ...config, 'GSSAPIStrictAcceptorCheck no', 'ListenAddress 127.0.0.2'],
      environment: { KRB5_KTNAME: `FILE:${keytab}` },
    });
    writeFileSync(known, readFileSync(next.knownHosts), { mode: 0o644 });
  });
  after(async () => {
    await server?.stop();
    await next?.stop();
    await realm?.stop();
  });

  const withTickets = (cache: string): ClientOptions => ({
    user: 'alice',
    args: [...realm.clientArguments(server.port), '-K'],
    environment: { KRB5CCNAME: cache },
  });
  const hop = (): string =>
    [
      ...['ssh', '-F', 'none', '-o', 'BatchMode=yes', '-o', 'GSSAPIAuthentication=yes'],
      ...['-o', 'PreferredAuthentications=gssapi-with-mic'],
      ...['-o', `UserKnownHostsFile=${known}`, '-o', `HostKeyAlias=[127.0.0.1]:${next.port}`],
      ...['-p', String(next.port), `alice@${nextHost}`, 'whoami'],
    ].join(' ');
  async function leave(viewer: Onlooker): Promise<void> {
    assert.equal(sessionsCommand(['suspend', 'default'], alice).status, 0);
    await viewer.hasEnded;
    await eventually('nobody looks', () => listDesktops()[0]?.viewers === 0);
  }

  test('a hop before a suspend, and after a resume with fresh ones that klist shows', async () => {
    const first = await Onlooker.come(
      server,
      withTickets(realm.tickets('alice', 'secret', { lifetime: '1h' })),
    );
    assert.deepEqual(await terminal.run(hop()), { status: 0, text: 'alice\n' });
    const before = await terminal.run('echo $KRB5CCNAME; klist');
    assert.match(before.text, new RegExp(`host/${nextHost}@`));
    await leave(first);
    const again = await Onlooker.come(
      server,
      withTickets(realm.tickets('alice', 'secret', { lifetime: '9h' })),
    );
    const after = await terminal.run('echo $KRB5CCNAME; klist');
    assert.equal(after.text.split('\n')[0], before.text.split('\n')[0]);
    assert.match(after.text, /Default principal: alice@LAB\.TEST[^]*krbtgt\/LAB\.TEST@LAB\.TEST/);
    assert.doesNotMatch(after.text, new RegExp(`host/${nextHost}@`), 'they are the new ones');
    assert.deepEqual(await terminal.run(hop()), { status: 0, text: 'alice\n' });
    assert.match((await terminal.run('klist')).text, new RegExp(`host/${nextHost}@`));
    await next.logged(/Authorized to alice, krb5 principal alice@LAB\.TEST \(krb5_kuserok\)/);
    await leave(again);
    // Nobody is there, and the tickets are.
    assert.deepEqual(await terminal.run(hop()), { status: 0, text: 'alice\n' });
  });

  test('tickets that PAM gets with the password at the login', {
    skip: pamKrb5() === undefined ? 'no libpam-krb5, which ./setup --test fetches' : false,
  }, async () => {
    // As the package writes them into /etc/pam.d/common-*.
    writePamService('lab-krb5', [
      `auth [success=2 default=ignore] ${pamKrb5()} minimum_uid=1000`,
      'auth [success=1 default=ignore] pam_unix.so nullok try_first_pass',
      'auth requisite pam_deny.so',
      'auth required pam_permit.so',
      'account required pam_unix.so',
      `account required ${pamKrb5()} minimum_uid=1000`,
      `session optional ${pamKrb5()} minimum_uid=1000`,
      'session required pam_unix.so',
    ]);
    const bob = makeUser('bob');
    realm.addUser('bob', 'his');
    const his = new DesktopTerminal(bob);
    const askpass = '/tmp/askpass-his';
    writeFileSync(askpass, '#!/bin/sh\necho his\n', { mode: 0o755 });
    await server.stop();
    server = await startDesktopServer(terminalSession, { config: ['PAMServiceName lab-krb5'] });
    const options: ClientOptions = {
      user: 'bob',
      args: ['-o', 'PreferredAuthentications=password', '-o', 'NumberOfPasswordPrompts=1'],
      environment: { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' },
    };
    const viewer = await Onlooker.come(server, options);
    const shown = await his.run('klist');
    assert.match(shown.text, /Default principal: bob@LAB\.TEST[^]*krbtgt\/LAB\.TEST@LAB\.TEST/);
    assert.deepEqual(await his.run(hop().replace('alice@', 'bob@')), { status: 0, text: 'bob\n' });
    await viewer.go();
    await using _again = await Onlooker.come(server, options);
    await eventually('the new ones', async () => !(await his.run('klist')).text.includes('host/'));
    assert.deepEqual(await his.run(hop().replace('alice@', 'bob@')), { status: 0, text: 'bob\n' });
  });
});
