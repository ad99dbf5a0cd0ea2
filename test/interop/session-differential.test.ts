/**
 * A table of configurations and sessions, each asked of sshdesk and of Debian's sshd on the same
 * files, accounts and client; what comes back is compared byte for byte. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import {
  inLab,
  makeKey,
  makeUser,
  type LabUser,
  run,
  type TestKey,
  writePamService,
} from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOptions, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 280_000);

interface Case {
  readonly name: string;
  readonly user?: string;
  readonly options?: Omit<ClientOptions, 'key' | 'user'>;
  readonly command?: readonly string[];
  /** Nobody has been logged in before. */
  readonly isFirst?: boolean;
}

/** A shell that says who it is and ends: nothing is typed, whose echo would stand anywhere. */
const shell = `#!/bin/bash
if [ "$1" = -c ]; then exec /bin/bash "$@"; fi
echo "shell $0 $*"
env | sort
`;

interface Ground {
  readonly name: string;
  readonly config: readonly string[];
  readonly cases: readonly Case[];
  /** Before the logins; what it returns undoes it. */
  readonly prepare?: (() => () => void) | undefined;
}

describe('sessions as at sshd', lab, () => {
  let key: TestKey;
  let alice: LabUser;
  before(() => {
    key = makeKey('ed25519');
    const authorizedKeys = [key.line];
    writeFileSync('/usr/local/bin/telling-shell', shell, { mode: 0o755 });
    alice = makeUser('alice', { authorizedKeys, shell: '/usr/local/bin/telling-shell' });
    run('usermod', ['-s', '/usr/local/bin/telling-shell', 'root']);
    writePamService('passwd', ['password requisite pam_deny.so']);
    makeUser('plain', { authorizedKeys, shell: '/bin/sh' });
    makeUser('expired', { authorizedKeys, password: 'old' });
    run('chage', ['-d', '0', 'expired']);
    makeUser('nolog', { authorizedKeys, shell: '/usr/sbin/nologin' });
    makeUser('noshell', { authorizedKeys, shell: '' });
    makeUser('hushed', { authorizedKeys, shell: '/usr/local/bin/telling-shell' });
    writeFileSync('/home/hushed/.hushlogin', '');
    makeUser('hushdir', { authorizedKeys, shell: '/usr/local/bin/telling-shell' });
    mkdirSync('/home/hushdir/.hushlogin');
    makeUser('vars', {
      authorizedKeys: [`environment="FROM_KEY=key",environment="BOTH=key" ${key.line}`],
    });
    makeUser('forced', {
      authorizedKeys: [`command="echo forced; env | grep ^SSH_O" ${key.line}`],
    });
    makeUser('fails', { authorizedKeys });
    mkdirSync('/root/.ssh', { recursive: true });
    writeFileSync('/root/.ssh/authorized_keys', `${key.line}\n`, { mode: 0o600 });
    writePamService('sshd', [
      'auth required pam_unix.so',
      'account required pam_unix.so',
      'session [success=1 default=ignore] pam_succeed_if.so quiet user != fails',
      'session required pam_echo.so file=/etc/refusal',
      'session [success=1 default=ignore] pam_succeed_if.so quiet user != fails',
      'session requisite pam_deny.so',
      'session optional pam_echo.so welcome %u',
      'session required pam_env.so conffile=/etc/pam-env.conf',
      'session required pam_unix.so',
    ]);
    writeFileSync('/etc/refusal', 'not tonight\n');
    writeFileSync(
      '/etc/pam-env.conf',
      'FROM_PAM DEFAULT=pam\nBOTH DEFAULT=pam\nSSH_CONNECTION_X DEFAULT=x\nSSH_AUTH_INFO_9 DEFAULT=x\nSSH_CLIENT DEFAULT=forged\n',
    );
  });

  const files = (contents: Readonly<Record<string, string>>) => () => {
    for (const [path, content] of Object.entries(contents)) {
      writeFileSync(path, content);
    }
    return () => {
      for (const path of Object.keys(contents)) {
        rmSync(path);
      }
    };
  };
  const environmentFile =
    (content: string | Buffer, user = () => alice) =>
    () => {
      const { uid, gid, home } = user();
      const path = `${home}/.ssh/environment`;
      writeFileSync(path, content, { mode: 0o600 });
      chownSync(path, uid, gid);
      return () => rmSync(path);
    };
  const of = (name: string) => () => ({
    ...alice,
    home: `/home/${name}`,
    uid: Number(run('id', ['-u', name])),
    gid: Number(run('id', ['-g', name])),
  });
  const tty = { args: ['-tt'] };
  const noTty = { args: ['-T'] };
  const env = ['env | sort'];
  const latin = Buffer.from('printf "%s" "\xe9\xff" | od -An -tx1', 'latin1');

  /** What a session gets whatever the configuration is about. */
  const usual: readonly Case[] = [
    { name: 'a command', command: env },
    { name: 'a command on a terminal', options: tty, command: env },
    { name: 'a login shell without a terminal', options: noTty },
    {
      name: 'a login shell on a terminal',
      options: tty,
    },
    { name: 'root', user: 'root', command: env },
    { name: 'a command that fails', command: ['exit 77'] },
    { name: 'a command that is killed', command: ['kill -KILL $$'] },
    { name: 'a command that ends by SIGPIPE', command: ['kill -PIPE $$'] },
    { name: 'a command that dumps core', command: ['ulimit -c 0; kill -SEGV $$'] },
    { name: 'a command that stops by a realtime signal', command: ['kill -40 $$'] },
    { name: 'no such command', command: ['/no/such/command'] },
    {
      name: 'the terminal',
      options: tty,
      command: ['stat -c "%a %U %G" $(tty); stty -a | head -1; tty | sed s/[0-9]*$//'],
    },
    {
      name: 'the process',
      command: [
        'grep -E "^(Sig|Cap|Uid|Gid|Groups|NoNew|Seccomp:)" /proc/self/status; cat /proc/self/oom_score_adj; ulimit -a; umask; nice; pwd; echo "$0"',
      ],
    },
    {
      name: 'the process on a terminal',
      options: tty,
      command: [
        'grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status; ulimit -a; umask; ps -o stat=,tty= -p $$ | sed s/[0-9]//g',
      ],
    },
    {
      name: 'what stdin, stdout and stderr are',
      command: [
        'for f in 0 1 2; do stat -L -c "%a %U %F" /proc/self/fd/$f; done; echo to stderr >&2; echo again > /dev/stdout',
      ],
    },
    { name: 'an empty shell field', user: 'noshell', command: ['echo "$0 $SHELL"'] },
    {
      name: 'an empty shell field, a login shell',
      user: 'noshell',
      options: { ...noTty, input: 'echo "$0 $SHELL"\n' },
    },
    { name: 'the shell nologin', user: 'nolog', command: ['echo in'] },
    { name: 'the shell nologin on a terminal', user: 'nolog', options: tty, isFirst: true },
    { name: 'a command of the key', user: 'forced', command: ['asked "for"'] },
    { name: 'a command of the key, a shell', user: 'forced', options: noTty },
    { name: 'a command of the key on a terminal', user: 'forced', options: tty },
    { name: 'a subsystem', options: { args: ['-s'] }, command: ['say'] },
    { name: 'a subsystem that writes to stderr', options: { args: ['-s'] }, command: ['warn'] },
    { name: 'a subsystem on a terminal', options: { args: ['-s', '-tt'] }, command: ['say'] },
    {
      name: 'a command of the key, a subsystem',
      user: 'forced',
      options: { args: ['-s'] },
      command: ['say'],
    },
    { name: 'a subsystem that is not there', options: { args: ['-s'] }, command: ['nothing'] },
    { name: 'bytes that are no UTF-8', command: [latin.toString('latin1')] },
    { name: 'a long command', command: [`echo ${'x'.repeat(30_000)} | wc -c`] },
  ];

  const sending = (names: readonly string[], value: string) => ({
    args: names.map((name) => `-oSendEnv=${name}`),
    environment: Object.fromEntries(names.map((name) => [name, value])),
  });

  const subsystems = ['Subsystem say /bin/echo said', 'Subsystem warn echo warning >&2; echo out'];

  const grounds: readonly Ground[] = [
    { name: 'with PAM', config: ['UsePAM yes', ...subsystems], cases: usual },
    { name: 'without PAM', config: ['UsePAM no', ...subsystems], cases: usual },
    {
      name: 'ForceCommand',
      config: [
        'UsePAM yes',
        'ForceCommand echo "forced by the file"; env | grep ^SSH_ORIG',
        'Subsystem say /bin/echo said',
      ],
      cases: usual.filter(({ name }) => /command|subsystem|shell/.test(name)),
    },
    ...(['yes', 'no'] as const).flatMap((pam) =>
      (['yes', 'no'] as const).map((says) => ({
        name: `PrintMotd ${says}, PrintLastLog ${says}, UsePAM ${pam}`,
        config: [`UsePAM ${pam}`, `PrintMotd ${says}`, `PrintLastLog ${says}`],
        prepare: files({ '/etc/motd': 'message of the day\nof two lines\n' }),
        cases: ['alice', 'hushed', 'hushdir', 'root'].flatMap((user) => [
          { name: `a login shell of ${user}`, user, options: tty, isFirst: true },
          { name: `the next one of ${user}`, user, options: tty },
          {
            name: `a shell of ${user} without a terminal`,
            user,
            options: noTty,
          },
          { name: `a command of ${user}`, user, options: tty, command: ['true'] },
        ]),
      })),
    ),
    {
      name: 'a long motd',
      config: ['UsePAM yes', 'PrintLastLog no'],
      prepare: files({ '/etc/motd': `${'a line of the message\n'.repeat(1000)}end\n` }),
      cases: [{ name: 'a login shell', options: tty }],
    },
    {
      name: '/etc/nologin without PAM',
      config: ['UsePAM no', 'PrintMotd no', 'PrintLastLog no', 'Subsystem say /bin/echo said'],
      prepare: files({ '/etc/nologin': 'closed for repairs\nuntil noon\n' }),
      cases: [
        { name: 'a command', command: ['echo in'] },
        { name: 'a login shell', options: noTty },
        { name: 'a terminal', options: tty },
        { name: 'root', user: 'root', command: ['echo in'] },
      ],
    },
    {
      name: 'an expired password',
      config: ['UsePAM yes', 'PrintMotd no', 'PrintLastLog no'],
      cases: [
        { name: 'a command', user: 'expired', command: ['echo in'] },
        { name: 'a login shell', user: 'expired', options: noTty },
        { name: 'a terminal', user: 'expired', options: tty },
        {
          name: 'a command on a terminal',
          user: 'expired',
          options: tty,
          command: ['echo in'],
        },
      ],
    },
    {
      name: 'pam_open_session refuses',
      config: ['UsePAM yes', 'PrintMotd no', 'PrintLastLog no', 'Subsystem say /bin/echo said'],
      cases: [
        { name: 'a command', user: 'fails', command: ['echo in'] },
        { name: 'a login shell', user: 'fails', options: noTty },
        { name: 'a terminal', user: 'fails', options: tty },
        { name: 'a command on a terminal', user: 'fails', options: tty, command: ['echo in'] },
        { name: 'a subsystem', user: 'fails', options: { args: ['-s'] }, command: ['say'] },
      ],
    },
    {
      name: 'AcceptEnv',
      config: ['UsePAM yes', 'AcceptEnv LANG LC_* X_?Z', 'AcceptEnv BOTH'],
      cases: [
        {
          name: 'what it names',
          options: sending(['LANG', 'LC_ALL', 'X_YZ', 'X_YYZ', 'BOTH', 'OTHER'], 'C'),
          command: env,
        },
        {
          name: 'a value with newlines and an equals sign',
          options: sending(['LANG'], 'a\nB=c\n=d'),
          command: ['env -0 | sort -z | tr "\\0" "|"'],
        },
        { name: 'an empty value', options: sending(['LANG'], ''), command: env },
        {
          name: 'a value of 30,000 bytes',
          options: sending(['LC_X'], 'y'.repeat(30_000)),
          command: ['echo $LC_X | md5sum'],
        },
      ],
    },
    {
      name: 'SetEnv',
      config: [
        'UsePAM yes',
        'AcceptEnv LANG',
        'SetEnv LANG=set BOTH=set SSH_CLIENT=set PATH=/set:/bin:/usr/bin "SPACED=a b" TERM=dumb',
      ],
      cases: [
        { name: 'a command', options: sending(['LANG'], 'client'), command: env },
        { name: 'a terminal', options: tty, command: env },
      ],
    },
    ...['yes', 'no', 'FROM_*,BOTH,!FROM_KEY', 'B*'].map((rule) => ({
      name: `PermitUserEnvironment ${rule}`,
      config: ['UsePAM yes', `PermitUserEnvironment ${rule}`, 'SetEnv SET=set'],
      prepare: environmentFile(
        '# comment\nFROM_FILE=file\n  BOTH=file\nSET=file\nSSH_CLIENT=forged\nPATH=/file:/bin:/usr/bin\n\nno assignment\nEMPTY=\nQUOTED="a b"\nTWO=a=b \nHOME=/tmp\n=none\n',
        of('vars'),
      ),
      cases: [
        { name: 'a command', user: 'vars', command: env },
        { name: 'a terminal', user: 'vars', options: tty, command: env },
      ],
    })),
    {
      name: '~/.ssh/environment of 1000 lines',
      config: ['UsePAM yes', 'PermitUserEnvironment yes'],
      prepare: environmentFile(`${'#\n'.repeat(999)}LAST=1\n`),
      cases: [{ name: 'a command', command: env }],
    },
    {
      name: '~/.ssh/environment of 1001 lines',
      config: ['UsePAM yes', 'PermitUserEnvironment yes'],
      prepare: environmentFile(`${'#\n'.repeat(1000)}LAST=1\n`),
      cases: [
        { name: 'a command', command: ['echo in'] },
        { name: 'a terminal', options: tty, command: ['echo in'] },
      ],
    },
    {
      name: '~/.ssh/environment that is bytes',
      config: ['UsePAM yes', 'PermitUserEnvironment yes'],
      prepare: environmentFile(Buffer.from('A=\xe9\xff\nB=x\0y\nC=\x1b[31m\nD=last', 'latin1')),
      cases: [{ name: 'a command', command: ['env -0 | grep -z "^[ABCD]=" | od -c'] }],
    },
    ...(
      [
        ['a link to /etc/shadow', (path: string) => symlinkSync('/etc/shadow', path)],
        ['a directory', (path: string) => mkdirSync(path)],
        [
          'a file of root’s',
          (path: string) => writeFileSync(path, 'FROM_FILE=1\n', { mode: 0o600 }),
        ],
      ] as const
    ).map(([name, make]) => ({
      name: `~/.ssh/environment is ${name}`,
      config: ['UsePAM yes', 'PermitUserEnvironment yes'],
      prepare: () => {
        make('/home/alice/.ssh/environment');
        return () => rmSync('/home/alice/.ssh/environment', { recursive: true });
      },
      cases: [{ name: 'a command', command: env }],
    })),
    {
      name: '/etc/default/login and the time zone',
      config: ['UsePAM no'],
      prepare: files({
        '/etc/default/login':
          'PATH=/from/default/login\nSUPATH=/from/default/login/su\nUMASK=077\nULIMIT=4\n',
      }),
      cases: [
        { name: 'a command', command: ['echo $PATH; umask; ulimit -f'] },
        { name: 'root', user: 'root', command: ['echo $PATH; umask; ulimit -f'] },
      ],
    },
    {
      name: 'rc files',
      config: ['UsePAM yes', 'PrintLastLog no'],
      prepare: () => {
        writeFileSync('/etc/ssh/sshrc', 'echo system rc\n');
        writeFileSync('/home/alice/.ssh/rc', 'echo user rc; env | grep ^SSH_OR; pwd; exit 3\n');
        chmodSync('/home/alice/.ssh/rc', 0o644);
        return () => {
          rmSync('/etc/ssh/sshrc');
          rmSync('/home/alice/.ssh/rc');
        };
      },
      cases: [
        { name: 'a command', command: ['echo in'] },
        { name: 'a terminal', options: tty, command: ['echo in'] },
        { name: 'the system’s', user: 'plain', command: ['echo in'] },
        { name: 'a command of the key', user: 'forced', command: ['asked'] },
      ],
    },
    {
      name: 'PermitTTY no',
      config: ['UsePAM yes', 'PermitTTY no'],
      cases: [
        {
          name: 'a terminal',
          options: tty,
          command: ['tty; env | grep ^SSH_TTY'],
        },
      ],
    },
  ];

  /** What differs between two logins, and nothing else. */
  const plain = (text: string, server: TestServer): string =>
    text
      .replaceAll(new RegExp(`\\b${server.port}\\b`, 'g'), 'PORT')
      .replaceAll(/127\.0\.0\.1 \d{4,5}\b/g, '127.0.0.1 CLIENT')
      .replaceAll(/\/dev\/pts\/\d+/g, '/dev/pts/N')
      .replaceAll(/(Last login: \w{3} \w{3} [ \d]\d \d\d:)\d\d:\d\d/g, '$1MM:SS')
      // With -e what it logs in the session's process is read by the client too.
      .replaceAll(
        /^(User alice not allowed because|Too many lines in environment file) .*\r*\n/gm,
        '',
      )
      .replaceAll(/(\W_=)\/\S+/g, '$1PROGRAM');

  for (const { name, config, cases, prepare } of grounds) {
    describe(name, () => {
      let undo = (): void => undefined;
      const servers: TestServer[] = [];
      before(async () => {
        undo = prepare?.() ?? undo;
        for (const kind of ['sshdesk', 'sshd'] as const) {
          servers.push(await startServer({ kind, config, environment: { TZ: 'Asia/Kathmandu' } }));
        }
      });
      after(async () => {
        undo();
        await Promise.all(servers.map((server) => server.stop()));
      });
      for (const one of cases) {
        const { name: asked, user = 'alice', options = {}, command = [], isFirst } = one;
        test(asked, async () => {
          const outcomes = [];
          for (const server of servers) {
            if (isFirst === true) {
              truncateSync('/var/log/lastlog');
            }
            const { status, signal, stdout, stderr } = await ssh(
              server,
              { key, user, ...options },
              ...command,
            );
            outcomes.push({
              status,
              signal,
              stdout: plain(stdout.toString('latin1'), server),
              stderr: plain(stderr, server),
            });
          }
          assert.deepEqual(outcomes[0], outcomes[1]);
          assert.notEqual(outcomes[0]?.signal, 'SIGKILL', 'neither ended');
        });
      }
    });
  }
});
