/**
 * Which key opens what: AuthorizedKeysFile, StrictModes, the options of a line, ForceCommand; each row
 * as at Debian's sshd. Runs in: test, in the lab.
 */
import { chmodSync, chownSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { differential, type Row } from '../../support/differential.ts';
import { inLab, run } from '../../support/lab.ts';

const lab = inLab(import.meta.url);
const out = 'refused: publickey';
const keyFile = (home: string): string => `${home}/.ssh/authorized_keys`;

/** One line of authorized_keys, and what `key` and an exec come to. */
const options: readonly Row[] = (
  [
    ['', '0: in'],
    ['restrict', '0: in'],
    ['from="127.0.0.1"', '0: in'],
    ['from="127.0.0.2"', undefined],
    ['from="127.0.0.0/8"', '0: in'],
    ['from="!127.0.0.1,127.0.0.0/8"', undefined],
    ['from="127.0.0.*"', '0: in'],
    ['from="localhost"', undefined],
    ['from="host.lab.test"', undefined],
    ['from="::1"', undefined],
    ['from="10.0.0.0/8,127.0.0.1"', '0: in'],
    ['from="127.0.0.1/8"', undefined], // bits of the host are set
    ['from=""', undefined],
    ['from="*"', '0: in'],
    ['from="!*"', undefined],
    ['from="127.0.0.1",from="127.0.0.1"', undefined],
    ['from=127.0.0.1', undefined],
    ['expiry-time="20200101"', undefined],
    ['expiry-time="29990101"', '0: in'],
    ['expiry-time="299901011200"', '0: in'],
    ['expiry-time="29990101120000Z"', '0: in'],
    ['expiry-time="29990101",expiry-time="20200101"', undefined],
    ['expiry-time="20200101",expiry-time="29990101"', undefined],
    ['expiry-time="tomorrow"', undefined],
    ['expiry-time="29991301"', undefined],
    ['expiry-time=""', undefined],
    ['command="echo forced"', '0: forced'],
    ['command="echo \\"a  b\\""', '0: a  b'],
    ['command="echo [$SSH_ORIGINAL_COMMAND]"', '0: [echo in]'],
    ['command="exit 7"', '7:'],
    ['command=""', '0:'],
    ['command="echo a",command="echo b"', undefined],
    ['COMMAND="echo forced"', '0: forced'],
    ['command="echo forced', undefined],
    ['command=echo', undefined],
    ['command = "echo forced"', undefined],
    ['no-such-option', undefined],
    ['no-pty', '0: in'],
    ['no-pty,no-such-option', undefined],
    ['no-pty=1', undefined],
    ['no-restrict', undefined],
    ['cert-authority', undefined],
    ['cert-authority,no-pty', undefined],
    ['principals="$U"', undefined],
    ['tunnel="1"', '0: in'],
    ['tunnel="any"', '0: in'],
    ['tunnel="x"', undefined],
    ['permitopen="127.0.0.1:22"', '0: in'],
    ['permitopen="127.0.0.1"', undefined],
    ['permitopen="127.0.0.1:x"', undefined],
    ['permitopen="*:*"', '0: in'],
    ['permitopen="none"', undefined],
    ['permitlisten="22"', '0: in'],
    ['permitlisten="localhost:22"', '0: in'],
    ['permitlisten="localhost"', undefined],
    ['permitlisten="none"', undefined],
    ['environment="A=1"', '0: in'],
    ['environment="A"', undefined],
    ['environment="=1"', undefined],
    ['environment="A B=1"', undefined],
    ['no-touch-required', '0: in'],
    ['verify-required', '0: in'],
    ['restrict,command="echo forced",from="127.0.0.1",no-X11-forwarding', '0: forced'],
    ['restrict , no-pty', undefined],
    [',restrict', '0: in'],
    ['restrict,', '0: in'],
    ['restrict,,no-pty', '0: in'],
    ['"restrict"', undefined],
  ] as const
).map(([option, end]) => ({
  name: option === '' ? 'no option' : option,
  keys: [`${option} $PLAIN`.trimStart()],
  steps: ['key', 'exec echo in'],
  is: end === undefined ? out : `accepted | ${end}`,
}));

const strict: Row = {
  name: 'permitopen=":22"',
  keys: ['permitopen=":22" $PLAIN'],
  steps: ['key', 'exec echo in'],
  is: 'accepted | 0: in',
  differs: { is: out, because: 'a destination without a host is a slip: the line opens nothing' },
};

const linesOf: readonly Row[] = (
  [
    ['a remark in front', ['# remark', '$PLAIN'], true],
    ['blanks in front', ['  \t $PLAIN'], true],
    ['blanks between', ['restrict   $PLAIN'], true],
    ['a tab behind the options', ['restrict\t$PLAIN'], true],
    ['the line as a remark', ['#$PLAIN'], false],
    ['a line of nonsense in front', ['nonsense', 'ssh-ed25519 AAAA', '$PLAIN'], true],
    ['a NUL in the line in front', ['abc\0def', '$PLAIN'], true],
    ['a line that ends CR LF', ['$PLAIN\r'], true],
    ['another key', ['$KEY2'], false],
    ['a second key', ['$KEY2', '$PLAIN'], true],
    ['a line of 8 KB in front', [`# ${'x'.repeat(8192)}`, '$PLAIN'], true],
    ['an option of 8 KB', [`command="echo ${'x'.repeat(8192)}" $PLAIN`], true],
    ['an empty file', [], false],
    ['the first line refuses by from=', ['from="10.0.0.1" $PLAIN', '$PLAIN'], true],
    ['the first line is expired', ['expiry-time="20200101" $PLAIN', '$PLAIN'], true],
    ['the first line has an unknown option', ['no-such $PLAIN', '$PLAIN'], true],
  ] as const
).map(([name, keys, opens]) => ({ name, keys, steps: ['key'], is: opens ? 'accepted' : out }));

const files: readonly Row[] = (
  [
    ['.ssh/authorized_keys', true],
    ['%h/.ssh/authorized_keys', true],
    ['/home/%u/.ssh/authorized_keys', true],
    ['.ssh/none-here .ssh/authorized_keys', true],
    ['.ssh/none-here', false],
    ['none', false],
    ['NONE', false],
    ['.ssh/%u', false],
    ['.ssh/%%', false],
    ['/etc/ssh/keys-%U', false],
    ['".ssh/authorized_keys"', true],
    ['.ssh/../.ssh/authorized_keys', true],
    ['.ssh', false],
    ['/dev/null', false],
    ['/no/such/folder/%u', false],
  ] as const
).map(([value, opens]) => ({
  name: `AuthorizedKeysFile ${value}`,
  set: [`AuthorizedKeysFile ${value}`],
  steps: ['key'],
  is: opens ? 'accepted' : out,
}));

type Spoil = (home: string, uid: number) => void;
const modes: readonly Row[] = (
  [
    ['a home that all may write', (home) => chmodSync(home, 0o777), false],
    ['a home that the own group may write', (home) => chmodSync(home, 0o775), true],
    ['a home of mode 0', (home) => chmodSync(home, 0), false],
    ['a home that only its owner sees', (home) => chmodSync(home, 0o700), true],
    ['a home with a sticky bit that all may write', (home) => chmodSync(home, 0o1777), false],
    ['a home of root', (home) => chownSync(home, 0, 0), true],
    ['a home of another user', (home) => chownSync(home, 2999, 2999), false],
    ['~/.ssh that all may write', (home) => chmodSync(`${home}/.ssh`, 0o777), false],
    ['~/.ssh of mode 0755', (home) => chmodSync(`${home}/.ssh`, 0o755), true],
    [
      '~/.ssh of root',
      (home) => (chownSync(`${home}/.ssh`, 0, 0), chmodSync(`${home}/.ssh`, 0o755)),
      true,
    ],
    ['~/.ssh of root that the user cannot enter', (home) => chownSync(`${home}/.ssh`, 0, 0), false],
    ['~/.ssh of another user', (home) => chownSync(`${home}/.ssh`, 2999, 2999), false],
    [
      '~/.ssh that a foreign group may write',
      (home, uid) => (chownSync(`${home}/.ssh`, uid, 60), chmodSync(`${home}/.ssh`, 0o770)),
      false,
    ],
    ['a file that all may write', (home) => chmodSync(keyFile(home), 0o666), false],
    ['a file that all may read', (home) => chmodSync(keyFile(home), 0o644), true],
    ['a file that the own group may write', (home) => chmodSync(keyFile(home), 0o660), true],
    [
      'a file that a foreign group may write',
      (home, uid) => (chownSync(keyFile(home), uid, 60), chmodSync(keyFile(home), 0o660)),
      false,
    ],
    ['a file of mode 0', (home) => chmodSync(keyFile(home), 0), false],
    [
      'a file of root that all may read',
      (home) => (chownSync(keyFile(home), 0, 0), chmodSync(keyFile(home), 0o644)),
      true,
    ],
    ['a file of root that the user cannot read', (home) => chownSync(keyFile(home), 0, 0), false],
    [
      'a file of another user',
      (home) => (chownSync(keyFile(home), 2999, 2999), chmodSync(keyFile(home), 0o644)),
      false,
    ],
    [
      'a link to a good file of the user',
      (home) => (
        renameSync(keyFile(home), `${home}/.ssh/real`), symlinkSync('real', keyFile(home))
      ),
      true,
    ],
    [
      'a link that leads nowhere',
      (home) => (rmSync(keyFile(home)), symlinkSync('/no/such', keyFile(home))),
      false,
    ],
    [
      'a link to itself',
      (home) => (rmSync(keyFile(home)), symlinkSync(keyFile(home), keyFile(home))),
      false,
    ],
    [
      'a link into a folder that all may write',
      (home) => {
        mkdirSync(`${home}/open`);
        chmodSync(`${home}/open`, 0o777);
        renameSync(keyFile(home), `${home}/open/keys`);
        symlinkSync('../open/keys', keyFile(home));
      },
      false,
    ],
    [
      'a folder in the place of the file',
      (home) => (rmSync(keyFile(home)), mkdirSync(keyFile(home))),
      false,
    ],
    [
      'a FIFO in the place of the file',
      (home) => (rmSync(keyFile(home)), void run('mkfifo', ['-m', '644', keyFile(home)])),
      false,
    ],
    ['no ~/.ssh', (home) => rmSync(`${home}/.ssh`, { recursive: true }), false],
    ['no home', (home) => rmSync(home, { recursive: true }), false],
    [
      'a link in the place of ~/.ssh',
      (home) => (renameSync(`${home}/.ssh`, `${home}/real`), symlinkSync('real', `${home}/.ssh`)),
      true,
    ],
  ] as readonly (readonly [string, Spoil, boolean])[]
).map(([name, spoil, opens]) => ({ name, spoil, steps: ['key'], is: opens ? 'accepted' : out }));

const forced: readonly Row[] = (
  [
    [['ForceCommand echo config'], '$PLAIN', 'exec x', '0: config'],
    [['ForceCommand echo config'], 'command="echo key" $PLAIN', 'exec x', '0: config'],
    [['ForceCommand none'], 'command="echo key" $PLAIN', 'exec x', '0: key'],
    [['ForceCommand echo "[$SSH_ORIGINAL_COMMAND]"'], '$PLAIN', 'exec a  b', '0: [a  b]'],
    [['ForceCommand echo "[$SSH_ORIGINAL_COMMAND]"'], '$PLAIN', 'shell', '0: []'],
    [['ForceCommand exit 9'], '$PLAIN', 'tty x', '9:'],
    [['ForceCommand echo config'], '$PLAIN', 'subsystem probe', '0: config'],
    [
      ['ForceCommand echo "[$SSH_ORIGINAL_COMMAND]"'],
      '$PLAIN',
      'subsystem probe',
      '0: [/bin/echo probe]',
    ],
    [['ForceCommand echo config'], '$PLAIN', 'subsystem none-such', 'no subsystem'],
    [[], 'command="echo key" $PLAIN', 'subsystem probe', '0: key'],
    [['PermitTTY no'], '$PLAIN', 'tty echo in', 'no pty-req, 0: in'],
    [['PermitTTY yes'], 'no-pty $PLAIN', 'tty echo in', 'no pty-req, 0: in'],
    [['PermitTTY yes'], 'restrict,pty $PLAIN', 'tty echo in', '0: in'],
    [['PermitTTY no'], 'restrict,pty $PLAIN', 'tty echo in', 'no pty-req, 0: in'],
    [[], 'pty,restrict $PLAIN', 'tty echo in', 'no pty-req, 0: in'],
    [[], 'no-pty,pty $PLAIN', 'tty echo in', '0: in'],
    [[], 'pty,no-pty $PLAIN', 'tty echo in', 'no pty-req, 0: in'],
  ] as const
).map(([set, line, step, end]) => ({
  name: `${[...set, line.replace('$PLAIN', 'key'), step].join(', ')}`,
  set: [...set, 'PermitUserRC yes'],
  keys: [line],
  steps: ['key', step],
  is: `accepted | ${end}`,
}));

differential(lab, {
  name: 'which key opens what, as by sshd',
  config: [
    ...['UsePAM yes', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no'],
    'Subsystem probe /bin/echo probe',
  ],
  rows: [...options, strict, ...linesOf, ...files, ...modes, ...forced],
});
