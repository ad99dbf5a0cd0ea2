/**
 * `sshdesk doctor` and the doubts of `serve -t`, on a host of which one thing after the other is
 * broken, with a real realm. Runs in: test, as root, in the lab.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Child, eventually, type Finished, run as finish } from '../support/child.ts';
import { noRealm, Realm } from '../support/kerberos.ts';
import { checkout, inLab, makeUser, run } from '../support/lab.ts';
import { freePort, startServer } from '../support/server.ts';

const lab = inLab(import.meta.url);
const missing = noRealm();

interface Report {
  readonly isWell: boolean;
  readonly findings: readonly {
    readonly name: string;
    readonly state: string;
    readonly what: string;
    readonly remedy?: string;
  }[];
}

describe('doctor', { ...lab, skip: lab.skip === false ? (missing ?? false) : lab.skip }, () => {
  let realm: Realm;
  let port: number;
  const config = '/etc/ssh/doctor_config';
  const keytab = '/etc/krb5.keytab';

  before(async () => {
    realm = await Realm.start();
    port = await freePort();
    run('ssh-keygen', ['-A']);
    mkdirSync('/tmp/.X11-unix', { recursive: true });
    chmodSync('/tmp/.X11-unix', 0o1777);
    write();
  });
  after(async () => realm?.stop());

  function write(...more: readonly string[]): void {
    const lines = [`Port ${port}`, 'ListenAddress 127.0.0.1', 'UsePAM yes', ...more];
    writeFileSync(config, `${lines.join('\n')}\n`);
  }
  const program = path.join(checkout, 'sshdesk');
  const doctor = (...args: readonly string[]): Promise<Finished> =>
    finish(program, ['doctor', '-f', config, ...args]);
  /** Those of one check that are not well; `[]`: all of it is. */
  async function complaints(name: string): Promise<readonly string[]> {
    const { code, stdout, stderr } = await doctor('--json');
    const report = JSON.parse(stdout) as Report;
    const failed = report.findings.some(({ state }) => state === 'fail');
    assert.deepEqual([code, report.isWell], failed ? [1, false] : [0, true], stderr);
    const ofName = report.findings.filter((one) => one.name === name);
    assert.ok(ofName.length > 0, `${name} is among ${stdout}`);
    return ofName
      .filter(({ state }) => state !== 'ok')
      .map(({ state, what, remedy }) => `${state}: ${what} → ${remedy}`);
  }

  test('a host that is as it should be: every line ok, exit 0, no Kerberos without the keyword', async () => {
    const { code, stdout, stderr } = await doctor();
    assert.equal(code, 0, stdout + stderr);
    assert.doesNotMatch(stdout, /^fail|Kerberos realm/m);
    assert.match(stdout, new RegExp(`^ok {4}port +port ${port} is free$`, 'm'));
  });

  test('the configuration: a line that is wrong, with its place', async () => {
    write('PermitRootLogin perhaps');
    const [line] = await complaints('configuration');
    assert.match(line ?? '', /^fail: \/etc\/ssh\/doctor_config:4: .*PermitRootLogin/);
    write();
  });

  test('host keys that others can read, and none at all', async () => {
    chmodSync('/etc/ssh/ssh_host_ed25519_key', 0o644);
    assert.match((await complaints('host keys')).join(), /^fail: .*mode 0644.*chmod 600/);
    chmodSync('/etc/ssh/ssh_host_ed25519_key', 0o600);
    write('HostKey /etc/ssh/there_is_none');
    assert.match((await complaints('host keys')).join(), /none of .* is there.*ssh-keygen -A/);
    write();
  });

  test('the port: who holds it', async () => {
    const holder = createServer();
    holder.listen(port, '127.0.0.1');
    await once(holder, 'listening');
    assert.match((await complaints('port')).join(), /^fail: port \d+ is taken by .*node.* \(pid/);
    holder.close();
    await once(holder, 'close');
  });

  test('the port: sshd, which may be stood beside or in for, and sshdesk itself', async () => {
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    await using sshd = new Child('/usr/sbin/sshd', [
      ...['-D', '-f', '/dev/null', '-o', `Port ${port}`, '-o', 'ListenAddress 127.0.0.1'],
      ...['-h', '/etc/ssh/ssh_host_ed25519_key', '-o', 'PidFile none'],
    ]);
    const seen = await eventually('it listens', async () => (await complaints('port')).join());
    assert.match(seen, /^warn: port \d+ is sshd's: sshd.*beside-sshd\.md/);
    await sshd.stop();
    await using server = await startServer({ config: ['UsePAM yes'] });
    const { stdout } = await doctor('-o', `Port=${server.port}`);
    assert.match(stdout, new RegExp(`^ok +port +port ${server.port}: sshdesk`, 'm'));
  });

  test('PAM: no service file, a module that is not there, behind an include too', async () => {
    const service = '/etc/pam.d/doctor';
    write('PAMServiceName doctor');
    assert.match((await complaints('PAM')).join(), /^fail: UsePAM is on and there is no/);
    writeFileSync(
      service,
      'auth required pam_permit.so\naccount [default=bad success=ok] \\\n  pam_gone.so # one\n-session optional pam_quiet.so\nsession optional pam_light.so\n@include doctor-more\n',
    );
    writeFileSync(
      '/etc/pam.d/doctor-more',
      'session include doctor\nsession required pam_deep.so\n',
    );
    assert.deepEqual(
      (await complaints('PAM')).map((line) => line.replace(/ → .*/, '')),
      [
        'fail: /etc/pam.d/doctor:2: pam_gone.so is not there, and it is [default=bad success=ok]: nobody gets in that way',
        'warn: /etc/pam.d/doctor:4: pam_light.so is not there',
        'fail: /etc/pam.d/doctor-more:2: pam_deep.so is not there, and it is required: nobody gets in that way',
      ],
    );
    write();
  });

  test('directories and /tmp/.X11-unix that others can write to', async () => {
    mkdirSync('/run/sshdesk', { recursive: true });
    chmodSync('/run/sshdesk', 0o777);
    chmodSync('/tmp/.X11-unix', 0o755);
    assert.match((await complaints('directories')).join(), /^fail: \/run\/sshdesk: mode 0777/);
    assert.match((await complaints('X11 directory')).join(), /^warn: .*mode 0755.*chmod 1777/);
    chmodSync('/run/sshdesk', 0o755);
    chmodSync('/tmp/.X11-unix', 0o1777);
  });

  test('Kerberos: a keytab that is good', async () => {
    write('GSSAPIAuthentication yes');
    const { stdout } = await doctor();
    assert.match(stdout, /^ok +Kerberos realm +LAB\.TEST, by \/etc\/krb5\.conf$/m);
    assert.match(
      stdout,
      /^ok +Kerberos keytab +host\/server\.lab\.test\S* in \/etc\/krb5\.keytab$/m,
    );
    assert.match(stdout, /^ok +Kerberos host name +server\.lab\.test is 127\.0\.0\.1, and back$/m);
    assert.match(stdout, /^ok +Kerberos clock +this clock is \d s (?:behind|ahead of) that of/m);
    const { code, stderr } = await finish(program, ['serve', '-t', '-f', config]);
    assert.deepEqual([code, stderr], [0, '']);
  });

  test('Kerberos: a keytab that others can read, of another host, or none', async () => {
    const kept = `${keytab}.kept`;
    copyFileSync(keytab, kept);
    chmodSync(keytab, 0o644);
    assert.match((await complaints('Kerberos keytab')).join(), /^fail: .*mode 0644.*new keys/);
    rmSync(keytab);
    assert.match((await complaints('Kerberos keytab')).join(), /^fail: .* is not there.*ktadd/);
    realm.addService('host/other.lab.test', keytab);
    assert.match((await complaints('Kerberos keytab')).join(), /no key host\/server\.lab\.test/);
    const { code, stderr } = await finish(program, ['serve', '-t', '-f', config]);
    assert.equal(code, 0);
    assert.match(stderr, /^Warning: Kerberos keytab: .*no key host\/server\.lab\.test.*Remedy: /m);
    renameSync(kept, keytab);
    chmodSync(keytab, 0o600);
  });

  test('Kerberos: a name that is not the same both ways, and one without a domain', async () => {
    const before = readFileSync('/etc/hosts', 'utf8');
    writeFileSync('/etc/hosts', `127.0.0.1 elsewhere.lab.test ${realm.host}\n`);
    assert.match(
      (await complaints('Kerberos host name')).join(),
      /which is elsewhere\.lab\.test → .*rdns = false/,
    );
    writeFileSync('/etc/hosts', before);
    run('hostname', ['short']);
    assert.match((await complaints('Kerberos host name')).join(), /without a domain/);
    run('hostname', [realm.host]);
  });

  test('Kerberos: a clock that is off, a KDC that talks nonsense or not at all', async () => {
    const before = readFileSync('/etc/krb5.conf', 'utf8');
    const kdc = createSocket('udp4').bind(0, '127.0.0.1');
    await once(kdc, 'listening');
    let answer: Buffer | null = null;
    kdc.on('message', (_asked, from) => {
      if (answer !== null) kdc.send(answer, from.port, from.address);
    });
    const at = `kdc = 127.0.0.1:${kdc.address().port}`;
    writeFileSync('/etc/krb5.conf', before.replace(/^ *kdc = .*/m, at));
    const time = new Date(Date.now() + 600_000).toISOString().replace(/[-:T]|\.\d+/g, '');
    const error = `300fa003020105a411180f${Buffer.from(time).toString('hex')}`;
    const wrapped = (hex: string) => Buffer.from(`7e${(hex.length / 2).toString(16)}${hex}`, 'hex');
    const body = `30${(error.length / 2 - 2).toString(16)}${error.slice(4)}`;
    answer = wrapped(body);
    assert.match(
      (await complaints('Kerberos clock')).join(),
      /^fail: this clock is (?:599|600|601|59\d) s behind .*no ticket is taken/,
    );
    for (const noise of [Buffer.alloc(0), wrapped(body).subarray(0, 20), Buffer.alloc(900, 0x7e)]) {
      answer = noise;
      assert.match((await complaints('Kerberos clock')).join(), /^warn: no KDC answers/);
    }
    kdc.close();
    writeFileSync('/etc/krb5.conf', before);
  });

  test('as a user: what is to be seen, and what is not is said', async () => {
    const visitor = makeUser('visitor');
    const ids = ['--reuid', String(visitor.uid), '--regid', String(visitor.gid), '--init-groups'];
    const { code, stdout, stderr } = await finish(
      'setpriv',
      [...ids, 'env', `HOME=${visitor.home}`, program, 'doctor', '-f', config],
      { cwd: '/' },
    );
    assert.ok(code === 0 || code === 1, stderr);
    assert.match(stdout, /^warn +Kerberos keytab .*root's alone/m);
    assert.match(stderr, /^Not root: /m);
  });
});
