/** authorized_keys: every option, every quoting rule, and what spoils a line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KeyMatch, matchKey, maxLineBytes } from '../../../keys/authorized-keys.ts';
import { keyOptionNames, parseKeyOptions } from '../../../keys/key-options.ts';
import { parseExpiryTime } from '../../../keys/expiry-time.ts';
import { generateKey } from '../../../keys/keygen.ts';

const mine = generateKey({ type: 'ed25519' });
const other = generateKey({ type: 'ecdsa', bits: 256 });
const line = mine.publicFile.trim();
const use = {
  nowMs: Date.UTC(2026, 0, 15),
  remoteAddress: '192.0.2.7',
  remoteHost: '192.0.2.7',
  user: 'me',
};

function match(text: string, blob = mine.key.publicBlob): KeyMatch {
  return matchKey(Buffer.from(text), blob, use);
}
function optionsOf(options: string): Extract<KeyMatch, { is: 'match' }>['options'] {
  const found = match(`${options} ${line}\n`);
  assert.ok(found.is === 'match', options);
  return found.options;
}

test('the line of a key is found among comments, blanks and other keys', () => {
  const file = `\n# ${line}\n   \n${other.publicFile}\t ${line} a comment # more\n${line}\n`;
  const found = match(file);
  assert.equal(found.is, 'match');
  assert.equal(found.is === 'match' && found.line, 5);
  assert.equal(match(other.publicFile).is, 'none');
  assert.equal(match(file, other.key.publicBlob).is, 'match');
});

test('a file without a last newline and one with CR LF are read', () => {
  assert.equal(match(line).is, 'match');
  assert.equal(match(`${line}\r\n`).is, 'match');
  assert.equal(match(`no-pty ${line}\r\n`).is, 'match');
  const [type, base64] = line.split(' ');
  assert.equal(match(`${type} ${base64}\r\n`).is, 'match');
  assert.equal(match(`${type} ${base64?.replace(/=+$/, '')}\n`).is, 'match');
});

test('a line whose type is not the one of its key matches nothing', () => {
  const base64 = line.split(' ')[1];
  assert.equal(match(`ssh-rsa ${base64}\n`).is, 'none');
  assert.equal(match(`${base64}\n`).is, 'none');
  assert.equal(match(`sk-ssh-ed25519@openssh.com ${base64}\n`).is, 'none');
  assert.equal(match(`ssh-ed25519-cert-v01@openssh.com ${base64}\n`).is, 'none');
});

test('without options everything is permitted', () => {
  const found = match(line);
  assert.ok(found.is === 'match');
  const { options } = found;
  assert.ok(options.permitPty && options.permitPortForwarding && options.permitUserRc);
  assert.ok(options.permitAgentForwarding && options.permitX11Forwarding);
  assert.equal(options.command, undefined);
  assert.equal(options.permitOpen, undefined);
});

test('restrict takes everything, what stands behind it gives back', () => {
  const all = optionsOf('restrict');
  assert.deepEqual(
    [
      all.permitPty,
      all.permitPortForwarding,
      all.permitAgentForwarding,
      all.permitX11Forwarding,
      all.permitUserRc,
    ],
    [false, false, false, false, false],
  );
  const some = optionsOf('restrict,pty,X11-Forwarding');
  assert.ok(some.permitPty && some.permitX11Forwarding && !some.permitPortForwarding);
  assert.ok(!optionsOf('pty,restrict').permitPty);
});

test('each switch has its no- form', () => {
  assert.ok(!optionsOf('no-pty').permitPty);
  assert.ok(!optionsOf('no-port-forwarding').permitPortForwarding);
  assert.ok(!optionsOf('no-agent-forwarding').permitAgentForwarding);
  assert.ok(!optionsOf('NO-X11-FORWARDING').permitX11Forwarding);
  assert.ok(!optionsOf('no-user-rc').permitUserRc);
  assert.ok(!optionsOf('no-touch-required').needsTouch);
  assert.ok(optionsOf('verify-required').needsVerification);
  assert.ok(optionsOf('touch-required,user-rc,port-forwarding,agent-forwarding').needsTouch);
});

test('empty items count for nothing, as in sshd', () => {
  assert.ok(!optionsOf('no-pty,').permitPty);
  assert.ok(!optionsOf(',no-pty,,no-user-rc').permitUserRc);
});

test('a command keeps its blanks, commas and quotes', () => {
  assert.equal(optionsOf('command="echo \\"a, b\\" c\\\\d"').command, 'echo "a, b" c\\\\d');
  assert.equal(optionsOf('COMMAND="x"').command, 'x');
  assert.equal(optionsOf('command=""').command, '');
});

test('permitopen, permitlisten, environment and tunnel are read', () => {
  const { permitOpen, permitListen, environment, tunnel } = optionsOf(
    'permitopen="a:1",permitopen="[::1]:*",permitlisten="8080",permitlisten="*:9",environment="A=b=c",environment="A=second",environment="B=",tunnel="3"',
  );
  assert.deepEqual(permitOpen, [
    { host: 'a', port: 1 },
    { host: '::1', port: '*' },
  ]);
  assert.deepEqual(permitListen, [
    { host: '*', port: 8080 },
    { host: '*', port: 9 },
  ]);
  assert.deepEqual(environment, [
    ['A', 'b=c'],
    ['B', ''],
  ]);
  assert.equal(tunnel, '3');
});

const spoilt = [
  'no-such-option',
  'restrict,no-such-option',
  'no-restrict',
  'no-cert-authority',
  'command',
  'command=x',
  'command="x',
  'command="x","y"',
  'command="x",command="y"',
  'from="a",from="b"',
  'principals="a",principals="b"',
  'principals="me"',
  'no-pty,, no-user-rc',
  'no-ptyx',
  'pty="yes"',
  'environment="novalue"',
  'environment="A-B=c"',
  'environment="=c"',
  'permitopen="a"',
  'permitopen="a:0"',
  'permitopen="a:65536"',
  'permitopen=":1"',
  'permitopen="a:1:2"',
  'permitlisten="a:"',
  'expiry-time="yesterday"',
  'expiry-time="20261301"',
  'tunnel="x"',
  '__proto__',
  'constructor="x"',
  'tostring',
];
for (const options of spoilt) {
  test(`an option that is wrong spoils its line: ${options}`, () => {
    const found = match(`${options} ${line}\n`);
    assert.equal(found.is, 'none');
    const clean = match(`${options} ${line}\n${line}\n`);
    assert.ok(clean.is === 'match' && clean.line === 2);
  });
}

test('a spoilt line says why', () => {
  const found = match(`foo ${line}\n`);
  assert.deepEqual(found.refusals, [
    { line: 1, level: 'DEBUG1', text: 'bad key options: unknown key option', isPlaced: true },
  ]);
});

test('from= is kept, with sshd’s line for the log', () => {
  assert.equal(match(`from="192.0.2.0/24" ${line}`).is, 'match');
  assert.equal(match(`from="192.0.2.*,!192.0.2.8" ${line}`).is, 'match');
  assert.equal(match(`from="10.0.0.0/8,2001:db8::/32" ${line}`).is, 'none');
  assert.equal(match(`from="!192.0.2.7,*" ${line}`).is, 'none');
  assert.equal(match(`from="!10.0.0.1" ${line}`).is, 'none', 'only negations never match');
  assert.equal(match(`from="192.0.2.7/24" ${line}`).is, 'none', 'host bits');
  const found = match(`from="10.0.0.1" ${line}`);
  assert.deepEqual(found.refusals, [
    {
      line: 1,
      level: 'INFO',
      text: 'Authentication tried for me with correct key but not from a permitted host (host=192.0.2.7, ip=192.0.2.7, required=10.0.0.1).',
      isPlaced: true,
    },
    { line: 1, level: 'ERROR', text: 'Refused by key options', isPlaced: false },
  ]);
});

test('a refused line does not hide a later one, and its options do not leak into it', () => {
  const found = match(`from="10.0.0.1",command="x" ${line}\nno-pty ${line}\n`);
  assert.ok(found.is === 'match');
  assert.equal(found.line, 2);
  assert.equal(found.options.command, undefined);
  assert.ok(!found.options.permitPty);
  assert.deepEqual(found.refusals.at(-1), {
    line: 1,
    level: 'ERROR',
    text: 'Refused by key options',
    isPlaced: false,
  });
});

test('expiry-time: the earliest counts, the zone is told by Z', () => {
  assert.equal(match(`expiry-time="20260115Z" ${line}`).is, 'match');
  assert.equal(match(`expiry-time="20260114235959Z" ${line}`).is, 'none');
  assert.equal(match(`expiry-time="20270101Z",expiry-time="20250101Z" ${line}`).is, 'none');
  assert.equal(parseExpiryTime('20260102Z'), Date.UTC(2026, 0, 2));
  assert.equal(parseExpiryTime('202601020304Z'), Date.UTC(2026, 0, 2, 3, 4));
  assert.equal(parseExpiryTime('20260102030405UTC'), Date.UTC(2026, 0, 2, 3, 4, 5));
  assert.equal(parseExpiryTime('20260102'), new Date(2026, 0, 2).getTime());
  assert.equal(parseExpiryTime('20240229Z'), Date.UTC(2024, 1, 29));
  for (const wrong of [
    '',
    '2026',
    '20260230',
    '20250229',
    '20260431',
    '202601022460',
    '19691231',
    '20260102x',
  ]) {
    assert.equal(parseExpiryTime(wrong), undefined, wrong);
  }
});

test('cert-authority lines match no plain key', () => {
  assert.equal(match(`cert-authority ${line}`).is, 'none');
  assert.equal(match(`cert-authority,principals="me" ${line}`).is, 'none');
});

test('an open quote swallows the key of its line only', () => {
  assert.equal(match(`command="x ${line}\n`).is, 'none');
  assert.equal(match(`command="x ${line}\n${line}\n`).is, 'match');
});

test('a line beyond the bound matches nothing, the next one does', () => {
  const long = `command="${'x'.repeat(maxLineBytes)}" ${line}`;
  assert.equal(match(long).is, 'none');
  const found = match(`${long}\n${line}\n`);
  assert.ok(found.is === 'match' && found.line === 2);
});

test('a megabyte of hostile lines holds nobody up', () => {
  const kinds = [
    `${'"\\"'.repeat(20_000)}\n`,
    `${'a,'.repeat(30_000)} ${line}\n`,
    `${' '.repeat(60_000)}\n`,
    `${'\\'.repeat(60_000)}" ${line}\n`,
    `${'permitopen="a:1",'.repeat(3800)}x ${line}\n`,
    `from="${'10.0.0.0/8,'.repeat(5000)}1" ${line}\n`,
    `from="${'*1'.repeat(20_000)}" ${line}\n`,
    `expiry-time="20200101" ${line}\n`,
    '\n',
    'ssh-ed25519 \n',
    other.publicFile,
  ];
  for (const kind of kinds) {
    const file = Buffer.from(kind.repeat(Math.ceil(2 ** 20 / kind.length)));
    const times = Array.from({ length: 3 }, () => {
      const from = performance.now();
      const found = matchKey(file, mine.key.publicBlob, use);
      assert.ok(found.is === 'none' && found.refusals.length <= 101);
      return performance.now() - from;
    });
    assert.ok(Math.min(...times) < 150, `${kind.slice(0, 20)}: ${times.join(' ')} ms`);
  }
});

test('a key behind too many refused lines of its own is not found', () => {
  const refused = `from="${'10.0.0.0/8,'.repeat(5000)}1" ${line}\n`;
  assert.equal(match(`${refused}${line}\n`).is, 'match');
  const found = match(`${refused.repeat(4)}${line}\n`);
  assert.equal(found.is, 'none');
  assert.equal(found.refusals.at(-1)?.text, 'too many lines with this key');
});

test('every option of the manual is known', () => {
  const manual =
    'agent-forwarding cert-authority command= environment= expiry-time= from= no-agent-forwarding no-port-forwarding no-pty no-user-rc no-x11-forwarding permitlisten= permitopen= port-forwarding principals= pty no-touch-required restrict touch-required tunnel= user-rc verify-required x11-forwarding';
  for (const name of manual.split(' ')) {
    assert.ok(keyOptionNames.includes(name), name);
  }
  assert.ok(parseKeyOptions('').ok);
});
