/**
 * What shells, commands and subsystems are given and what comes of them, beside Debian's sshd.
 * Runs in: test, in the lab.
 */
import { describe } from 'node:test';
import { inLab } from '../support/lab.ts';
import { type Case, compareSessions, type Ground, noTty, tty } from '../support/session-table.ts';

const lab = inLab(import.meta.url, 280_000);

describe('sessions as at sshd', lab, () => {
  const env = ['env | sort'];

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
    { name: 'a long command', command: [`echo ${'x'.repeat(30_000)} | wc -c`] },
  ];

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
  ];

  compareSessions(grounds);
});
