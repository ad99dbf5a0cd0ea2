/** Reading sshd_config: grammar, precedence, Include, errors, typed values. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigFailure } from '../../../../src/policy/failure.ts';
import { type LoadRequest, loadConfig, loadDesktopConfig } from '../../../../src/policy/load.ts';
import { nxDefaults } from '../../../../src/policy/nx-keywords.ts';
import { noCards } from '../../../support/monitor-connection.ts';
import { memorySource } from '../../../support/config-files.ts';

const file = '/etc/ssh/sshd_config';

async function load(
  text: string,
  more: Partial<LoadRequest> = {},
  files: Readonly<Record<string, string>> = {},
): ReturnType<typeof loadConfig> {
  const source = memorySource({ [file]: text, ...files });
  return loadConfig({ file, commandLine: [], source, ...more });
}
async function errorsOf(
  text: string,
  more: Partial<LoadRequest> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<readonly string[]> {
  const failure = await load(text, more, files).then(
    () => assert.fail('it loaded'),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof ConfigFailure);
  return failure.lines;
}

test('an empty file gives the defaults of sshd', async () => {
  const { config, notices } = await load('');
  assert.deepEqual(notices, []);
  assert.deepEqual(config.ports, [22]);
  assert.equal(config.usePam, false);
  assert.equal(config.permitRootLogin, 'prohibit-password');
  assert.equal(config.loginGraceTimeMs, 120_000);
  assert.deepEqual(config.maxStartups, { start: 10, ratePercent: 30, full: 100 });
  assert.equal(config.maxAuthTries, 6);
  assert.equal(config.maxSessions, 10);
  assert.equal(config.strictModes, true);
  assert.equal(config.isHostKeyDefault, true);
  assert.equal(config.forceCommand, undefined);
  assert.equal(config.pidFile, '/run/sshd.pid');
  assert.equal(config.permitOpen, 'any');
  assert.deepEqual(config.listenAddresses, [
    { address: '::', family: 6, port: 22 },
    { address: '0.0.0.0', family: 4, port: 22 },
  ]);
});

test('the configuration cannot be changed', async () => {
  const { config } = await load('AllowUsers a\nPermitOpen a:1\n');
  assert.throws(() => Object.assign(config, { usePam: true }), TypeError);
  assert.throws(() => (config.allowUsers as string[]).push('b'), TypeError);
  assert.throws(
    () => Object.assign((config.permitOpen as object[])[0] ?? {}, { port: 2 }),
    TypeError,
  );
  assert.throws(() => Object.assign(config.maxStartups, { full: 1 }), TypeError);
});

test('two configurations share nothing that could change', async () => {
  await load('Subsystem sftp /a\nAcceptEnv A\n');
  const { config } = await load('');
  assert.equal(config.subsystems.size, 0);
  assert.deepEqual(config.acceptEnv, []);
});

test('the command line comes before the file', async () => {
  const { config } = await load('Port 5\nUsePAM no\nSubsystem sftp /file\n', {
    commandLine: ['UsePAM=yes', 'Subsystem sftp /option', 'Subsystem x /y'],
  });
  assert.equal(config.usePam, true);
  assert.deepEqual(
    [...config.subsystems],
    [
      ['sftp', '/option'],
      ['x', '/y'],
    ],
  );
});

test('Subsystem in a Match: by name, in front of those outside', async () => {
  const { config, configFor } = await load(
    'Subsystem sftp /outside\nSubsystem x /y\nMatch User a\nSubsystem sftp internal-sftp -R\nSubsystem sftp /later\nMatch User *\nSubsystem sftp /last\nSubsystem z /z\n',
  );
  assert.equal(config.subsystems.get('sftp'), '/outside');
  const subject = {
    isInvalidUser: false,
    groups: [],
    remoteHost: '::1',
    remoteAddress: '::1',
    localAddress: '::1',
    localPort: 22,
    routingDomain: '',
  };
  assert.deepEqual(Object.fromEntries(configFor({ ...subject, user: 'a' }).subsystems), {
    sftp: 'internal-sftp -R',
    x: '/y',
    z: '/z',
  });
  assert.equal(configFor({ ...subject, user: 'b' }).subsystems.get('sftp'), '/last');
});

test('ChrootDirectory in a Match: in front of the one outside, none takes it away', async () => {
  const { config, configFor } = await load(
    'ChrootDirectory /srv\nMatch User a\nChrootDirectory %h\nMatch User b\nChrootDirectory none\n',
  );
  const subject = {
    isInvalidUser: false,
    groups: [],
    remoteHost: '::1',
    remoteAddress: '::1',
    localAddress: '::1',
    localPort: 22,
    routingDomain: '',
  };
  const of = (user: string) => configFor({ ...subject, user }).chrootDirectory;
  assert.deepEqual(
    [config.chrootDirectory, of('a'), of('b'), of('c')],
    [...['/srv', '%h', undefined, '/srv']],
  );
});

test('internal-sftp without sftp-server: the line, and what to do', async () => {
  const text =
    'Subsystem sftp internal-sftp\nMatch Group sftponly\nForceCommand internal-sftp -R\nForceCommand internal-sftpd\n';
  const source = memorySource({ [file]: text }, {}, ['/usr/lib/openssh/sftp-server']);
  const wrong =
    'internal-sftp needs /usr/lib/openssh/sftp-server, which is not there: install the package openssh-sftp-server';
  assert.deepEqual(await errorsOf(text, { source }), [
    `${file}:1: Subsystem: ${wrong}`,
    `${file}:3: ForceCommand: ${wrong}`,
  ]);
});

test('MaxStartups of the command line wins as every other keyword does', async () => {
  const { config } = await load('MaxStartups 9\n', { commandLine: ['MaxStartups 3:40:7'] });
  assert.deepEqual(config.maxStartups, { start: 3, ratePercent: 40, full: 7 });
});

test('all errors are listed at once, each with file, line and keyword', async () => {
  assert.deepEqual(
    await errorsOf(
      'Foo bar\nPort x\n# fine\nUsePAM perhaps\nMatch Usr a\nChrootDirectory x\nPort\nStrictModes "yes\n',
      { commandLine: ['Nonsense=1', 'LoginGraceTime 1y'] },
    ),
    [
      'command-line:1: Nonsense: Bad configuration option',
      'command-line:2: LoginGraceTime: invalid time value "1y"',
      `${file}:1: Foo: Bad configuration option`,
      `${file}:2: Port: "x" is not a port number`,
      `${file}:4: UsePAM: unsupported option "perhaps" (one of yes, no)`,
      `${file}:5: Match: Unsupported Match attribute Usr`,
      `${file}:6: ChrootDirectory: "x" does not begin at the root: a path from / on, or with %h`,
      `${file}:7: Port: no argument after the keyword`,
      `${file}:8: StrictModes: a quote is not closed`,
    ],
  );
});

test('a line that no longer counts is still checked', async () => {
  assert.equal((await errorsOf('UsePAM yes\nUsePAM foo\n')).length, 1);
});

test('what is deprecated is told once', async () => {
  const { notices } = await load('Protocol 2\nUseLogin no\nprotocol 1\n');
  assert.deepEqual(notices, [
    `${file}:1: Protocol: deprecated option, ignored`,
    `${file}:2: UseLogin: deprecated option, ignored`,
  ]);
  assert.equal((await errorsOf('PrintMotd perhaps\n')).length, 1);
});

test('a restriction that is not in effect stops the start', async () => {
  for (const line of ['GSSAPIKeyExchange yes', 'RDomain blue']) {
    const [keyword, value] = line.split(' ');
    const [error = ''] = await errorsOf(`${line}\n`);
    assert.ok(error.startsWith(`${file}:1: ${keyword}: "${value}" is not supported.`), error);
  }
});

test('Include: relative to /etc/ssh, in lexical order, before what follows', async () => {
  const { config } = await load(
    'Include sshd_config.d/*.conf\nPort 3\nMaxSessions 3\n',
    {},
    {
      '/etc/ssh/sshd_config.d/20.conf': 'Port 2\nMaxSessions 2\n',
      '/etc/ssh/sshd_config.d/10.conf': 'Port 1\nMaxSessions 1\n',
      '/etc/ssh/sshd_config.d/10.bak': 'Port 99\n',
    },
  );
  assert.deepEqual(config.ports, [1, 2, 3]);
  assert.equal(config.maxSessions, 1);
});

test('an error in an included file names that file', async () => {
  assert.deepEqual(
    await errorsOf(
      '\nInclude a.conf "b.conf"\n',
      {},
      {
        '/etc/ssh/a.conf': 'Bad yes\n',
        '/etc/ssh/b.conf': '\nPort -1\n',
      },
    ),
    [
      '/etc/ssh/a.conf:1: Bad: Bad configuration option',
      '/etc/ssh/b.conf:2: Port: "-1" is not a port number',
    ],
  );
});

test('files that include themselves end with an error, not with the process', async () => {
  const lines = await errorsOf('Include sshd_config\n');
  assert.deepEqual(lines, [`${file}:1: Include: nested more than 16 deep`]);
  const fanned = await errorsOf(
    'Include *\n',
    {},
    {
      '/etc/ssh/a': 'Include *\n',
      '/etc/ssh/b': 'Include *\n',
      '/etc/ssh/c': 'Include *\n',
    },
  );
  assert.ok(fanned.some((line) => line.includes('more than 1024 files')));
  assert.ok(fanned.length <= 102);
  assert.match(fanned.at(-1) ?? '', /^\d+ more errors are not shown$/);
});

test('a configuration beyond a megabyte is refused', async () => {
  const lines = await errorsOf('#'.repeat(1024 * 1024 + 1));
  assert.deepEqual(lines, [`${file}: more than 1048576 bytes of configuration`]);
});

test('a file that is not there', async () => {
  const source = memorySource({});
  await assert.rejects(loadConfig({ file, commandLine: [], source }), {
    lines: [`${file}: No such file or directory`],
  });
});

test('hostile lines end as errors', async () => {
  assert.deepEqual(await errorsOf('Port\0 1\n'), [`${file}:1: Port?: a NUL byte in the line`]);
  const long = await errorsOf(`${'K'.repeat(100_000)} x\n`);
  assert.ok((long[0] ?? '').length < 200);
  const escape = await errorsOf('\u001b[31mPort 1\n');
  assert.ok(!(escape[0] ?? '').includes('\u001b'));
});

test('names of Object.prototype are no keywords and no values', async () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.deepEqual(await errorsOf(`${name} x\n`), [
      `${file}:1: ${name}: Bad configuration option`,
    ]);
    assert.equal((await errorsOf(`UsePAM ${name}\n`)).length, 1);
    assert.equal((await errorsOf(`LogLevel ${name}\n`)).length, 1);
  }
});

test('MaxStartups: every short or odd form is an error, none an exception', async () => {
  for (const value of [
    '0',
    '-1',
    '3:30',
    '3:30:',
    '3:30:2',
    '3:0:9',
    '3:101:9',
    ':',
    '::',
    '1:1:1:1',
    '9999999999',
    '5x',
    '3=4',
  ]) {
    assert.equal((await errorsOf(`MaxStartups ${value}\n`)).length, 1, value);
  }
  assert.deepEqual((await load('MaxStartups=3\n')).config.maxStartups, {
    start: 3,
    ratePercent: 30,
    full: 3,
  });
});

test('host keys: -h first, relative ones absolute, the default list only without any', async () => {
  const { config } = await load('HostKey rel\nHostKey ~/k\n', { hostKeys: ['/a', 'b'] });
  assert.deepEqual(config.hostKeyFiles, ['/a', '/place/b', '/place/rel', '/root/k']);
  assert.equal(config.isHostKeyDefault, false);
});

test('listening: names, families, ports', async () => {
  const source = memorySource(
    { [file]: 'Port 1\nPort 2\nListenAddress both\nListenAddress [::1]:9\n' },
    {
      both: [
        { address: '192.0.2.1', family: 4 },
        { address: '2001:db8::1', family: 6 },
      ],
    },
  );
  const { config } = await loadConfig({ file, commandLine: [], source });
  assert.deepEqual(
    config.listenAddresses.map(({ address, port }) => `${address} ${port}`),
    ['192.0.2.1 1', '2001:db8::1 1', '192.0.2.1 2', '2001:db8::1 2', '::1 9'],
  );
  await assert.rejects(loadConfig({ file, commandLine: [], source, addressFamily: 'inet' }), {
    lines: [
      'ListenAddress: bad address or host "::1": no address of the family that AddressFamily asks for',
    ],
  });
  await assert.rejects(
    loadConfig({ file, commandLine: ['ListenAddress=nowhere'], source }),
    /bad address or host "nowhere"/,
  );
});

test('AuthorizedKeysFile: a token that does not exist is found at the start', async () => {
  assert.equal((await errorsOf('AuthorizedKeysFile %z\n')).length, 1);
  assert.equal((await errorsOf('AuthorizedKeysFile a%\n')).length, 1);
  const { config } = await load('AuthorizedKeysFile %h/%%/%u/%U ~/x\n');
  assert.deepEqual(config.authorizedKeysFiles, ['%h/%%/%u/%U', '/root/x']);
});

test('a PAM service is a name, not a path', async () => {
  assert.equal((await load('PAMServiceName sshd-2.x\n')).config.pamServiceName, 'sshd-2.x');
  for (const name of ['../x', '/etc/x', '.x', '-x', 'a/b']) {
    assert.equal((await errorsOf(`PAMServiceName ${name}\n`)).length, 1, name);
  }
});

test('the desktop configuration has the same grammar and its own table', () => {
  const path = '/etc/sshdesk/sshdesk_config';
  const request = { file: path, isFileRequired: false, cores: 1 };
  assert.deepEqual(loadDesktopConfig({ ...request, source: memorySource({}) }).config, {
    workers: 2,
    workerConnections: 1000,
    workerIsolation: 'shared',
    workerConfinement: 'strict',
    localDesktops: true,
    desktopReauth: [],
    xSession: undefined,
    hostKeyModuleUser: 'nobody',
    ...nxDefaults,
    ...noCards,
    cardCertificateFiles: ['/etc/sshdesk/cards/%u.pem'],
    logTag: 'sshd',
    logFormat: 'sshd',
  });
  assert.equal(
    loadDesktopConfig({ ...request, cores: 8, source: memorySource({}) }).config.workers,
    8,
  );
  const text =
    '# mine\nworkers 4\nWorkerConnections=1\nWorkerIsolation CONNECTION\nWorkerConfinement relaxed\nLocalDesktops no\nDesktopReauth share Resume\nXSession startxfce4 --replace "a b"\nLogTag sshd-session\nLogFormat JSON\n' +
    'HostKeyModuleUser hsm\nCardCertificates /etc/cas.pem\nCardCertificateFiles /c/%u .ssh/c\nCardMapping UPN EXAMPLE.com\nCardMapping email a.b C\nCardMapping cn\nCardMapping subject /map\nCardRevocationList /crl\n' +
    'NXLegacyAccount yes\nNXKeyFile /nx\nNXPasswordUsers alice bob\nNXPasswordUsers carol\nNXUsersDatabase yes\nNXPasswordSplit 6\nNXLegacyAlgorithms no\n';
  assert.deepEqual(
    loadDesktopConfig({ ...request, source: memorySource({ [path]: text }) }).config,
    {
      workers: 4,
      workerConnections: 1,
      workerIsolation: 'connection',
      workerConfinement: 'relaxed',
      localDesktops: false,
      desktopReauth: ['resume', 'share'],
      xSession: 'startxfce4 --replace "a b"',
      hostKeyModuleUser: 'hsm',
      cardCertificates: '/etc/cas.pem',
      cardCertificateFiles: ['/c/%u', '.ssh/c'],
      cardMappings: [
        { by: 'upn', realms: ['example.com'] },
        { by: 'email', domains: ['a.b', 'c'] },
        { by: 'cn' },
        { by: 'subject', file: '/map' },
      ],
      cardRevocationList: '/crl',
      nxLegacyAccount: true,
      nxKeyFile: '/nx',
      nxPasswordUsers: ['alice', 'bob', 'carol'],
      nxUsersDatabase: true,
      nxPasswordSplit: 6,
      nxLegacyAlgorithms: false,
      logTag: 'sshd-session',
      logFormat: 'json',
    },
  );
  assert.throws(
    () =>
      loadDesktopConfig({
        ...request,
        source: memorySource({ [path]: 'Workers 1\nPort 22\nWorkerConnections 0\nLogTag x[1]\n' }),
      }),
    {
      lines: [
        `${path}:1: Workers: "1" is not between 2 and 1024`,
        `${path}:2: Port: Bad configuration option`,
        `${path}:3: WorkerConnections: "0" is not between 1 and 1000000`,
        `${path}:4: LogTag: "x[1]" is no tag: up to 32 letters, digits, dots, dashes and underscores`,
      ],
    },
  );
  assert.throws(
    () => loadDesktopConfig({ ...request, isFileRequired: true, source: memorySource({}) }),
    /No such file/,
  );
});

test('cards: whose a certificate is has to be said, and rightly', () => {
  const path = '/etc/sshdesk/sshdesk_config';
  const errors = (text: string): readonly string[] => {
    try {
      const source = memorySource({ [path]: text });
      loadDesktopConfig({ file: path, isFileRequired: true, cores: 1, source });
    } catch (error) {
      return (error as ConfigFailure).lines;
    }
    return [];
  };
  assert.deepEqual(errors('CardCertificates /ca\n'), [
    `${path}:1: CardCertificates: set without CardMapping, which says whose a certificate is`,
  ]);
  assert.equal(errors('Match User a\nCardCertificates /ca\n').length, 1);
  assert.deepEqual(errors('CardCertificates /ca\nMatch User a\nCardMapping cn\n'), []);
  for (const mapping of [
    ...['upn', 'email', 'upn @a', 'email a@b', 'email *.a', 'upn a,b', 'cn x', 'subject'],
    ...['subject a b', 'dn', ''],
  ]) {
    assert.equal(errors(`CardMapping ${mapping}\n`).length, 1, mapping);
  }
  assert.equal(errors('CardCertificateFiles /a/%x\n').length, 1);
});

test('the account nx: names are names, and algorithms of old clients are refused with a reason', () => {
  const path = '/etc/sshdesk/sshdesk_config';
  const errors = (text: string): readonly string[] => {
    try {
      const source = memorySource({ [path]: text });
      loadDesktopConfig({ file: path, isFileRequired: true, cores: 1, source });
    } catch (error) {
      return (error as ConfigFailure).lines;
    }
    return [];
  };
  assert.deepEqual(errors('NXPasswordUsers none\nNXPasswordSplit none\n'), []);
  assert.match(errors('NXLegacyAlgorithms yes\n').join(), /:1: .*SHA-1.* are not offered/);
  for (const line of [
    'NXPasswordUsers a/b',
    'NXPasswordSplit 0',
    'NXPasswordSplit 65',
    'NXKeyFile',
  ]) {
    assert.equal(errors(`${line}\n`).length, 1, line);
  }
});

test('Match in the desktop configuration: for the desktops of a user or a group', () => {
  const path = '/etc/sshdesk/sshdesk_config';
  const request = { file: path, isFileRequired: true, cores: 1 };
  const text = [
    'XSession plain',
    'Include more',
    'Match Group artists,!guests',
    'XSession blender',
    'XSession never',
    'Match all',
    'Workers 5',
  ].join('\n');
  const more = 'Match User alice\nXSession startxfce4\nMatch User bob\nXSession none\n';
  const { config, configFor } = loadDesktopConfig({
    ...request,
    source: memorySource({ [path]: text, '/etc/sshdesk/more': more }),
  });
  const sessionOf = (user: string, ...groups: readonly string[]) =>
    configFor({ user, groups }).xSession;
  assert.equal(config.xSession, 'plain');
  assert.equal(config.workers, 5);
  assert.equal(sessionOf('alice', 'artists'), 'startxfce4');
  assert.equal(sessionOf('bob'), undefined);
  assert.equal(sessionOf('carol', 'artists'), 'blender');
  assert.equal(sessionOf('carol', 'artists', 'guests'), 'plain');
  assert.deepEqual(configFor({ user: 'dave', groups: [] }), config);
  assert.throws(
    () =>
      loadDesktopConfig({
        ...request,
        source: memorySource({
          [path]: 'Match Address 10.0.0.1\nMatch Invalid-User\nMatch User a\nWorkers 3\nXSession\n',
        }),
      }),
    {
      lines: [
        `${path}:1: Match: Unsupported Match attribute Address`,
        `${path}:2: Match: Unsupported Match attribute Invalid-User`,
        `${path}:4: Workers: Directive 'Workers' is not allowed within a Match block`,
        `${path}:5: XSession: no argument after the keyword`,
      ],
    },
  );
});

test('keywords without effect keep what was said, in a block too', async () => {
  const source = memorySource({
    [file]:
      'KerberosOrLocalPasswd no\nModuliFile ~/m\nHostbasedAcceptedAlgorithms ssh-ed25519\nSshdAuthPath /x\nMatch User alice\nHostbasedAcceptedKeyTypes ssh-rsa\nHostbasedAcceptedKeyTypes ssh-dss\n',
  });
  const { config, configFor, notices, details } = await loadConfig({
    file,
    commandLine: [],
    source,
  });
  assert.deepEqual(notices, []);
  assert.deepEqual(details, [`${file}:4: SshdAuthPath: means nothing here, ignored`]);
  const whole = {
    kerberosorlocalpasswd: 'no',
    modulifile: '/root/m',
    hostbasedacceptedalgorithms: 'ssh-ed25519',
  };
  assert.deepEqual(config.inert, whole);
  const alice = configFor({
    user: 'alice',
    isInvalidUser: false,
    groups: [],
    remoteHost: undefined,
    remoteAddress: undefined,
    localAddress: undefined,
    localPort: undefined,
    routingDomain: undefined,
  });
  assert.deepEqual(alice.inert, { ...whole, hostbasedacceptedalgorithms: 'ssh-rsa' });
});
