/**
 * By which methods, after how many tries, with which account: AuthenticationMethods, the switches of
 * the methods, PermitEmptyPasswords, MaxAuthTries, shells, locked and expired accounts with PAM; each
 * row as at Debian's sshd. Runs in: test, in the lab.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { differential, type Row } from '../../support/differential.ts';
import { inLab } from '../../support/lab.ts';

const lab = inLab(import.meta.url);
const all = 'publickey,password,keyboard-interactive';
const tooMany = 'closed 2: Too many authentication failures';

/** A list of AuthenticationMethods, the attempts, and what they come to. */
const chains: readonly Row[] = (
  [
    ['any', ['key'], 'accepted'],
    ['publickey', ['none', 'key'], 'refused: publickey | accepted'],
    ['publickey', ['password secret'], 'refused: publickey'],
    ['password', ['key', 'password secret'], 'refused: password | accepted'],
    ['publickey,password', ['none'], 'refused: publickey'],
    ['publickey,password', ['password secret'], 'refused: publickey'],
    ['publickey,password', ['key'], 'partial: password'],
    ['publickey,password', ['key', 'password secret'], 'partial: password | accepted'],
    ['publickey,password', ['key', 'key'], 'partial: password | refused: password'],
    ['publickey,password', ['key', 'password wrong'], 'partial: password | refused: password'],
    [
      'publickey,password',
      ['key', 'password wrong', 'password secret'],
      'partial: password | refused: password | accepted',
    ],
    ['password,publickey', ['password secret', 'key'], 'partial: publickey | accepted'],
    [
      'publickey,keyboard-interactive',
      ['key', 'kbd secret'],
      'partial: keyboard-interactive | Password: accepted',
    ],
    [
      'publickey,keyboard-interactive:pam',
      ['key', 'kbd secret'],
      'partial: keyboard-interactive | Password: accepted',
    ],
    ['publickey,publickey', ['key', 'key'], 'partial: publickey | refused: publickey'],
    ['publickey,publickey', ['key', 'key other'], 'partial: publickey | accepted'],
    ['publickey,password publickey,keyboard-interactive', ['none'], 'refused: publickey'],
    [
      'publickey,password publickey,keyboard-interactive',
      ['key'],
      'partial: password,keyboard-interactive',
    ],
    [
      'publickey,password publickey,keyboard-interactive',
      ['key', 'password secret'],
      'partial: password,keyboard-interactive | accepted',
    ],
    [
      'publickey,password keyboard-interactive',
      ['none'],
      'refused: publickey,keyboard-interactive',
    ],
    ['publickey,password keyboard-interactive', ['kbd secret'], 'Password: accepted'],
    ['publickey publickey,password', ['key'], 'accepted'],
    ['hostbased publickey', ['none'], 'refused: publickey'],
    ['hostbased publickey', ['key'], 'accepted'],
    ['hostbased,publickey password', ['key', 'password secret'], 'refused: password | accepted'],
    ['publickey,hostbased password', ['key', 'password secret'], 'refused: password | accepted'],
    [
      'keyboard-interactive:none-such publickey',
      ['kbd secret', 'key'],
      /refused: publickey.* \| accepted$/,
    ],
    ['none', ['none'], /./],
    [
      'publickey,password,keyboard-interactive',
      ['key', 'password secret', 'kbd secret'],
      'partial: password | partial: keyboard-interactive | Password: accepted',
    ],
  ] as const
).map(([list, steps, is]) => ({
  name: `AuthenticationMethods ${list}: ${steps.join(', ')}`,
  set: [`AuthenticationMethods ${list}`],
  keys: ['$PLAIN', '$KEY2'],
  steps,
  is,
}));

/** Which methods are on, and what `none` and each of them come to. */
const onOrOff = [true, false] as const;
const switches: readonly Row[] = onOrOff.flatMap((publickey) =>
  onOrOff.flatMap((password) =>
    onOrOff.map((keyboard): Row => {
      const word = (is: boolean): string => (is ? 'yes' : 'no');
      const methods = [
        ...(publickey ? ['publickey'] : []),
        ...(password ? ['password'] : []),
        ...(keyboard ? ['keyboard-interactive'] : []),
      ].join(',');
      return {
        name: `PubkeyAuthentication ${word(publickey)}, PasswordAuthentication ${word(password)}, KbdInteractiveAuthentication ${word(keyboard)}`,
        set: [
          `PubkeyAuthentication ${word(publickey)}`,
          `PasswordAuthentication ${word(password)}`,
          `KbdInteractiveAuthentication ${word(keyboard)}`,
        ],
        steps: [
          'none',
          ...(publickey ? [] : ['key']),
          ...(password ? [] : ['password secret']),
          ...(keyboard ? [] : ['kbd secret']),
        ],
        is: methods === '' ? /./ : new RegExp(`^refused: ${methods}( \\| refused: ${methods})*$`),
      };
    }),
  ),
);

const tries: readonly Row[] = (
  [
    [1, ['none', 'password wrong'], `refused: ${all} | ${tooMany}`],
    [1, ['key'], 'accepted'],
    [2, ['key other', 'key'], `refused: ${all} | accepted`],
    [2, ['key other', 'key other'], `refused: ${all} | ${tooMany}`],
    [2, ['ask other', 'ask other'], `refused: ${all} | ${tooMany}`],
    [2, ['ask', 'ask', 'ask', 'key'], 'acceptable | acceptable | acceptable | accepted'],
    [2, ['none', 'none', 'key'], /./],
    [
      3,
      ['key other', 'password wrong', 'key other'],
      `refused: ${all} | refused: ${all} | ${tooMany}`,
    ],
    [
      3,
      ['kbd wrong', 'kbd wrong', 'kbd wrong'],
      `Password: refused: ${all} | Password: refused: ${all} | Password: ${tooMany}`,
    ],
    [
      3,
      ['password wrong', 'key other', 'kbd secret'],
      `refused: ${all} | refused: ${all} | Password: accepted`,
    ],
    [0, ['key'], /./],
  ] as const
).map(([most, steps, is]) => ({
  name: `MaxAuthTries ${most}: ${steps.join(', ')}`,
  set: [`MaxAuthTries ${most}`],
  steps,
  is,
}));

const empty: readonly Row[] = (
  [
    ['no', ':19000:0:99999:7:::', ['none', 'password '], /^refused: \S+ \| refused: \S+$/],
    ['yes', ':19000:0:99999:7:::', ['none'], 'accepted'],
    ['yes', ':19000:0:99999:7:::', ['password '], 'accepted'],
    ['yes', ':19000:0:99999:7:::', ['password x'], /./],
    ['yes', '$H:19000:0:99999:7:::', ['none', 'password '], /^refused: \S+ \| refused: \S+$/],
    ['yes', '*:19000:0:99999:7:::', ['none', 'password '], /^refused: \S+ \| refused: \S+$/],
    ['yes', '!:19000:0:99999:7:::', ['none', 'password '], /^refused: \S+ \| refused: \S+$/],
  ] as const
).map(([value, shadow, steps, is]) => ({
  name: `PermitEmptyPasswords ${value}, shadow ${shadow}: ${steps.join(', ')}`,
  set: [`PermitEmptyPasswords ${value}`],
  shadow,
  steps,
  is,
}));

/** Accounts, the step, and what it comes to. */
const states: readonly Row[] = (
  [
    ['a usual one', {}, ['password secret', 'exec id -un'], /^accepted \| 0: row\d+$/],
    ['a wrong password', {}, ['password wrong'], `refused: ${all}`],
    ['a locked password', { shadow: '!$H:19000:0:99999:7:::' }, ['key'], 'accepted'],
    [
      'a locked password',
      { shadow: '!$H:19000:0:99999:7:::' },
      ['password secret'],
      `refused: ${all}`,
    ],
    ['no password', { shadow: '*:19000:0:99999:7:::' }, ['key'], 'accepted'],
    ['no password but !', { shadow: '!:19000:0:99999:7:::' }, ['key'], 'accepted'],
    [
      'a password that was never changed',
      { shadow: '$H:0:0:99999:7:::' },
      ['key', 'exec echo in'],
      /^accepted \| 1: /,
    ],
    [
      'a password that is too old',
      { shadow: '$H:100:0:10:7:::' },
      ['key', 'exec echo in'],
      /^accepted \| 1: /,
    ],
    [
      'a password that is too old, and tunnels',
      { shadow: '$H:100:0:10:7:::' },
      ['key', 'open 127.0.0.1 $ECHO', 'listen 127.0.0.1 $PORT'],
      'accepted | failed 1 | refused',
    ],
    ['no shell that is there', { shell: '/no/such/shell' }, ['key'], `refused: ${all}`],
    ['no shell that is there', { shell: '/no/such/shell' }, ['password secret'], `refused: ${all}`],
    ['a shell that is no program', { shell: '/etc/not-program' }, ['key'], `refused: ${all}`],
    ['a folder for a shell', { shell: '/etc' }, ['key'], `refused: ${all}`],
    ['an empty shell', { shell: '' }, ['key', 'exec echo in'], 'accepted | 0: in'],
    [
      'nologin',
      { shell: '/usr/sbin/nologin' },
      ['key', 'exec echo in'],
      /^accepted \| 1: This account is currently not available/,
    ],
    [
      'nologin, as a shell',
      { shell: '/usr/sbin/nologin' },
      ['key', 'shell echo in'],
      /^accepted \| 1: This account is currently not available/,
    ],
    [
      'nologin, and tunnels',
      { shell: '/usr/sbin/nologin' },
      ['key', 'open 127.0.0.1 $ECHO'],
      'accepted | open',
    ],
    ['/bin/false', { shell: '/bin/false' }, ['key', 'exec echo in'], 'accepted | 1:'],
    [
      'a home that is not there',
      { spoil: () => undefined, shell: '/bin/sh' },
      ['password secret', 'exec pwd'],
      /^accepted \| 0: /,
    ],
  ] as readonly (readonly [string, Partial<Row>, readonly string[], string | RegExp])[]
).map(([name, account, steps, is]) => ({ name: `${name}: ${steps[0]}`, ...account, steps, is }));

/** PAM's account stage says no. */
const over: readonly Row[] = (
  [
    ['$H:19000:0:99999:7::1:', 'key'],
    ['$H:19000:0:99999:7::1:', 'password secret'],
    ['$H:19000:0:99999:7::1:', 'kbd secret'],
    ['$H:100:0:10:7:5::', 'key'],
    ['$H:100:0:10:7:5::', 'kbd secret'],
  ] as const
).map(([shadow, step]) => ({
  name: `an account that is over, shadow ${shadow}: ${step}`,
  shadow,
  steps: [step],
  is: step === 'kbd secret' ? /^Password: Your account has expired.* refused: / : 'closed',
  differs: {
    is: /closed 2: Access denied by the account configuration$/,
    because: 'another method would come to the same: the connection ends, and the client is told',
  },
}));

differential(lab, {
  name: 'by which methods and with which account, as by sshd',
  config: ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'Subsystem probe /bin/echo probe'],
  rows: [...chains, ...switches, ...tries, ...empty, ...states, ...over],
  prepare() {
    writeFileSync('/etc/not-program', '');
    chmodSync('/etc/not-program', 0o644);
  },
});
