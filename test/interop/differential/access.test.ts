/**
 * Who is let in: AllowUsers, DenyUsers, AllowGroups, DenyGroups, Match of every criterion,
 * PermitRootLogin; each row as at Debian's sshd. Runs in: test, in the lab.
 */
import { differential, type Row } from '../../support/differential.ts';
import { inLab } from '../../support/lab.ts';

const lab = inLab(import.meta.url);
const out = 'refused: publickey,password,keyboard-interactive';

/** Lists of one keyword and whether the plain key opens under them. */
function lists(keyword: string, cases: readonly (readonly [string, boolean, Partial<Row>?])[]) {
  return cases.map(
    ([list, opens, more]): Row => ({
      name: `${keyword} ${list}${more?.from === undefined ? '' : ` from ${more.from.localAddress ?? more.from.host}`}`,
      set: [`${keyword} ${list}`],
      steps: ['key'],
      is: opens ? 'accepted' : out,
      ...more,
    }),
  );
}

const from2 = { from: { localAddress: '127.0.0.2' } };
const six = { from: { host: '::1' } };
const member = { groups: ['wheel', 'staff-a'] };

const users: readonly Row[] = [
  ...lists('AllowUsers', [
    ['$U', true],
    ['nobody-else', false],
    ['nobody-else $U', true],
    ['$U,nobody-else', false], // one pattern, not a list of them
    ['row*', true],
    ['row???', true],
    ['row????', false],
    ['ROW*', false],
    ['*', true],
    ['!$U', false],
    ['!$U *', true],
    ['$U@127.0.0.1', true],
    ['$U@127.0.0.2', false],
    ['$U@127.0.0.1', false, from2],
    ['$U@127.0.0.2', true, from2],
    ['$U@127.0.0.0/8', true],
    ['$U@10.0.0.0/8', false],
    ['$U@127.0.0.?', true],
    ['$U@127.*', true],
    ['$U@*', true],
    ['*@127.0.0.1', true],
    ['$U@!127.0.0.1', false],
    ['$U@!127.0.0.1,*', false],
    ['$U@10.0.0.1,127.0.0.0/30', true],
    ['$U@::1', false],
    ['$U@::1', true, six],
    ['$U@::/0', true, six],
    ['$U@127.0.0.1/32', true],
    ['$U@localhost', false], // no UseDNS
    ['root@127.0.0.1 $U@10.1.1.1', false],
    ['"$U"', true],
  ]),
  ...lists('DenyUsers', [
    ['$U', false],
    ['nobody-else', true],
    ['row*', false],
    ['$U@127.0.0.1', false],
    ['$U@127.0.0.2', true],
    ['$U@127.0.0.0/8', false],
    ['$U@10.0.0.0/8', true],
    ['!$U', true],
    ['!$U,row*', true],
    ['*@127.0.0.1', false],
    ['*@!127.0.0.1', true],
    ['$U@!127.0.0.1,*', true],
    ['$U@::1', false, six],
    ['$U@::1', true],
    ['nobody-else $U', false],
  ]),
  ...lists('AllowGroups', [
    ['$U', true],
    ['wheel', false],
    ['wheel', true, member],
    ['whe*', true, member],
    ['staff-?', true, member],
    ['!wheel', false, member],
    ['!wheel *', true, member],
    ['games wheel', true, member],
    ['wheel,games', false, member],
    ['WHEEL', false, member],
    ['0', false],
  ]),
  ...lists('DenyGroups', [
    ['$U', false],
    ['wheel', true],
    ['wheel', false, member],
    ['staff-*', false, member],
    ['!wheel', true, member],
    ['!wheel,*', true, member],
    ['*', false],
  ]),
  ...(
    [
      [['DenyUsers $U', 'AllowUsers $U'], false],
      [['AllowUsers $U', 'DenyGroups $U'], false],
      [['AllowUsers $U', 'AllowGroups wheel'], false],
      [['AllowUsers $U', 'AllowGroups $U'], true],
      [['AllowUsers nobody-else', 'AllowUsers $U'], true],
      [['DenyUsers nobody-else', 'DenyUsers $U'], false],
      [['AllowGroups nobody-else', 'AllowGroups $U'], true],
      [['DenyUsers $U@10.0.0.1', 'AllowUsers $U@127.0.0.1'], true],
      [['DenyGroups games', 'AllowGroups $U games'], true],
    ] as const
  ).map(
    ([set, opens]): Row => ({
      name: set.join(', '),
      set,
      steps: ['key'],
      is: opens ? 'accepted' : out,
    }),
  ),
];

/** Criteria of a block that, if they hold, forces a command. */
function criteria(cases: readonly (readonly [string, boolean, Partial<Row>?])[]): readonly Row[] {
  return cases.map(
    ([list, holds, more]): Row => ({
      name: `Match ${list} ${holds ? 'holds' : 'does not hold'}`,
      blocks: [[`User $U ${list}`, 'ForceCommand echo held']],
      steps: ['key', 'exec echo free'],
      is: `accepted | 0: ${holds ? 'held' : 'free'}`,
      ...more,
    }),
  );
}

const matches: readonly Row[] = [
  ...criteria([
    ['User $U', true],
    ['User $U,nobody-else', true],
    ['User nobody-else,$U', true],
    ['User !$U,row*', false],
    ['User $U,!row*', false],
    ['User !nobody-else', false],
    ['User "$U"', true],
    ['user $U', true],
    ['User=$U', true],
    ['User $U User row*', true],
    ['User $U User nobody-else', false],
    ['Group $U', true],
    ['Group wheel', false],
    ['Group wheel', true, member],
    ['Group whe*,games', true, member],
    ['Group !wheel,*', false, member],
    ['Group *,!wheel', false, member],
    ['Group !games,*', true, member],
    ['Group !games', false, member],
    ['Group WHEEL', false, member],
    ['Address 127.0.0.1', true],
    ['Address 127.0.0.2', false],
    ['Address 127.0.0.2', true, from2],
    ['Address 127.0.0.0/8', true],
    ['Address 127.0.0.0/31', true],
    ['Address 127.0.0.0/31', false, from2],
    ['Address 127.0.0.0/8,!127.0.0.1', false],
    ['Address !127.0.0.1,127.0.0.0/8', false],
    ['Address !10.0.0.0/8,*', true],
    ['Address !10.0.0.0/8', false],
    ['Address 127.?.0.*', true],
    ['Address ::1', true, six],
    ['Address ::/64', true, six],
    ['Address 0.0.0.0/0', false, six],
    ['Address 0.0.0.0/0', true],
    ['Host 127.0.0.1', true],
    ['Host 127.*', true],
    ['Host localhost', false],
    ['Host !127.0.0.1,*', false],
    ['LocalAddress 127.0.0.1', true],
    ['LocalAddress 127.0.0.2', true, { from: { host: '127.0.0.2' } }],
    ['LocalAddress 127.0.0.2', false],
    ['LocalAddress ::1', true, six],
    ['LocalAddress 127.0.0.0/8,!127.0.0.1', false],
    ['LocalPort $EXTRA', false],
    ['LocalPort $EXTRA', true, { isExtraPort: true }],
    ['RDomain *', true],
    ['RDomain vrf1', false],
    ['Group $U Address 127.0.0.1 LocalAddress 127.0.0.1', true],
    ['Group $U Address 127.0.0.1 LocalAddress 127.0.0.2', false],
    ['Group wheel Address 127.0.0.1', false],
    ['Host 127.0.0.1 LocalPort $EXTRA', true, { isExtraPort: true }],
  ]),
  {
    name: 'of two blocks that hold the first has its say',
    blocks: [
      ['User $U', 'ForceCommand echo first'],
      ['User $U', 'ForceCommand echo second', 'PermitTTY no'],
    ],
    steps: ['key', 'tty true'],
    is: 'accepted | no pty-req, 0: first',
  },
  {
    name: 'a block that does not hold says nothing',
    blocks: [
      ['User $U Address 10.0.0.1', 'ForceCommand echo first'],
      ['User $U', 'ForceCommand echo second'],
    ],
    steps: ['key', 'exec true'],
    is: 'accepted | 0: second',
  },
  {
    name: 'a list that adds up does so over blocks',
    blocks: [
      ['User $U', 'AllowUsers nobody-else'],
      ['User $U', 'AllowUsers $U'],
    ],
    steps: ['key'],
    is: 'accepted',
  },
];

const forced = 'command="echo forced" $PLAIN';
const rootRows = (
  [
    ['yes', 'key', '$PLAIN', 'accepted'],
    ['yes', 'password secret', '$PLAIN', 'accepted'],
    ['yes', 'kbd secret', '$PLAIN', 'Password: accepted'],
    ['no', 'key', '$PLAIN', out],
    ['no', 'key', forced, out],
    ['no', 'password secret', '$PLAIN', out],
    ['no', 'kbd secret', '$PLAIN', `Password: ${out}`],
    ['prohibit-password', 'key', '$PLAIN', 'accepted'],
    ['prohibit-password', 'password secret', '$PLAIN', out],
    ['prohibit-password', 'kbd secret', '$PLAIN', `Password: ${out}`],
    ['without-password', 'key', '$PLAIN', 'accepted'],
    ['without-password', 'password secret', '$PLAIN', out],
    ['forced-commands-only', 'key', forced, 'accepted'],
    ['forced-commands-only', 'password secret', '$PLAIN', out],
    ['forced-commands-only', 'kbd secret', forced, `Password: ${out}`],
  ] as const
).flatMap(([value, step, line, is]): readonly Row[] => [
  {
    name: `PermitRootLogin ${value}: ${step}${line === forced ? ' with a command' : ''}`,
    uid: 0,
    set: [`PermitRootLogin ${value}`],
    keys: [line],
    steps: [step],
    is,
  },
]);

const toldTooEarly = {
  is: /^(accepted \| )?closed/,
  differs: {
    is: out,
    because:
      'sshd’s child does not see that the key has no command: it tells success, then is ended',
  },
} as const;

const root: readonly Row[] = [
  ...rootRows,
  {
    name: 'forced-commands-only: a ForceCommand is not one of the key',
    uid: 0,
    set: ['PermitRootLogin forced-commands-only', 'ForceCommand echo config'],
    steps: ['key', 'exec true'],
    ...toldTooEarly,
  },
  {
    name: 'PermitRootLogin forced-commands-only: a key without a command',
    uid: 0,
    set: ['PermitRootLogin forced-commands-only'],
    steps: ['key', 'exec true'],
    ...toldTooEarly,
  },
  {
    name: 'forced-commands-only: the command of a certificate is one',
    uid: 0,
    set: ['PermitRootLogin forced-commands-only', 'TrustedUserCAKeys /etc/ssh/differential-ca.pub'],
    keys: [],
    certificates: { c: ['-n', '$U', '-O', 'force-command=echo certified'] },
    steps: ['cert c', 'exec true'],
    is: 'accepted | 0: certified',
  },
  {
    name: 'forced-commands-only: a certificate without one',
    uid: 0,
    set: ['PermitRootLogin forced-commands-only', 'TrustedUserCAKeys /etc/ssh/differential-ca.pub'],
    keys: [],
    certificates: { c: ['-n', '$U'] },
    steps: ['cert c', 'exec true'],
    ...toldTooEarly,
  },
  {
    name: 'PermitRootLogin no is of uid 0, not of a name',
    set: ['PermitRootLogin no'],
    steps: ['key'],
    is: 'accepted',
  },
];

differential(lab, {
  name: 'who is let in, as by sshd',
  config: ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'StrictModes yes'],
  rows: [...users, ...matches, ...root],
});
