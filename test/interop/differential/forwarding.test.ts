/**
 * What may be forwarded: AllowTcpForwarding, PermitOpen, PermitListen, GatewayPorts,
 * DisableForwarding, AllowStreamLocalForwarding, agent and X11, with the options of keys; each row as
 * at Debian's sshd. Runs in: test, in the lab.
 */
import { differential, type Row } from '../../support/differential.ts';
import { inLab } from '../../support/lab.ts';

const lab = inLab(import.meta.url);

interface Case {
  readonly set?: readonly string[];
  readonly option?: string;
  readonly differs?: Row['differs'];
}

/** Every kind of forwarding at once, so that each combination is one row. */
const kinds = [
  'open 127.0.0.1 $ECHO',
  'listen 127.0.0.1 $PORT',
  'socket $SOCKET',
  'listen-socket /tmp/rows/$U',
  'agent',
  'x11',
];
/** A letter each: `TLSMAX`, small for what is refused. */
const letters = (text: string): string => {
  const [t, l, s, m, a, x] = [...text].map((letter) => letter === letter.toUpperCase());
  return [
    'accepted',
    t ? 'open' : 'failed 1',
    l ? 'bound 127.0.0.1' : 'refused',
    s ? 'open' : 'failed',
    m ? 'bound' : 'refused',
    a ? '0: agent' : 'no auth-agent-req@openssh.com, 0: none',
    x ? '0: display' : 'no x11-req, 0:',
  ].join(' | ');
};
const combination = (of: string, is: string, { set = [], option = '', differs }: Case): Row => ({
  name: `everything under ${of}`,
  set,
  keys: [`${option} $PLAIN`.trimStart()],
  steps: ['key', ...kinds],
  is: letters(is),
  ...(differs === undefined ? {} : { differs }),
});

const byConfig: readonly Row[] = (
  [
    ['TLSMAX', []],
    ['tlsmAX', ['AllowTcpForwarding no']],
    ['TlSmAX', ['AllowTcpForwarding local']],
    ['tLsMAX', ['AllowTcpForwarding remote']],
    ['TLSMAX', ['AllowTcpForwarding all']],
    ['TLsmAX', ['AllowStreamLocalForwarding no']],
    ['TLSmAX', ['AllowStreamLocalForwarding local']],
    ['TLsMAX', ['AllowStreamLocalForwarding remote']],
    ['TLSMaX', ['AllowAgentForwarding no']],
    ['TLSMAx', ['X11Forwarding no']],
    ['tLsMAX', ['PermitOpen none']],
    ['TlSMAX', ['PermitListen none']],
    ['TLSMAX', ['PermitOpen any', 'PermitListen any']],
    [
      'tlsmax',
      [
        'AllowTcpForwarding no',
        'AllowStreamLocalForwarding no',
        'AllowAgentForwarding no',
        'X11Forwarding no',
      ],
    ],
  ] as const
).map(([is, set]) => combination(set.join(', ') || 'nothing', is, { set }));

const byKey: readonly Row[] = (
  [
    ['tlsmaX', 'no-port-forwarding,no-agent-forwarding'],
    ['tlsmAX', 'no-port-forwarding'],
    ['TLSMaX', 'no-agent-forwarding'],
    ['TLSMAx', 'no-x11-forwarding'],
    ['tlsmax', 'restrict'],
    ['TLSMax', 'restrict,port-forwarding'],
    ['tlsmAx', 'restrict,agent-forwarding'],
    ['tlsmaX', 'restrict,x11-forwarding'],
    ['TLSMAX', 'restrict,port-forwarding,agent-forwarding,X11-forwarding'],
    ['tlsmax', 'port-forwarding,restrict'],
    ['TLSMAX', 'no-port-forwarding,port-forwarding'],
    ['tlsmAX', 'port-forwarding,no-port-forwarding'],
    ['tLsMAX', 'permitopen="127.0.0.1:1"'],
    ['TLsMAX', 'permitopen="127.0.0.1:*"'],
    ['TLsMAX', 'permitopen="*:$ECHO"'],
    ['tlsMAX', 'permitopen="127.0.0.1:1",permitlisten="1"'],
    ['TlSMAX', 'permitlisten="1"'],
    ['TLSMAX', 'permitlisten="$PORT"'],
    ['TLSMAX', 'permitlisten="127.0.0.1:$PORT"'],
    ['TlSMAX', 'permitlisten="localhost:$PORT"'],
    ['TLSMAX', 'permitlisten="*:$PORT"'],
  ] as const
).map(([is, option]) => combination(option, is, { option }));

const both: readonly Row[] = (
  [
    [
      'tlsmax',
      [
        'AllowTcpForwarding no',
        'AllowStreamLocalForwarding no',
        'AllowAgentForwarding no',
        'X11Forwarding no',
      ],
      'restrict,port-forwarding,agent-forwarding,x11-forwarding',
    ],
    ['tLsMAX', ['PermitOpen 127.0.0.1:1'], 'permitopen="127.0.0.1:$ECHO"'],
    ['tLsMAX', ['PermitOpen 127.0.0.1:$ECHO'], 'permitopen="127.0.0.1:1"'],
    ['TLsMAX', ['PermitOpen 127.0.0.1:$ECHO'], 'permitopen="127.0.0.1:$ECHO"'],
    ['TlSMAX', ['PermitListen 1'], 'permitlisten="$PORT"'],
    ['TlSMAX', ['PermitListen $PORT'], 'permitlisten="1"'],
    ['TLSMAX', ['PermitListen $PORT'], 'permitlisten="$PORT"'],
    ['TlSmAX', ['AllowTcpForwarding local'], 'permitlisten="$PORT"'],
  ] as const
).map(([is, set, option]) => combination(`${set.join(', ')} and ${option}`, is, { set, option }));

const disabled: readonly Row[] = (
  [
    [['DisableForwarding yes'], ''],
    [['DisableForwarding yes', 'AllowTcpForwarding yes', 'AllowStreamLocalForwarding yes'], ''],
    [['DisableForwarding yes'], 'restrict,port-forwarding,agent-forwarding,x11-forwarding'],
  ] as const
).map(([set, option]) => ({
  ...combination(`${set.join(', ')} ${option}`, 'tlsmax', { set, option }),
}));

/** One target each. */
const open: readonly Row[] = (
  [
    ['PermitOpen 127.0.0.1:$ECHO', 'open 127.0.0.1 $ECHO', 'open'],
    ['PermitOpen 127.0.0.1:$ECHO', 'open 127.0.0.1 $OTHER', 'failed 1'],
    ['PermitOpen 127.0.0.1:$ECHO', 'open localhost $ECHO', 'failed 1'],
    ['PermitOpen localhost:$ECHO', 'open localhost $ECHO', 'open'],
    ['PermitOpen localhost:$ECHO', 'open LOCALHOST $ECHO', /./],
    ['PermitOpen localhost:$ECHO', 'open 127.0.0.1 $ECHO', 'failed 1'],
    ['PermitOpen 127.0.0.1:1 127.0.0.1:$ECHO', 'open 127.0.0.1 $ECHO', 'open'],
    ['PermitOpen 127.0.0.1:*', 'open 127.0.0.1 $ECHO', 'open'],
    ['PermitOpen *:$ECHO', 'open 127.0.0.1 $ECHO', 'open'],
    ['PermitOpen *:$ECHO', 'open 127.0.0.1 $OTHER', 'failed 1'],
    ['PermitOpen *:*', 'open 127.0.0.1 $OTHER', 'open'],
    ['PermitOpen 127.*:$ECHO', 'open 127.0.0.1 $ECHO', /./],
    ['PermitOpen [127.0.0.1]:$ECHO', 'open 127.0.0.1 $ECHO', 'open'],
    ['PermitOpen [::1]:$ECHO', 'open 127.0.0.1 $ECHO', 'failed 1'],
    ['PermitOpen any', 'open 127.0.0.1 1', 'failed 2'],
    ['PermitOpen any', 'open no-such-host.invalid 1', 'failed 2'],
    ['PermitOpen any', 'open 127.0.0.1 0', /^accepted \| failed/],
    ['PermitOpen any', 'open 127.0.0.1 70000', /^accepted \| failed/],
    ['PermitOpen none', 'open 127.0.0.1 $ECHO', 'failed 1'],
    ['AllowTcpForwarding yes', 'socket /no/such/socket', 'failed'],
    ['AllowTcpForwarding yes', 'socket /etc/passwd', 'failed'],
    ['AllowTcpForwarding yes', 'socket relative', 'failed'],
    ['PermitOpen none', 'socket $SOCKET', 'failed'],
    ['PermitOpen *:*', 'socket $SOCKET', 'open'],
    ['PermitOpen *:1', 'socket $SOCKET', 'failed'],
    ['PermitListen none', 'socket $SOCKET', 'open'],
  ] as const
).map(([line, step, end]) => ({
  name: `${line}: ${step}`,
  set: [line],
  steps: ['key', step],
  is: typeof end === 'string' ? `accepted | ${end}` : end,
}));

const listening: readonly Row[] = ['no', 'yes', 'clientspecified'].flatMap((gateway) =>
  ['127.0.0.1', 'localhost', '-', '*', '0.0.0.0', '::1', '::', '127.0.0.2'].map(
    (host): Row => ({
      name: `GatewayPorts ${gateway}: listen on ${host}`,
      set: [`GatewayPorts ${gateway}`],
      steps: ['key', `listen ${host} $PORT`],
      is: /^accepted \| bound /,
    }),
  ),
);

const permitted: readonly Row[] = (
  [
    ['PermitListen $PORT', 'no', '127.0.0.1', true],
    ['PermitListen $PORT', 'no', 'localhost', true],
    ['PermitListen $PORT', 'no', '-', true],
    ['PermitListen localhost:$PORT', 'no', '127.0.0.1', false],
    ['PermitListen localhost:$PORT', 'no', 'localhost', true],
    ['PermitListen localhost:$PORT', 'no', '-', false],
    ['PermitListen 127.0.0.1:$PORT', 'no', '127.0.0.1', true],
    ['PermitListen 127.0.0.1:$PORT', 'no', 'localhost', false],
    ['PermitListen *:$PORT', 'no', 'localhost', true],
    ['PermitListen *:$PORT', 'clientspecified', '*', true],
    ['PermitListen localhost:*', 'no', 'localhost', true],
    ['PermitListen *:*', 'no', 'localhost', true],
    ['PermitListen 1 $PORT', 'no', 'localhost', true],
    ['PermitListen 1', 'no', 'localhost', false],
    ['PermitListen 0.0.0.0:$PORT', 'yes', '0.0.0.0', true],
    ['PermitListen 0.0.0.0:$PORT', 'yes', '*', false],
    ['PermitListen localhost:$PORT', 'clientspecified', '0.0.0.0', false],
    ['AllowTcpForwarding no', 'clientspecified', '0.0.0.0', false],
  ] as const
).map(([line, gateway, host, may]) => ({
  name: `${line}, GatewayPorts ${gateway}: listen on ${host}`,
  set: [line, `GatewayPorts ${gateway}`],
  steps: ['key', `listen ${host} $PORT`],
  is: may ? /^accepted \| bound / : 'accepted | refused',
}));

const sockets: readonly Row[] = (
  [
    ['listen-socket /tmp/rows/$U', 'bound'],
    ['listen-socket /no/such/folder/x', 'refused'],
    ['listen-socket /etc/row', 'refused'],
    ['listen-socket /tmp/rows', 'refused'],
  ] as const
).map(([step, end]) => ({ name: step, steps: ['key', step], is: `accepted | ${end}` }));

const low: readonly Row[] = [
  {
    name: 'a port of root’s',
    steps: ['key', 'listen 127.0.0.1 700'],
    is: 'accepted | refused',
  },
  {
    name: 'a port of root’s, for root',
    uid: 0,
    set: ['PermitRootLogin yes'],
    steps: ['key', 'listen 127.0.0.1 701'],
    is: 'accepted | bound 127.0.0.1',
  },
];

differential(lab, {
  name: 'what may be forwarded, as by sshd',
  config: ['UsePAM yes', 'X11Forwarding yes', 'XAuthLocation /usr/bin/xauth'],
  rows: [
    ...byConfig,
    ...byKey,
    ...both,
    ...disabled,
    ...open,
    ...listening,
    ...permitted,
    ...sockets,
    ...low,
  ],
});
