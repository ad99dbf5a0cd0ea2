/**
 * ChrootDirectory: which directories will do, and what a login in one sees and reaches, compared with
 * Debian's sshd where that has the same. Runs in: test, as root, in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { BothServers } from '../support/both-servers.ts';
import { Child, eventually } from '../support/child.ts';
import { inLab, type LabUser, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import {
  allProcesses,
  freePort,
  rootless,
  startServer,
  type TestServer,
} from '../support/server.ts';
import { makeJail, makeRoot, put, sftp, sftpRoots } from '../support/sftp-only.ts';
import { type ClientOutcome, spawnClient, ssh, sshArguments } from '../support/stock-client.ts';
import { firstRoundTrip, roundTrip, startTunnel } from '../support/tunnel.ts';
import { weaken } from '../support/weakened.ts';

const lab = inLab(import.meta.url, 240_000);

function echoOn(path: string): Promise<Server> {
  const server = createServer((socket) => socket.pipe(socket));
  return new Promise((resolve) => server.listen(path, () => resolve(server)));
}

describe('ChrootDirectory', lab, () => {
  let servers: BothServers;
  let key: TestKey;
  let alice: LabUser;
  let boxed: LabUser;
  let jail: string;

  before(async () => {
    key = makeKey('ed25519');
    const authorizedKeys = [key.line];
    alice = makeUser('alice', { authorizedKeys, shell: '/bin/none' });
    boxed = makeUser('boxed', { authorizedKeys, shell: '/bin/sh' });
    makeUser('homely', { authorizedKeys });
    makeUser('linked', { authorizedKeys });
    makeUser('whole', { authorizedKeys });
    makeUser('forced', { authorizedKeys, shell: '/bin/sh' });
    jail = makeJail(boxed);
    servers = await BothServers.start([
      ...['UsePAM yes', 'LogLevel VERBOSE', 'Subsystem sftp internal-sftp', 'X11Forwarding yes'],
      ...['PermitUserEnvironment yes'],
      ...['Match User alice', `  ChrootDirectory ${sftpRoots}/%u`],
      ...['Match User boxed', '  ChrootDirectory /var/jail/%u'],
      ...['Match User forced', '  ChrootDirectory /var/jail/boxed', '  PermitTTY no'],
      '  ForceCommand echo "asked: $SSH_ORIGINAL_COMMAND"; pwd; ls /; test -t 0',
      ...['Match User homely', '  ChrootDirectory %h', '  ForceCommand internal-sftp'],
      ...['Match User linked', '  ChrootDirectory /var/link/in', '  ForceCommand internal-sftp'],
      ...['Match User whole', '  ChrootDirectory /', '  ForceCommand internal-sftp'],
    ]);
  });
  after(async () => await servers?.[Symbol.asyncDispose]());

  /** The line of the log that ends a login of `user`. */
  const refusal = async (server: TestServer, user: string): Promise<string> => {
    const from = server.log().length;
    const outcome = await ssh(server, { user, key, args: ['-s'] }, 'sftp');
    assert.notEqual(outcome.status, 0, `${server.kind} let ${user} in`);
    assert.equal(outcome.text, '');
    const why = /^(?:fatal: )?(.*chroot.*|.*stat\(.*)$/m;
    await eventually('the reason is in the log', () => why.test(server.log().slice(from)));
    return why.exec(server.log().slice(from))?.[1] ?? '';
  };

  const root = `${sftpRoots}/alice`;
  for (const [name, spoil, words] of [
    ['a component that its group can write', () => chmodSync(sftpRoots, 0o775), 'component '],
    ['a component that others can write', () => chmodSync(sftpRoots, 0o757), 'component '],
    ['a component of another', () => chownSync(sftpRoots, 12, 0), 'component '],
    ['the directory is the user’s own', () => chownSync(root, alice.uid, alice.gid), ''],
    ['the directory can be written by its group', () => chmodSync(root, 0o775), ''],
    ['the directory can be written by others', () => chmodSync(root, 0o1777), ''],
    ['there is no such directory', () => rmSync(root, { recursive: true }), undefined],
    [
      'it is a file',
      () => {
        rmSync(root, { recursive: true });
        put(root, '');
      },
      undefined,
    ],
    [
      'a component is a file',
      () => {
        rmSync(sftpRoots, { recursive: true });
        put(sftpRoots, '');
      },
      undefined,
    ],
  ] as const) {
    test(`no login: ${name}`, async () => {
      makeRoot(alice);
      try {
        spoil();
        const theirs = await refusal(servers.theirs, 'alice');
        const ours = await refusal(servers.ours, 'alice');
        assert.equal(ours, theirs);
        if (words !== undefined) {
          const which = words === '' ? root : `${sftpRoots}/`;
          assert.equal(ours, `bad ownership or modes for chroot directory ${words}"${which}"`);
        }
        await eventually('the leader has gone', () =>
          allProcesses().every(({ title }) => !title.includes('leader alice')),
        );
      } finally {
        rmSync(sftpRoots, { recursive: true, force: true });
      }
    });
  }

  test('a home of one’s own is no ChrootDirectory; one of root’s is', async () => {
    assert.equal(await refusal(servers.ours, 'homely'), await refusal(servers.theirs, 'homely'));
    chownSync('/home/homely', 0, 0);
    const homely = run('id', ['-u', 'homely']).trim();
    mkdirSync('/home/homely/mine');
    chownSync('/home/homely/mine', Number(homely), 0);
    const user = { ...alice, name: 'homely' };
    const done = await sftp(servers.ours, user, key, ['pwd', 'put /etc/hostname mine/x', 'ls /']);
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.text, /working directory: \/\n[^]*\/mine/);
  });

  test('behind a link every directory is judged too, where sshd judges the last alone', async () => {
    mkdirSync('/var/far/in', { recursive: true });
    symlinkSync('far', '/var/link');
    const user = { ...alice, name: 'linked' };
    assert.equal((await sftp(servers.ours, user, key, ['ls /'])).status, 0);
    rmSync('/var/link');
    mkdirSync('/var/loose/far/in', { recursive: true });
    chmodSync('/var/loose', 0o777);
    symlinkSync('/var/loose/far', '/var/link');
    assert.equal((await sftp(servers.theirs, user, key, ['ls /'])).status, 0);
    assert.equal(
      await refusal(servers.ours, 'linked'),
      'bad ownership or modes for chroot directory component "/var/loose/"',
    );
    rmSync('/var/link');
    symlinkSync('link', '/var/link');
    assert.match(await refusal(servers.ours, 'linked'), /Too many levels of symbolic links/);
  });

  /** Asked of both; what they print has to be the same. */
  const asBoxed = async (
    args: readonly string[],
    ...command: readonly string[]
  ): Promise<ClientOutcome> => {
    // Without a command the shell reads its commands.
    const input = command.length === 0 ? 'pwd; ls /; exit 3\n' : '';
    const options = { user: 'boxed', key, args, input };
    const theirs = await ssh(servers.theirs, options, ...command);
    const ours = await ssh(servers.ours, options, ...command);
    const what = [...args, ...command].join(' ');
    assert.deepEqual(
      [ours.status, ours.text, ours.stderr],
      [theirs.status, theirs.text, theirs.stderr],
      what,
    );
    return ours;
  };

  test('shell, command and terminal are those inside, from the home inside on', async () => {
    const { text } = await asBoxed([], 'pwd; ls /; echo $0 $HOME $SHELL $USER; ls /home/*');
    assert.match(text, /^\/home\/boxed\nbin\netc\nhome\ntmp\n/);
    assert.equal((await asBoxed([])).status, 3);
    const terminal = await asBoxed(['-tt'], 'test -n "$SSH_TTY" && echo there; echo $TERM | cat');
    assert.match(terminal.text, /there/);
    await asBoxed([], 'cat /etc/passwd; ls /proc /dev; exit 5');
    await asBoxed([], 'ls -l /bin/busybox >/dev/null; echo err >&2; kill -9 $$');
    renameSync(`${jail}/home`, `${jail}/elsewhere`);
    assert.match((await asBoxed([], 'pwd')).text, /^\/\n$/, 'and nothing is said');
    renameSync(`${jail}/elsewhere`, `${jail}/home`);
  });

  test('rc files and ~/.ssh/environment are those inside', async () => {
    writeFileSync('/etc/ssh/sshrc', 'echo outside\n');
    writeFileSync('/home/boxed/.ssh/rc', 'echo outside\n');
    writeFileSync('/home/boxed/.ssh/environment', 'WHERE=outside\n');
    assert.equal((await asBoxed([], 'echo $WHERE')).text, '\n');
    writeFileSync(`${jail}/etc/ssh/sshrc`, 'echo inside\n');
    put(`${jail}/home/boxed/.ssh/environment`, 'WHERE=inside\n', boxed);
    assert.equal((await asBoxed([], 'echo $WHERE')).text, 'inside\ninside\n');
    put(`${jail}/home/boxed/.ssh/rc`, 'echo mine\n', boxed);
    assert.equal((await asBoxed([], 'echo $WHERE')).text, 'mine\ninside\n');
    rmSync(`${jail}/etc/ssh/sshrc`);
    rmSync(`${jail}/home/boxed/.ssh/rc`);
    rmSync('/etc/ssh/sshrc');
  });

  test('a forced command runs inside and reads what was asked for', async () => {
    for (const [args, command] of [
      [[], ['what was asked']],
      [['-s'], ['sftp']],
      [['-tt'], ['x y']],
      [[], []],
    ] as const) {
      const options = { user: 'forced', key, args };
      const theirs = await ssh(servers.theirs, options, ...command);
      const ours = await ssh(servers.ours, options, ...command);
      assert.deepEqual([ours.status, ours.text], [theirs.status, theirs.text], command.join(' '));
      // Without the terminal that it insists on ssh gives up.
      assert.match(ours.text, args.includes('-tt' as never) ? /^$/ : /^asked:.*\n\/\nbin\n/);
    }
  });

  test('no shell inside: the user reads it, exit 1', async () => {
    makeRoot(alice);
    for (const server of [servers.theirs, servers.ours]) {
      const outcome = await ssh(server, { key }, 'id');
      assert.deepEqual(
        [outcome.status, outcome.stderr.split('\n').at(-2)],
        [1, '/bin/none: No such file or directory'],
        server.kind,
      );
    }
  });

  test('Unix sockets are reached and made inside, never outside', async () => {
    const outside = await echoOn('/tmp/outside.sock');
    const inside = await echoOn(`${jail}/tmp/inside.sock`);
    chmodSync('/tmp/outside.sock', 0o777);
    chmodSync(`${jail}/tmp/inside.sock`, 0o777);
    try {
      for (const server of [servers.theirs, servers.ours]) {
        const ports = [await freePort(), await freePort()] as const;
        const args = [
          ...['-L', `127.0.0.1:${ports[0]}:/tmp/inside.sock`],
          ...['-L', `127.0.0.1:${ports[1]}:/tmp/outside.sock`],
          ...['-R', `/tmp/made-${server.kind}.sock:127.0.0.1:${ports[0]}`],
        ];
        const tunnel = startTunnel(server, { user: 'boxed', key, args });
        await using _end = tunnel;
        const said = await firstRoundTrip({ host: '127.0.0.1', port: ports[0] }, 'in');
        assert.equal(said.toString(), 'in', server.kind);
        const refused = await roundTrip({ host: '127.0.0.1', port: ports[1] }, 'out').catch(
          () => '',
        );
        assert.equal(refused.toString(), '', server.kind);
        await eventually('the socket is inside', () =>
          existsSync(`${jail}/tmp/made-${server.kind}.sock`),
        );
        assert.ok(!existsSync(`/tmp/made-${server.kind}.sock`));
      }
      await eventually(
        'ours goes with its login',
        () => !existsSync(`${jail}/tmp/made-sshdesk.sock`),
      );
    } finally {
      outside.close();
      inside.close();
    }
  });

  test('the socket of a forwarded agent is made, and removed, inside', async () => {
    const agent = new Child('ssh-agent', ['-D', '-a', '/tmp/agent.sock']);
    await using _end = agent;
    await eventually('the agent listens', () => existsSync('/tmp/agent.sock'));
    const environment = { SSH_AUTH_SOCK: '/tmp/agent.sock' };
    const options = { user: 'boxed', key, args: ['-A'], environment };
    const { text } = await ssh(servers.ours, options, 'echo $SSH_AUTH_SOCK; ls -l $SSH_AUTH_SOCK');
    const [path = '', listed = ''] = text.split('\n');
    assert.match(path, /^\/tmp\/ssh-/);
    assert.match(listed, /^s/);
    assert.ok(!existsSync(path));
    await eventually('it is gone', () => !existsSync(`${jail}${path}`));
  });

  test('TCP goes on, with the names that the machine knows', async () => {
    const echo = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => void echo.listen(0, '127.0.0.1', resolve));
    const { port } = echo.address() as { port: number };
    try {
      const near = await freePort();
      const args = ['-L', `127.0.0.1:${near}:host.lab.test:${port}`];
      await using _tunnel = startTunnel(servers.ours, { user: 'boxed', key, args });
      assert.equal((await firstRoundTrip({ host: '127.0.0.1', port: near }, 'x')).toString(), 'x');
    } finally {
      echo.close();
    }
  });

  test('no desktop, by any way', async () => {
    makeRoot(alice);
    for (const user of ['boxed', 'alice', 'whole']) {
      for (const name of ['rfb', 'display']) {
        const asked = await ssh(servers.ours, { user, key, args: ['-s'] }, name);
        assert.notEqual(asked.status, 0, `${user} ${name}`);
        const said = user === 'whole' ? 'This service allows sftp connections only.\n' : '';
        assert.equal(asked.text, said);
      }
      const direct = await ssh(servers.ours, { user, key, args: ['-W', 'rfb.sshdesk:5900'] });
      assert.notEqual(direct.status, 0, user);
    }
    await servers.ours.logged(/rfb: ChrootDirectory is in effect/);
    await servers.ours.logged(/refused rfb\.sshdesk: ChrootDirectory is in effect/);
    // With `/` for a root, the place of desktops' sockets is inside.
    const place = '/run/sshdesk/desktops/trial.sock';
    const trial = await echoOn(place);
    chmodSync(place, 0o777);
    try {
      const port = await freePort();
      const args = ['-L', `127.0.0.1:${port}:${place}`, '-L', `127.0.0.1:${await freePort()}:/x`];
      await using _tunnel = startTunnel(servers.ours, { user: 'whole', key, args });
      const got = await firstRoundTrip({ host: '127.0.0.1', port }, 'x').catch(() => '');
      assert.equal(got.toString(), '');
    } finally {
      trial.close();
    }
  });

  test('sftp-server inside has no way, no capability and no descriptor to the outside', async () => {
    makeRoot(alice);
    const args = sshArguments(servers.ours, { key, args: ['-s'] }, 'sftp');
    const client = spawnClient('ssh', args);
    try {
      const pid = await eventually('it runs and is inside', () => {
        const found = allProcesses().find(({ title }) => title.startsWith('internal-sftp'));
        if (found === undefined) return undefined;
        const inside = run('readlink', [`/proc/${found.pid}/root`]).trim();
        return inside === root ? found.pid : undefined;
      });
      assert.equal(run('readlink', [`/proc/${pid}/cwd`]).trim(), root);
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
        assert.match(status, new RegExp(`^${name}:\\s+0+$`, 'm'));
      }
      assert.match(status, /^NoNewPrivs:\s+1$/m);
      assert.match(status, new RegExp(`^Uid:${`\\s+${alice.uid}`.repeat(4)}$`, 'm'));
      assert.match(status, new RegExp(`^Gid:${`\\s+${alice.gid}`.repeat(4)}$`, 'm'));
      const held = run('ls', ['-l', `/proc/${pid}/fd`])
        .split('\n')
        .slice(1, -1);
      const beyond = held.filter(
        (line) => !/ [012] -> pipe:/.test(line) && !/-> socket:/.test(line),
      );
      assert.deepEqual(beyond, []);
      const names = readFileSync(`/proc/${pid}/environ`, 'utf8')
        .split('\0')
        .map((entry) => entry.split('=')[0]);
      assert.ok(!names.includes('SSH_AUTH_SOCK') && names.includes('SSH_CONNECTION'));
      for (const { pid: other, title } of allProcesses()) {
        if (other !== pid && !title.startsWith('ssh ')) {
          const environment = readFileSync(`/proc/${other}/environ`, 'latin1');
          assert.doesNotMatch(environment, /LD_PRELOAD/, title);
        }
      }
    } finally {
      client.kill();
    }
  });

  test('nor has a shell inside a descriptor of what is outside', async () => {
    const command = ['exec', 'sleep', '31.5'];
    const client = spawnClient(
      'ssh',
      sshArguments(servers.ours, { user: 'boxed', key }, ...command),
    );
    try {
      const pid = await eventually(
        'it runs',
        () => allProcesses().find(({ title }) => title === 'sleep 31.5')?.pid,
      );
      assert.equal(run('readlink', [`/proc/${pid}/root`]).trim(), jail);
      assert.equal(run('readlink', [`/proc/${pid}/cwd`]).trim(), `${jail}/home/boxed`);
      const held = run('ls', ['-l', `/proc/${pid}/fd`])
        .split('\n')
        .slice(1, -1);
      assert.deepEqual(
        held.map((line) => / (\d+) -> (\w+):/.exec(line)?.slice(1).join(' ')),
        [...['0 pipe', '1 pipe', '2 pipe']],
      );
    } finally {
      client.kill();
    }
  });

  test('what is done with files is logged by the machine’s syslog, which is not inside', async () => {
    makeRoot(alice);
    // A /dev of the server's own: the lab's is the machine's.
    const ownDev =
      'cp -a /dev /tmp/dev && rm -f /tmp/dev/log && mount --rbind /tmp/dev /dev && exec "$@"';
    const reader = new Child('perl', [
      '-e',
      `use Socket; socket(S, PF_UNIX, SOCK_DGRAM, 0) or die; $| = 1;
       bind(S, pack_sockaddr_un($ARGV[0])) or die $!; chmod 0666, $ARGV[0]; print "ready\\n";
       while (defined recv(S, my $line, 65536, 0)) { print "$line\\n"; }`,
      '/tmp/syslog.sock',
    ]);
    await using _end = reader;
    await eventually('it reads', () => reader.stdout.includes('ready'));
    await using server = await startServer({
      kind: 'sshdesk',
      wrapper: ['unshare', '--mount', 'bash', '-c', `${ownDev}`, 'bash'],
      config: [
        ...['UsePAM yes', 'Subsystem sftp internal-sftp -l INFO -f LOCAL3'],
        ...['Match User alice', `ChrootDirectory ${sftpRoots}/%u`],
      ],
    });
    symlinkSync('/tmp/syslog.sock', '/tmp/dev/log');
    assert.equal((await sftp(server, alice, key, ['put /etc/hostname files/x'])).status, 0);
    const severity = (19 << 3) | 6;
    for (const line of [
      'session opened for local user alice from \\[127\\.0\\.0\\.1\\]',
      'close "/files/x" bytes read 0 written \\d+',
      'session closed for local user alice from \\[127\\.0\\.0\\.1\\]',
    ]) {
      const pattern = new RegExp(`^<${severity}>.{15} internal-sftp\\[\\d+\\]: ${line}`, 'm');
      await eventually(line, () => pattern.test(reader.stdout.replaceAll('\0', ''))).catch(
        (error: unknown) => {
          throw new Error(`${String(error)}\n${reader.stdout}`);
        },
      );
    }
  });

  test('without root there is none: the login ends, and the log says why', async () => {
    const user = alice;
    const copy = { ...rootless(user) };
    await using server = await startServer({
      ...copy,
      kind: 'sshdesk',
      config: ['UsePAM no', 'StrictModes no', 'ChrootDirectory /'],
      flags: ['-o', 'PidFile=none'],
    });
    const outcome = await ssh(server, { key }, 'echo in');
    assert.notEqual(outcome.status, 0);
    assert.equal(outcome.text, '');
    await server.logged(/server lacks privileges to chroot to ChrootDirectory/);
  });

  test('what a user may set does not reach internal-sftp', async () => {
    makeRoot(alice);
    put('/home/alice/.ssh/environment', 'LD_PRELOAD=/tmp/x\nHOME=/files\nUSER=root\n', alice);
    mkdirSync(`${root}/etc`);
    const { text, status } = await sftp(servers.ours, alice, key, ['pwd']);
    assert.deepEqual([status, text.includes('working directory: /\n')], [0, true], text);
    rmSync('/home/alice/.ssh/environment');
  });

  test('where the object is not loaded nothing is served: not inside, and not outside', async () => {
    makeRoot(alice);
    for (const [name, spoil] of [
      ['is missing', (object: string) => rmSync(object)],
      ['is no object', (object: string) => writeFileSync(object, 'text')],
      [
        'is another one',
        (object: string) => writeFileSync(object, readFileSync('/lib/x86_64-linux-gnu/libz.so.1')),
      ],
    ] as const) {
      const copy = weaken([]);
      const object = `${copy}/build/Release/sshdesk-enter-root.so`;
      assert.ok(existsSync(object));
      rmSync(object.replace('enter-root', 'none'), { force: true });
      spoil(object);
      await using server = await startServer({
        root: copy,
        kind: 'sshdesk',
        config: [
          ...['UsePAM yes', 'Subsystem sftp internal-sftp'],
          ...['Match User alice', `ChrootDirectory ${sftpRoots}/%u`],
        ],
      });
      const { status, text } = await sftp(server, alice, key, [
        'ls /',
        'get /etc/passwd /tmp/never',
      ]);
      assert.notEqual(status, 0, name);
      assert.doesNotMatch(text, /etc|files/, name);
      if (name === 'is missing') {
        await server.logged(/cannot start \/usr\/lib\/openssh\/sftp-server for alice: /);
      }
      assert.ok(!existsSync('/tmp/never'), name);
      rmSync(copy, { recursive: true });
    }
  });

  test('a directory that is put in the place of the judged one is not entered', async () => {
    makeRoot(alice);
    const from = servers.ours.log().length;
    const args = ['-M', '-N', '-S', '/tmp/master', '-o', 'ControlPersist=no'];
    const master = spawnClient('ssh', sshArguments(servers.ours, { key, args }));
    try {
      await eventually('the master is in', () => existsSync('/tmp/master'));
      const judged = 'Changed root directory to "/var/sftp/alice"';
      await eventually('it is judged', () => servers.ours.log().slice(from).includes(judged));
      renameSync(root, `${root}.judged`);
      mkdirSync(`${root}/other`, { recursive: true, mode: 0o777 });
      chmodSync(root, 0o777);
      const child = spawnClient('sftp', [
        ...['-o', 'ControlPath=/tmp/master', '-b', '-', 'alice@127.0.0.1'],
      ]);
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      child.stdin.end('ls /\n');
      await new Promise((resolve) => child.once('close', resolve));
      assert.match(text, /\/files/);
      assert.doesNotMatch(text, /other/);
    } finally {
      master.kill();
    }
  });
});
