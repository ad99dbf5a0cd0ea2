/**
 * Match against Debian's sshd: what `-T -C` prints for many blocks and connections, what is refused
 * at the start, and what a block does to a login. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { checkout, inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { serverKind, startServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
const sshd = '/usr/sbin/sshd';

/** Settings whose values are told apart by a number. */
const file = `
MaxSessions 1
AcceptEnv GLOBAL
PermitOpen global:1
X11DisplayOffset 11
Match User alice
  MaxSessions 2
  AcceptEnv FOR_ALICE
Match User ali*,!alicia
  MaxSessions 3
  MaxAuthTries 3
  AcceptEnv FOR_ALI
Match Group wheel,!no*
  MaxSessions 4
  X11DisplayOffset 44
Match Address 10.0.0.0/8,!10.9.0.0/16 User *
  PermitOpen ten:1
  MaxAuthTries 5
Match Address 192.168.?.1
  ForceCommand one two
Match LocalAddress 127.0.0.0/8 User *
  AllowTcpForwarding local
Match Host *.example.org,!bad.*
  PermitTTY no
Match User=carol
  AuthenticationMethods publickey,password
Match all
  ClientAliveCountMax 9
Match User !alice
  MaxAuthTries 1
Match user "bob"
  Include /tmp/match/*.conf
  X11Forwarding yes
Match Group alice Address *
  PermitListen 99
Match all
  MaxStartups 77
  PermitRootLogin no
  AcceptEnv AT_THE_END
`;

const subjects = [
  'user=alice,host=h.example.org,addr=10.1.1.1,laddr=127.0.0.1,lport=2222',
  'user=alice,host=bad.example.org,addr=10.9.1.1,laddr=127.0.0.1,lport=22',
  'user=alicia,host=H.EXAMPLE.ORG,addr=192.168.4.1,laddr=10.0.0.1,lport=2222',
  'user=ali,host=h,addr=192.168.44.1,laddr=::1,lport=2222',
  'user=bob,host=h,addr=::1,laddr=::1,lport=1',
  'user=carol,host=h,addr=2001:db8::1,laddr=::1,lport=1',
  'user=dave,host=h,addr=10.9.1.1,laddr=::1,lport=1',
  'user=nobody-at-all,host=h,addr=10.2.3.4,laddr=127.8.9.1,lport=2222',
];

describe('Match', lab, () => {
  let key: TestKey;
  before(() => {
    key = makeKey('ed25519');
    for (const name of ['alice', 'bob', 'carol', 'dave']) {
      makeUser(name, { authorizedKeys: [key.line] });
    }
    for (const group of ['wheel', 'noone']) {
      execFileSync('groupadd', [group]);
    }
    execFileSync('gpasswd', ['-a', 'carol', 'wheel']);
    execFileSync('gpasswd', ['-a', 'dave', 'wheel']);
    execFileSync('gpasswd', ['-a', 'dave', 'noone']);
    mkdirSync('/tmp/match');
    writeFileSync('/tmp/match/10.conf', 'MaxSessions 8\nMatch User bob,carol\nMaxAuthTries 8\n');
    writeFileSync('/tmp/match/20.conf', 'PermitTTY no\nMatch all\nGatewayPorts yes\n');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', '/tmp/match/host']);
    writeFileSync('/tmp/match/config', `HostKey /tmp/match/host\n${file}`);
  });

  const dump = (program: readonly string[], ...args: readonly string[]) => {
    const [command = '', ...before] = program;
    const done = spawnSync(command, [...before, '-T', '-f', '/tmp/match/config', ...args], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    return { ...done, lines: done.stdout.trimEnd().split('\n') };
  };
  const ours = [`${checkout}/sshdesk`, 'serve'];
  /** What the file sets, and what it could have set. */
  const compared = [
    ...['maxsessions', 'acceptenv', 'permitopen', 'x11displayoffset', 'maxauthtries'],
    ...['forcecommand', 'allowtcpforwarding', 'permittty', 'authenticationmethods'],
    ...['clientalivecountmax', 'x11forwarding', 'permitlisten', 'gatewayports', 'permitrootlogin'],
    ...['maxstartups'],
  ];
  const of = (lines: readonly string[]): readonly string[] =>
    lines.filter((line) => compared.includes(line.split(' ')[0] ?? ''));

  test('-T -C prints what sshd prints', () => {
    for (const subject of [undefined, ...subjects]) {
      const args = subject === undefined ? [] : ['-C', subject];
      const [mine, theirs] = [dump(ours, ...args), dump([sshd], ...args)];
      assert.equal(theirs.status, 0, theirs.stderr);
      assert.equal(mine.status, 0, mine.stderr);
      assert.ok(of(theirs.lines).length > 10);
      assert.deepEqual(of(mine.lines), of(theirs.lines), subject ?? 'without -C');
    }
  });

  test('several -C are one; what they leave out matches nothing, but a port is asked for', () => {
    const [whole, ...parts] = [subjects[0] as string, ...(subjects[0] as string).split(',')];
    const inParts = dump(ours, ...parts.flatMap((part) => ['-C', part]));
    assert.deepEqual(inParts.lines, dump(ours, '-C', whole).lines);
    for (const lacking of ['user=alice', 'host=x.example.org', 'addr=10.1.1.1,user=bob']) {
      assert.deepEqual(
        of(dump(ours, '-C', lacking).lines),
        of(dump([sshd], '-C', lacking).lines),
        lacking,
      );
    }
    writeFileSync('/tmp/match/port', `HostKey /tmp/match/host\nMatch User a LocalPort 22\n`);
    const results = [ours, [sshd]].map(([command = '', ...args]) =>
      spawnSync(command, [...args, '-T', '-f', '/tmp/match/port'], { encoding: 'utf8' }),
    );
    for (const { status, stderr } of results) {
      assert.equal(status, 255);
      assert.match(stderr, /'Match LocalPort' in configuration but 'lport' not in connection test/);
    }
  });

  test('what may not stand in a block, and criteria that are none, stop the start', () => {
    for (const lines of [
      ['Match User alice', 'UsePAM yes'],
      ['Match User alice', 'Port 22'],
      ['Match User alice', 'MaxStartups 3'],
      ['Match all User alice'],
      ['Match User alice all'],
      ['Match Usr alice'],
      ['Match User'],
      ['Match LocalPort 99999'],
      ['Match Address 10.0.0.1/8'],
    ]) {
      writeFileSync('/tmp/match/wrong', `HostKey /tmp/match/host\n${lines.join('\n')}\n`);
      const args = ['-t', '-f', '/tmp/match/wrong'];
      const theirs = spawnSync(sshd, ['-T', '-C', `${subjects[0]}`, ...args.slice(1)], {
        encoding: 'utf8',
      });
      assert.equal(theirs.status, 255, `${lines}`);
      const mine = spawnSync(ours[0] as string, ['serve', ...args], { encoding: 'utf8' });
      assert.equal(mine.status, 255, `${lines}`);
      assert.match(mine.stderr, new RegExp(`^/tmp/match/wrong:${lines.length + 1}: `, 'm'));
    }
  });

  test('OpenSSH caa6d7d19: a login gets what its blocks say, and others do not', async () => {
    await using server = await startServer({
      config: [
        ...['UsePAM yes', 'LogLevel VERBOSE', 'AcceptEnv NOTHING', 'SetEnv X=all'],
        ...['Match User alice', 'SetEnv X=mine "Y=a b"'],
        ...['ForceCommand echo "alice: $SSH_ORIGINAL_COMMAND, $WHO, $X, $Y"', 'AcceptEnv WHO X'],
        ...['Match Group wheel', 'AuthenticationMethods publickey,password'],
        ...['Match User bob Address 127.0.0.0/8', 'PermitTTY no', 'MaxSessions 0'],
        ...['Match User nobody-at-all', 'PasswordAuthentication no'],
      ],
    });
    const forced = await ssh(
      server,
      { key, args: ['-o', 'SetEnv=WHO=me X=theirs'] },
      'echo mine; echo $WHO',
    );
    assert.equal(forced.text, 'alice: echo mine; echo $WHO, me, mine, a b\n');
    const chained = await ssh(server, { key, user: 'carol' }, 'true');
    assert.equal(chained.status, 255);
    assert.match(chained.stderr, /Permission denied \(password\)/);
    const without = await ssh(server, { key, user: 'bob' }, 'true');
    assert.equal(without.status, 255);
    assert.match(server.log(), /Accepted publickey for bob/);
    const unknown = await ssh(
      server,
      { user: 'nobody-at-all', args: ['-o', 'BatchMode=yes'] },
      'true',
    );
    assert.match(unknown.stderr, /Permission denied \(publickey(?!.*password)/);
    await server.logged(/Partial publickey for carol/);
  });

  test('DenyUsers, DenyGroups, AllowGroups: in the order and words of sshd', async () => {
    await using server = await startServer({
      config: [
        ...['UsePAM yes', 'DenyUsers da?e@127.0.0.1', 'AllowGroups alice wh* dave'],
        ...['Match User carol', 'DenyGroups wheel'],
      ],
    });
    assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n');
    for (const [user, why] of [
      ['dave', 'listed in DenyUsers'],
      ['bob', "none of user's groups are listed in AllowGroups"],
      ['carol', 'a group is listed in DenyGroups'],
    ] as const) {
      assert.equal((await ssh(server, { key, user }, 'true')).status, 255);
      await server.logged(
        new RegExp(`User ${user} from 127\\.0\\.0\\.1 not allowed because ${why}`),
      );
    }
  });

  test('Banner is shown before the login, to whom its block says', async () => {
    writeFileSync('/tmp/match/banner', 'Authorised use only.\n');
    writeFileSync('/tmp/match/other', 'Hello, Bob.\n');
    await using server = await startServer({
      config: [
        ...['UsePAM yes', 'Banner /tmp/match/banner', 'Match User bob', 'Banner /tmp/match/other'],
        ...['Match User carol', 'Banner none', 'Match User dave', 'Banner /tmp/match/not-there'],
      ],
    });
    const shown = async (user: string): Promise<string> =>
      (await ssh(server, { key, user, args: ['-o', 'LogLevel=INFO'] }, 'true')).stderr;
    assert.equal(await shown('alice'), 'Authorised use only.\n');
    assert.equal(await shown('bob'), 'Hello, Bob.\n');
    assert.equal(await shown('carol'), '');
    assert.equal(await shown('dave'), '');
    assert.match(await shown('nobody-at-all'), /^Authorised use only\.\n/);
  });

  test('AllowUsers in a block refuses like an unknown user', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'Match Address 127.0.0.1', 'AllowUsers alice'],
    });
    assert.equal((await ssh(server, { key }, 'echo in')).text, 'in\n');
    assert.equal((await ssh(server, { key, user: 'bob' }, 'true')).status, 255);
    await server.logged(/User bob from 127\.0\.0\.1 not allowed because not listed in AllowUsers/);
    if (serverKind !== 'sshd') {
      await server.logged(/invalid user bob/);
    }
  });
});
