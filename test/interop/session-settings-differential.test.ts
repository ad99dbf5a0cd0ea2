/**
 * Greetings, environments, rc files and refusals of sessions, beside Debian's sshd. Runs in: test, in
 * the lab.
 */
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe } from 'node:test';
import { findUser, inLab } from '../support/lab.ts';
import { compareSessions, type Ground, noTty, tty } from '../support/session-table.ts';

const lab = inLab(import.meta.url, 280_000);

describe('what is set for sessions is as at sshd', lab, () => {
  const env = ['env | sort'];

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
    (content: string | Buffer, name = 'alice') =>
    () => {
      const { uid, gid, home } = findUser(name);
      const path = `${home}/.ssh/environment`;
      writeFileSync(path, content, { mode: 0o600 });
      chownSync(path, uid, gid);
      return () => rmSync(path);
    };
  const sending = (names: readonly string[], value: string) => ({
    args: names.map((name) => `-oSendEnv=${name}`),
    environment: Object.fromEntries(names.map((name) => [name, value])),
  });

  const grounds: readonly Ground[] = [
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
        'vars',
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

  compareSessions(grounds);
});
