/**
 * What clients do that leaves lines in the log, good and bad: one row each, for sshdesk and Debian's
 * sshd alike. Every row ends with its connection closed. Runs in: test, in the lab.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { certify, type TestCertificate } from './certificates.ts';
import { FactorClient } from './factors.ts';
import { makeKey, makeUser, type TestKey, writePamService } from './lab.ts';
import { byte, makeRawKey, no, payload, type RawKey, RawSsh, str, u32, yes } from './raw-ssh.ts';
import type { TestServer } from './server.ts';
import { copy, ssh } from './stock-client.ts';

export interface LogStage {
  readonly key: TestKey;
  readonly rsa: TestKey;
  readonly stranger: TestKey;
  readonly raw: RawKey;
  readonly certificate: TestCertificate;
  readonly expired: TestCertificate;
  readonly nobodys: TestCertificate;
  /** Of an authority that nobody trusts. */
  readonly foreign: TestCertificate;
  readonly config: readonly string[];
}

export type Attempt = (server: TestServer, stage: LogStage) => Promise<unknown>;

const password = 'correct horse';

/** Accounts, keys and PAM stack; the attempts need all of them. */
export function makeLogStage(): LogStage {
  const key = makeKey('ed25519');
  const rsa = makeKey('rsa', 2048);
  const raw = makeRawKey();
  const authority = makeKey('ed25519');
  const authorizedKeys = [key.line, rsa.line, raw.line];
  for (const name of ['alice', 'denied', 'partial', 'forced', 'tight', 'noaccount', 'keyed']) {
    const lines =
      name === 'keyed'
        ? [`command="echo by key",from="127.0.0.0/8" ${key.line}`, `from="192.0.2.1" ${rsa.line}`]
        : authorizedKeys;
    makeUser(name, { password, authorizedKeys: lines });
  }
  makeUser('shelless', { password, authorizedKeys, shell: '/nonexistent/shell' });
  execFileSync('groupadd', ['blocked']);
  makeUser('grouped', { password, authorizedKeys, groups: ['blocked'] });
  makeUser('loose', { password, authorizedKeys });
  execFileSync('chmod', ['777', '/home/loose/.ssh']);
  execFileSync('install', ['-d', '-m', '700', '/root/.ssh']);
  writeFileSync('/root/.ssh/authorized_keys', `${key.line}\n`, { mode: 0o600 });
  execFileSync('chpasswd', [], { input: `root:${password}\n` });
  writePamService('sshd', [
    'auth required pam_unix.so nodelay',
    'account requisite pam_succeed_if.so quiet user != noaccount',
    'account required pam_unix.so',
    'session required pam_permit.so',
    'password required pam_deny.so',
  ]);
  writeFileSync('/etc/ssh/trusted_ca.pub', `${authority.line}\n`);
  return {
    key,
    rsa,
    raw,
    stranger: makeKey('ed25519'),
    certificate: certify(authority, makeKey('ed25519'), {
      id: 'alice at work',
      principals: 'alice',
      serial: 7,
    }),
    expired: certify(authority, makeKey('ed25519'), {
      id: 'old',
      principals: 'alice',
      validity: '20200101:20200102',
    }),
    nobodys: certify(authority, makeKey('ed25519'), { id: 'none', principals: 'someone' }),
    foreign: certify(makeKey('ed25519'), makeKey('ed25519'), { id: 'x', principals: 'alice' }),
    config: [
      ...['UsePAM yes', 'LogLevel VERBOSE', 'PasswordAuthentication yes'],
      ...['KbdInteractiveAuthentication yes', 'PermitRootLogin prohibit-password'],
      ...['MaxAuthTries 4', 'MaxStartups 100', 'DenyUsers denied', 'DenyGroups blocked'],
      ...['TrustedUserCAKeys /etc/ssh/trusted_ca.pub', 'X11Forwarding yes'],
      ...['Subsystem sftp /usr/lib/openssh/sftp-server', 'PermitOpen 127.0.0.1:1'],
      ...['Match User partial', 'AuthenticationMethods publickey,password'],
      ...['Match User forced', 'ForceCommand echo forced'],
      ...['Match User tight', 'AllowTcpForwarding no', 'AllowStreamLocalForwarding no'],
      ...['PermitTTY no', 'X11Forwarding no', 'AllowAgentForwarding no'],
    ],
  };
}

/** Bytes as they are, then what the server says, until it closes; `resets`: we close with a RST. */
async function plain(port: number, bytes: string | Buffer, resets = false): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject).once('close', () => resolve());
    socket.on('data', () => {
      if (resets) {
        socket.resetAndDestroy();
      }
    });
    socket.once('connect', () => {
      if (!resets) {
        socket.end(bytes);
      }
    });
  }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') {
      throw error;
    }
  });
}

/** Until the server has closed; what it says is not looked at. */
async function closed(raw: RawSsh): Promise<void> {
  for (let count = 0; count < 100; count++) {
    if ((await raw.next()) === undefined) {
      return;
    }
  }
}

async function disconnecting(raw: RawSsh, reason: number, text: string | Buffer): Promise<void> {
  raw.send(payload(1, u32(reason), str(text), str('')));
  await closed(raw);
}

const userauth = (user: string | Buffer, method: string, ...fields: readonly Buffer[]): Buffer =>
  payload(50, str(user), str('ssh-connection'), str(method), ...fields);

/** Tries of a user that are all refused; then the client says good-bye. */
async function refusedTries(
  server: TestServer,
  user: string | Buffer,
  ...methods: readonly (readonly [string, ...Buffer[]])[]
): Promise<void> {
  using raw = await RawSsh.shaken(server.port);
  await raw.requestUserauth();
  for (const [method, ...fields] of methods) {
    raw.send(userauth(user, method, ...fields));
    await raw.nextOf(51);
  }
  await disconnecting(raw, 11, 'bye');
}

const wrong = ['password', no, str('wrong')] as const;

async function withChannel(
  server: TestServer,
  stage: LogStage,
  user: string,
  act: (raw: RawSsh) => Promise<void>,
): Promise<void> {
  using raw = await RawSsh.loggedIn(server.port, user, stage.raw);
  await act(raw);
  await disconnecting(raw, 11, 'disconnected by user');
}

/** A global or channel request that is refused: its answer is waited for. */
async function refusedOpen(raw: RawSsh, type: string, ...fields: readonly Buffer[]): Promise<void> {
  raw.send(payload(90, str(type), u32(9), u32(65_536), u32(32_768), ...fields));
  await raw.nextOf(92);
}

export const attempts: Readonly<Record<string, Attempt>> = {
  'a key and a command': (server, { key }) => ssh(server, { key }, 'true'),
  'an RSA key': (server, { rsa }) => ssh(server, { key: rsa }, 'true'),
  'a shell on a terminal': (server, { key }) =>
    ssh(server, { key, args: ['-tt'], input: 'exit\n' }),
  'a shell without': (server, { key }) => ssh(server, { key, input: 'exit\n' }),
  sftp: (server, { key }) => copy('sftp', server, { key, input: 'pwd\n' }, 'alice@127.0.0.1'),
  'a subsystem that is not there': (server, { key }) =>
    ssh(server, { key, args: ['-s'] }, 'nothing'),
  'a forced command': (server, { key }) => ssh(server, { key, user: 'forced' }, 'id'),
  'a forced command in place of a shell': (server, { key }) =>
    ssh(server, { key, user: 'forced', args: ['-tt'] }),
  'a forced command in place of sftp': (server, { key }) =>
    ssh(server, { key, user: 'forced', args: ['-s'] }, 'sftp'),
  'the command of a key': (server, { key }) => ssh(server, { key, user: 'keyed' }, 'id'),
  'a key from elsewhere': (server, { rsa }) => ssh(server, { key: rsa, user: 'keyed' }, 'id'),
  'a wrong key': (server, { stranger }) => ssh(server, { key: stranger }, 'true'),
  'a certificate': (server, { certificate }) => ssh(server, { key: certificate }, 'true'),
  'a certificate that has expired': (server, { expired }) => ssh(server, { key: expired }, 'true'),
  'a certificate for others': (server, { nobodys }) => ssh(server, { key: nobodys }, 'true'),
  'a certificate of a stranger': (server, { foreign }) => ssh(server, { key: foreign }, 'true'),
  'the right password': async (server) => {
    using client = await FactorClient.open(server.port, 'alice');
    await client.password(password);
    await disconnecting(client.raw, 11, 'bye');
  },
  'wrong passwords': (server) => refusedTries(server, 'alice', wrong, wrong),
  'too many wrong passwords': async (server) => {
    using client = await FactorClient.open(server.port, 'alice');
    // pam_unix has enough after three, and nobody is asked any more.
    for (let tries = 0; tries < 4; tries++) {
      await client.password('wrong');
    }
    await closed(client.raw);
  },
  'too many passwords of nobody': async (server) => {
    using client = await FactorClient.open(server.port, 'nobody-here');
    for (let tries = 0; tries < 4; tries++) {
      await client.password('wrong');
    }
    await closed(client.raw);
  },
  'none, then good-bye': (server) => refusedTries(server, 'alice', ['none']),
  'none of nobody': (server) => refusedTries(server, 'nobody-here', ['none']),
  'a password of nobody': (server) => refusedTries(server, 'nobody-here', wrong),
  'a key of nobody': (server, { key }) => ssh(server, { key, user: 'nobody-here' }, 'true'),
  'keyboard-interactive, right': async (server) => {
    using client = await FactorClient.open(server.port, 'alice');
    await client.keyboard([password]);
    await disconnecting(client.raw, 11, 'bye');
  },
  'keyboard-interactive, wrong': async (server) => {
    using client = await FactorClient.open(server.port, 'alice');
    await client.keyboard(['wrong']);
    await disconnecting(client.raw, 11, 'bye');
  },
  'keyboard-interactive of nobody': async (server) => {
    using client = await FactorClient.open(server.port, 'nobody-here');
    await client.keyboard(['wrong']);
    await disconnecting(client.raw, 11, 'bye');
  },
  'a name with a space': (server) => refusedTries(server, 'no body', wrong),
  'a name like a line': (server) => refusedTries(server, 'x from 192.0.2.66 port 1 ssh2', wrong),
  'a name with format strings': (server) => refusedTries(server, '%n%s%100000d', wrong),
  'a name of 5000 letters': (server) => refusedTries(server, 'n'.repeat(5000), wrong),
  'no name at all': (server) => refusedTries(server, '', wrong),
  DenyUsers: (server) => refusedTries(server, 'denied', wrong),
  'DenyUsers, with the right key': (server, { key }) =>
    ssh(server, { key, user: 'denied' }, 'true'),
  DenyGroups: (server) => refusedTries(server, 'grouped', wrong),
  'a shell that is not there': (server) => refusedTries(server, 'shelless', wrong),
  'root by password': async (server) => {
    using client = await FactorClient.open(server.port, 'root');
    await client.password(password);
    await disconnecting(client.raw, 11, 'bye');
  },
  'root by key': (server, { key }) => ssh(server, { key, user: 'root' }, 'true'),
  'PAM refuses the account': (server, { key }) => ssh(server, { key, user: 'noaccount' }, 'true'),
  'PAM refuses the account after a password': async (server) => {
    using client = await FactorClient.open(server.port, 'noaccount');
    await client.password(password);
    await closed(client.raw);
  },
  'a folder that others may write': (server, { key }) =>
    ssh(server, { key, user: 'loose' }, 'true'),
  'the first of two factors': async (server, { raw }) => {
    using client = await FactorClient.open(server.port, 'partial');
    await client.sign(raw);
    await disconnecting(client.raw, 11, 'bye');
  },
  'both factors': async (server, { raw }) => {
    using client = await FactorClient.open(server.port, 'partial');
    await client.sign(raw);
    await client.password(password);
    await disconnecting(client.raw, 11, 'bye');
  },
  'a factor out of turn': async (server) => {
    using client = await FactorClient.open(server.port, 'partial');
    await client.password(password);
    await disconnecting(client.raw, 11, 'bye');
  },
  'a method that does not exist': (server) => refusedTries(server, 'alice', ['telepathy']),
  hostbased: (server) =>
    refusedTries(server, 'alice', [
      'hostbased',
      ...[str('ssh-ed25519'), str('x'), str('h'), str('alice'), str('s')],
    ]),
  'another user on the way': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await raw.requestUserauth();
    raw.send(userauth('alice', 'none'));
    await raw.nextOf(51);
    raw.send(userauth('root', 'none'));
    await closed(raw);
  },
  'another service': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await raw.requestUserauth();
    raw.send(payload(50, str('alice'), str('ssh-nothing'), str('none')));
    raw.socket.end();
    await closed(raw);
  },
  'a service that does not exist': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    raw.send(payload(5, str('ssh-nothing')));
    await closed(raw);
  },
  'gone at once': (server) => plain(server.port, ''),
  'reset at once': (server) => plain(server.port, '', true),
  'gone after the identification': (server) => plain(server.port, 'SSH-2.0-x\r\n'),
  HTTP: (server) => plain(server.port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  TLS: (server) => plain(server.port, Buffer.from('1603010200010001fc03030a0a0a0a0d0a', 'hex')),
  'a line without end': (server) => plain(server.port, 'x'.repeat(10_000)),
  'SSH 1': (server) => plain(server.port, 'SSH-1.5-old\r\n'),
  'SSH 3': (server) => plain(server.port, 'SSH-3.0-new\r\n'),
  'gone after key exchange': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    raw.socket.end();
    await closed(raw);
  },
  'gone after none': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await raw.requestUserauth();
    raw.send(userauth('alice', 'none'));
    await raw.nextOf(51);
    raw.socket.end();
    await closed(raw);
  },
  'nobody is gone after none': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await raw.requestUserauth();
    raw.send(userauth('nobody-here', 'none'));
    await raw.nextOf(51);
    raw.socket.end();
    await closed(raw);
  },
  'reset after none': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await raw.requestUserauth();
    raw.send(userauth('alice', 'none'));
    await raw.nextOf(51);
    raw.socket.resetAndDestroy();
  },
  'gone after login': async (server, { raw: key }) => {
    using raw = await RawSsh.loggedIn(server.port, 'alice', key);
    raw.socket.end();
    await closed(raw);
  },
  'reset after login': async (server, { raw: key }) => {
    const raw = await RawSsh.loggedIn(server.port, 'alice', key);
    await raw.openSession();
    raw.socket.resetAndDestroy();
  },
  'gone in a session': (server, stage) =>
    withChannel(server, stage, 'alice', async (raw) => {
      const channel = await raw.openSession();
      raw.send(payload(98, u32(channel), str('exec'), yes, str('sleep 60')));
      await raw.nextOf(99);
    }),
  'good-bye before the key exchange': async (server) => {
    using raw = await RawSsh.open(server.port);
    await raw.identify();
    await disconnecting(raw, 11, 'too early');
  },
  'good-bye after key exchange': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await disconnecting(raw, 11, 'bye');
  },
  'no more methods': (server) => refusedTries(server, 'alice', ['none']),
  'good-bye with code 14': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await raw.requestUserauth();
    raw.send(userauth('alice', 'none'));
    await raw.nextOf(51);
    await disconnecting(raw, 14, 'No supported authentication methods available');
  },
  'good-bye with a long text': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await disconnecting(raw, 2, 'd'.repeat(5000));
  },
  'good-bye with format strings': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await disconnecting(raw, 4_000_000_000, '%s%n%d');
  },
  'no common key exchange': async (server) => {
    using raw = await RawSsh.open(server.port);
    await raw.identify();
    raw.sendKexInit(raw.kexInit({ 0: 'diffie-hellman-group1-sha1,telepathy' }));
    await closed(raw);
  },
  'no common host key': async (server) => {
    using raw = await RawSsh.open(server.port);
    await raw.identify();
    raw.sendKexInit(raw.kexInit({ 1: 'ssh-dss' }));
    await closed(raw);
  },
  'no common cipher': async (server) => {
    using raw = await RawSsh.open(server.port);
    await raw.identify();
    raw.sendKexInit(raw.kexInit({ 2: 'rot13', 3: 'rot13' }));
    await closed(raw);
  },
  'no common MAC': async (server) => {
    using raw = await RawSsh.open(server.port);
    await raw.identify();
    raw.sendKexInit(raw.kexInit({ 4: 'crc32', 5: 'crc32' }));
    await closed(raw);
  },
  'no common compression': async (server) => {
    using raw = await RawSsh.open(server.port);
    await raw.identify();
    raw.sendKexInit(raw.kexInit({ 6: 'lzma', 7: 'lzma' }));
    await closed(raw);
  },
  'a message before its time': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    raw.send(payload(90, str('session'), u32(0), u32(1), u32(1)));
    raw.socket.end();
    await closed(raw);
  },
  'a packet that is too long': async (server) => {
    using raw = await RawSsh.open(server.port);
    await raw.identify();
    raw.socket.write(Buffer.concat([u32(1_000_000), Buffer.alloc(64, 1)]));
    await closed(raw);
  },
  'a MAC that is wrong': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    raw.send(payload(5, str('ssh-userauth')), (packet) => {
      packet[packet.length - 1] = (packet[packet.length - 1] as number) ^ 1;
      return packet;
    });
    await closed(raw);
  },
  '-L that PermitOpen does not name': (server, stage) =>
    withChannel(server, stage, 'alice', (raw) =>
      refusedOpen(raw, 'direct-tcpip', str('127.0.0.1'), u32(2), str('127.0.0.1'), u32(9)),
    ),
  '-L to where nobody listens': (server, stage) =>
    withChannel(server, stage, 'alice', (raw) =>
      refusedOpen(raw, 'direct-tcpip', str('127.0.0.1'), u32(1), str('127.0.0.1'), u32(9)),
    ),
  '-L that is off': (server, stage) =>
    withChannel(server, stage, 'tight', (raw) =>
      refusedOpen(raw, 'direct-tcpip', str('127.0.0.1'), u32(1), str('127.0.0.1'), u32(9)),
    ),
  '-L to a socket that is off': (server, stage) =>
    withChannel(server, stage, 'tight', (raw) =>
      refusedOpen(raw, 'direct-streamlocal@openssh.com', str('/run/x'), str(''), u32(0)),
    ),
  '-R that is off': (server, stage) =>
    withChannel(server, stage, 'tight', async (raw) => {
      raw.send(payload(80, str('tcpip-forward'), yes, str('localhost'), u32(0)));
      await raw.nextOf(82);
    }),
  '-R of a privileged port': (server, stage) =>
    withChannel(server, stage, 'alice', async (raw) => {
      raw.send(payload(80, str('tcpip-forward'), yes, str('localhost'), u32(1)));
      await raw.nextOf(82);
    }),
  '-R of a socket that is off': (server, stage) =>
    withChannel(server, stage, 'tight', async (raw) => {
      raw.send(payload(80, str('streamlocal-forward@openssh.com'), yes, str('/tmp/x')));
      await raw.nextOf(82);
    }),
  'a terminal that is off': (server, stage) =>
    withChannel(server, stage, 'tight', async (raw) => {
      const channel = await raw.openSession();
      const size = [u32(80), u32(24), u32(0), u32(0), str('\0')];
      raw.send(payload(98, u32(channel), str('pty-req'), yes, str('xterm'), ...size));
      await raw.nextOf(100);
    }),
  'too many keys': async (server) => {
    using client = await FactorClient.open(server.port, 'alice');
    for (let tries = 0; tries < 4; tries++) {
      await client.query(makeRawKey());
    }
    await closed(client.raw);
  },
  'too many conversations': async (server) => {
    using client = await FactorClient.open(server.port, 'alice');
    for (let tries = 0; tries < 4; tries++) {
      await client.keyboard(['wrong']);
    }
    await closed(client.raw);
  },
  'PAM refuses the account after a conversation': async (server) => {
    using client = await FactorClient.open(server.port, 'noaccount');
    await client.keyboard([password]);
    client.raw.socket.end();
    await closed(client.raw);
  },
  'a conversation that is left': async (server) => {
    using raw = await RawSsh.shaken(server.port);
    await raw.requestUserauth();
    raw.send(userauth('alice', 'keyboard-interactive', str(''), str('')));
    await raw.nextOf(60);
    await disconnecting(raw, 11, 'bye');
  },
  'a channel that does not exist': (server, stage) =>
    withChannel(server, stage, 'alice', (raw) => refusedOpen(raw, 'telepathy')),
  'a tunnel device': (server, stage) =>
    withChannel(server, stage, 'alice', (raw) =>
      refusedOpen(raw, 'tun@openssh.com', u32(1), u32(0x7fffffff)),
    ),
  'a request on no channel': async (server, { raw: key }) => {
    using raw = await RawSsh.loggedIn(server.port, 'alice', key);
    raw.send(payload(98, u32(77), str('exec'), yes, str('x')));
    await closed(raw);
  },
  'two sessions': (server, stage) =>
    withChannel(server, stage, 'alice', async (raw) => {
      const first = await raw.openSession(6);
      raw.send(payload(98, u32(first), str('exec'), yes, str('cat')));
      await raw.nextOf(99);
      await raw.exec('true', 7);
    }),
  'X11 and agent that are off': (server, stage) =>
    withChannel(server, stage, 'tight', async (raw) => {
      const channel = await raw.openSession();
      raw.send(
        payload(
          98,
          u32(channel),
          str('x11-req'),
          yes,
          no,
          str('MIT-MAGIC-COOKIE-1'),
          str('00'),
          u32(0),
        ),
      );
      await raw.nextOf(99, 100);
      raw.send(payload(98, u32(channel), str('auth-agent-req@openssh.com'), yes));
      await raw.nextOf(99, 100);
    }),
};

/** What a client can say that no line may show as it is. */
export const hostileTexts: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['a newline and a whole line', Buffer.from('x\nSep 1 sshd[1]: Accepted password for root')],
  ['CR LF', Buffer.from('x\r\nfatal: x')],
  ['an escape sequence', Buffer.from('\u001b]0;owned\u0007\u001b[2J')],
  ['NUL-free C0', Buffer.concat(Array.from({ length: 31 }, (_value, at) => byte(at + 1)))],
  ['Latin-1', Buffer.from([0x6a, 0xfc, 0x72, 0x67])],
  ['UTF-8', Buffer.from('jürgen 山田')],
  ['an overlong form', Buffer.from([0xc0, 0x8a, 0xe0, 0x80, 0x8a])],
  ['a change of direction', Buffer.from('\u202etxt.exe\u2066')],
  ['a backslash', Buffer.from('a\\012b')],
];
