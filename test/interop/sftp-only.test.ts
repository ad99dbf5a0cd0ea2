/**
 * The usual group that may do sftp and nothing else (ChrootDirectory, ForceCommand internal-sftp),
 * compared with Debian's sshd request by request. Runs in: test, as root, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { BothServers } from '../support/both-servers.ts';
import { run as finish } from '../support/child.ts';
import {
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  run,
  type TestKey,
} from '../support/lab.ts';
import { both, makeRoot, put, sftp, sftpRoots } from '../support/sftp-only.ts';
import { copy, remote, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 180_000);

/** User, flags behind internal-sftp. */
const flagged = {
  reader: '-R',
  starter: '-d /files',
  named: '-d /files/%u',
  denied: '-P remove,rename,posix-rename,mkdir',
  allowed: '-p open,close,read,realpath,stat,lstat,opendir,readdir,fstat',
  masked: '-u 027',
  verbose: '-l VERBOSE -f LOCAL3',
} as const;

function fuseIsMissing(): string | false {
  try {
    closeSync(openSync('/dev/fuse', 'r+'));
    return false;
  } catch (error) {
    return `sshfs cannot mount here: ${(error as Error).message}`;
  }
}

describe('sftp and nothing else', lab, () => {
  let servers: BothServers;
  let key: TestKey;
  let keyed: TestKey;
  let alice: LabUser;
  const users = new Map<string, LabUser>();
  const userOf = (name: string): LabUser => users.get(name) as LabUser;

  before(async () => {
    run('groupadd', ['sftponly']);
    key = makeKey('ed25519');
    keyed = makeKey('ed25519');
    const authorizedKeys = [key.line];
    for (const name of ['alice', 'bob', ...Object.keys(flagged)]) {
      const groups = ['sftponly'];
      users.set(name, makeUser(name, { groups, authorizedKeys, shell: '/usr/sbin/nologin' }));
    }
    alice = userOf('alice');
    users.set(
      'plain',
      makeUser('plain', {
        authorizedKeys: [key.line, `command="internal-sftp -R" ${keyed.line}`],
      }),
    );
    servers = await BothServers.start([
      ...['UsePAM yes', 'LogLevel VERBOSE', 'Subsystem sftp internal-sftp'],
      ...['Subsystem say /bin/echo said'],
      ...Object.entries(flagged).flatMap(([name, flags]) => [
        `Match User ${name}`,
        `  ForceCommand internal-sftp ${flags}`,
      ]),
      ...['Match Group sftponly', `  ChrootDirectory ${sftpRoots}/%u`],
      ...['  ForceCommand internal-sftp', '  AllowTcpForwarding no', '  X11Forwarding no'],
    ]);
    put('/tmp/sent', 'sent\n');
  });
  after(async () => await servers?.[Symbol.asyncDispose]());

  test('put, get, ls, rename, links, modes, times, folders: all as by sshd', async () => {
    const { text, tree } = await both(servers, alice, key, [
      ...['pwd', 'cd files', 'put /tmp/sent a', 'put -p /tmp/sent b', 'ls -la', 'ls -n /'],
      ...['rename a c', 'ln -s c link', 'ln c hard', 'chmod 600 b', 'mkdir d', 'put /tmp/sent d/e'],
      ...['rm b', 'get c /tmp/got', 'ls -l link', '-rmdir d', 'rename d f', '-ls nothing'],
    ]);
    assert.match(text, /Remote working directory: \/\n/);
    assert.match(tree, /^files\/link l 777 \d+:\d+ c 1$/m);
    assert.equal(readFileSync('/tmp/got', 'utf8'), 'sent\n');
  });

  test('what is outside is not there: by .., by a link, by a hard link, by /proc', async () => {
    const outside = [
      ...['-get /etc/passwd', '-get ../../../../etc/passwd', '-get files/link', '-get files/up'],
      ...['-ls /proc/self/root', '-ls /proc/1/root', '-ls /../../../etc', '-cd /..', 'pwd'],
      ...['-ln -s /etc/shadow files/mine', '-get files/mine', '-ln /etc/passwd files/hard'],
      ...['-ls ~bob', '-put /tmp/sent /sent', '-mkdir /new', '-rename files /other', '-rm /files'],
    ];
    const { text, stderr, status } = await both(servers, alice, key, outside, (root) => {
      symlinkSync('/etc/passwd', `${root}/files/link`);
      symlinkSync('../../../../../etc/passwd', `${root}/files/up`);
    });
    assert.equal(status, 0);
    assert.ok(!text.includes('root:'), text);
    assert.match(stderr, /File "\/etc\/passwd" not found/);
  });

  for (const [name, flags] of Object.entries(flagged)) {
    test(`internal-sftp ${flags}`, async () => {
      const user = userOf(name);
      const prepare = (root: string): void => {
        mkdirSync(`${root}/files/${name}`);
        put(`${root}/files/there`, 'there\n', user);
      };
      const said = await both(
        servers,
        user,
        key,
        [
          ...['pwd', '-put /tmp/sent /files/new', '-get /files/there /tmp/got', '-ls -ln /files'],
          ...['-rename /files/there /files/moved', '-rm /files/moved', '-mkdir /files/made'],
        ],
        prepare,
      );
      const expected: Readonly<Record<string, RegExp>> = {
        reader: /^files\/there f 644 .*$/m,
        starter: /^files\/made d/m,
        named: /^files\/made d/m,
        denied: /^files\/there f/m,
        allowed: /^files\/there f/m,
        masked: /^files\/new f 640 /m,
        verbose: /^files\/made d/m,
      };
      assert.match(said.tree, expected[name] as RegExp);
      if (name === 'starter' || name === 'named') {
        assert.match(said.text, name === 'named' ? /: \/files\/named\n/ : /: \/files\n/);
      }
      if (name === 'reader') {
        assert.doesNotMatch(said.tree, /files\/(?:new|made)/);
      }
    });
  }

  test('a shell, a command, a terminal, another subsystem: sftp or nothing', async () => {
    makeRoot(alice);
    for (const [args, command] of [
      [[], ['id']],
      [[], []],
      [['-tt'], ['id']],
      [[], ['internal-sftp']],
      [[], ['/usr/lib/openssh/sftp-server']],
      [['-s'], ['unknown']],
    ] as const) {
      const options = { key, args };
      const theirs = await ssh(servers.theirs, options, ...command);
      const ours = await ssh(servers.ours, options, ...command);
      const what = [...args, ...command].join(' ');
      // With -e sshd's line of the log goes to the terminal too.
      const printed = theirs.text.replace(/^Connection from .*\r\r\n/, '');
      assert.deepEqual([ours.status, ours.text], [theirs.status, printed], what);
      assert.notEqual(ours.status, 0, what);
      if (!args.includes('-s' as never)) {
        assert.match(ours.text, /^This service allows sftp connections only\.\r?\n$/, what);
      }
    }
    for (const server of [servers.theirs, servers.ours]) {
      await server.logged(
        /Starting session: forced-command \(config\) 'internal-sftp' (?:on pts\/\d+ )?for alice from 127\.0\.0\.1 port \d+ id \d/,
      );
    }
    await servers.ours.logged(/Connection from user alice 127.* refusing non-sftp session/);
    // Whichever subsystem is asked for of those that there are, sftp is what there is.
    const said = await copy(
      'sftp',
      servers.ours,
      { key, args: ['-s', 'say', '-b', '-'], input: 'pwd\n' },
      'alice@127.0.0.1',
    );
    assert.equal(said.status, 0, said.stderr);
  });

  test('scp by sftp there and back; the old protocol is no sftp', async () => {
    makeRoot(alice);
    const content = randomBytes(3_000_000);
    writeFileSync('/tmp/large', content);
    const up = await copy('scp', servers.ours, { key }, '/tmp/large', remote('/files/large'));
    assert.equal(up.status, 0, up.stderr);
    const down = await copy('scp', servers.ours, { key }, remote('/files/large'), '/tmp/back');
    assert.equal(down.status, 0, down.stderr);
    assert.ok(readFileSync('/tmp/back').equals(content));
    assert.ok(readFileSync(`${sftpRoots}/alice/files/large`).equals(content));
    for (const server of [servers.theirs, servers.ours]) {
      const old = await copy('scp', server, { key, args: ['-O'] }, '/tmp/sent', remote('/files/x'));
      assert.notEqual(old.status, 0, server.kind);
    }
  });

  test('internal-sftp without a ChrootDirectory: by the subsystem, and by a key that may only read', async () => {
    const plain = userOf('plain');
    for (const server of [servers.theirs, servers.ours]) {
      const open = await sftp(server, plain, key, [
        'pwd',
        'put /tmp/sent mine',
        'ls mine',
        'rm mine',
      ]);
      assert.equal(open.status, 0, open.stderr);
      assert.match(open.text, /Remote working directory: \/home\/plain\n/);
      const bound = await sftp(server, plain, keyed, [
        '-put /tmp/sent mine',
        'get /etc/hostname /tmp/name',
      ]);
      assert.equal(bound.status, 0, bound.stderr);
      assert.match(bound.stderr, /Permission denied/);
      const other = await ssh(server, { user: 'plain', key: keyed }, 'id');
      assert.deepEqual(
        [other.status, other.text],
        [1, 'This service allows sftp connections only.\n'],
      );
    }
  });

  test('sshfs: writes, renames, cuts and links inside', { skip: fuseIsMissing() }, async () => {
    makeRoot(alice);
    mkdirSync('/tmp/mounted', { recursive: true });
    run('sshfs', [
      ...[
        'alice@127.0.0.1:/files',
        '/tmp/mounted',
        '-p',
        String(servers.ours.port),
        '-F',
        '/dev/null',
      ],
      ...['-o', `UserKnownHostsFile=${servers.ours.knownHosts},IdentityFile=${key.file}`],
      ...['-o', 'StrictHostKeyChecking=yes,IdentitiesOnly=yes,BatchMode=yes'],
    ]);
    const content = randomBytes(2_000_000);
    try {
      writeFileSync('/tmp/mounted/one', content);
      renameSync('/tmp/mounted/one', '/tmp/mounted/two');
      run('ln', ['-s', 'two', '/tmp/mounted/three']);
      run('ln', ['-s', '/etc/passwd', '/tmp/mounted/four']);
      assert.ok(readFileSync('/tmp/mounted/three').equals(content));
      assert.match(run('df', ['--output=fstype', '/tmp/mounted']), /fuse\.sshfs/);
    } finally {
      run('umount', ['/tmp/mounted']);
    }
    assert.ok(readFileSync(`${sftpRoots}/alice/files/two`).equals(content));
  });

  test('2,000 files, there and back', async () => {
    makeRoot(alice);
    mkdirSync('/tmp/many');
    for (let at = 0; at < 2000; at++) {
      writeFileSync(`/tmp/many/${at}`, `file ${at}\n`);
    }
    const batch = ['put -r /tmp/many files', 'get -r files/many /tmp/again'];
    const done = await sftp(servers.ours, alice, key, batch);
    assert.equal(done.status, 0, done.stderr);
    assert.equal(run('diff', ['-r', '/tmp/many', '/tmp/again']), '');
    assert.equal(run('diff', ['-r', '/tmp/many', `${sftpRoots}/alice/files/many`]), '');
  });

  test('without sftp-server -t and the start say which line and what to do', async () => {
    const file = '/tmp/wants-sftp';
    const lines = ['Subsystem sftp internal-sftp', 'Match User x', 'ForceCommand internal-sftp -R'];
    writeFileSync(file, `${lines.join('\n')}\n`);
    const hidden = 'mount -t tmpfs tmpfs /usr/lib/openssh && exec ./sshdesk serve "$@"';
    for (const flags of [['-t'], ['-D', '-e', '-p', '2299']]) {
      const args = ['--mount', 'bash', '-c', hidden, 'bash', ...flags, '-f', file];
      const { code, stderr } = await finish('unshare', args, { cwd: checkout });
      assert.equal(code, 255, flags[0]);
      const needs =
        'internal-sftp needs /usr/lib/openssh/sftp-server, which is not there: install the package openssh-sftp-server';
      assert.ok(stderr.includes(`${file}:1: Subsystem: ${needs}`), stderr);
      assert.ok(stderr.includes(`${file}:3: ForceCommand: ${needs}`), stderr);
    }
  });

  test('two users see each their own', async () => {
    const bob = userOf('bob');
    makeRoot(alice);
    makeRoot(bob);
    await sftp(servers.ours, alice, key, ['put /tmp/sent files/of-alice']);
    const { text } = await sftp(servers.ours, bob, key, ['ls files', 'ls /']);
    assert.doesNotMatch(text, /of-alice/);
  });
});
