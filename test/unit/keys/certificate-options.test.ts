/** Options of certificates, and two sets of options that hold together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchCertificate } from '../../../keys/authorized-keys.ts';
import { type Certificate, parseCertificate } from '../../../keys/certificate.ts';
import { optionsOfCertificate } from '../../../keys/certificate-options.ts';
import { type KeyOptions, noOptions, parseKeyOptions } from '../../../keys/key-options.ts';
import { generateKey } from '../../../keys/keygen.ts';
import { mergeOptions } from '../../../keys/merge-options.ts';
import { publicLine } from '../../../keys/public-key.ts';
import {
  authorityOf,
  forge,
  type ForgedFields,
  optionText,
} from '../../support/forged-certificate.ts';

const authority = generateKey({ type: 'ed25519' }).key;
const subject = generateKey({ type: 'ecdsa', bits: 256 }).key;
const nothing = Buffer.alloc(0);

function certificate(fields: Partial<ForgedFields>): Certificate {
  const type = 'ecdsa-sha2-nistp256-cert-v01@openssh.com';
  const all = { key: subject.publicBlob, certificateType: type, ...fields };
  const parsed = parseCertificate(forge(all, authorityOf(authority, 'ssh-ed25519')), [
    'ssh-ed25519',
  ]);
  assert.ok(parsed.ok);
  return parsed.certificate;
}

type Rows = NonNullable<ForgedFields['criticalOptions']>;

function critical(...criticalOptions: Rows) {
  return optionsOfCertificate(certificate({ criticalOptions }));
}

test('what is not permitted is forbidden', () => {
  const none = optionsOfCertificate(certificate({}));
  assert.ok(none.ok);
  const names = [
    ['permitX11Forwarding', 'permit-X11-forwarding'],
    ['permitAgentForwarding', 'permit-agent-forwarding'],
    ['permitPortForwarding', 'permit-port-forwarding'],
    ['permitPty', 'permit-pty'],
    ['permitUserRc', 'permit-user-rc'],
  ] as const;
  for (const [field, name] of names) {
    assert.equal(none.options[field], false);
    const one = optionsOfCertificate(certificate({ extensions: [[name, nothing]] }));
    assert.ok(one.ok);
    for (const [other] of names) {
      assert.equal(one.options[other], other === field, `${name}: ${other}`);
    }
  }
  assert.ok(none.options.needsTouch);
  const untouched = optionsOfCertificate(
    certificate({ extensions: [['no-touch-required', nothing]] }),
  );
  assert.ok(untouched.ok && !untouched.options.needsTouch);
});

test('critical options: understood, or the certificate is refused', () => {
  const forced = critical(['force-command', optionText('run "this"')]);
  assert.equal(forced.ok && forced.options.command, 'run "this"');
  const verified = critical(['verify-required', nothing]);
  assert.ok(verified.ok && verified.options.needsVerification);
  const limited = critical(['source-address', optionText('10.0.0.0/8,::1')]);
  assert.equal(limited.ok && limited.options.sourceAddress, '10.0.0.0/8,::1');
  for (const [rows, why] of [
    [[['no-touch-required', nothing]], /"no-touch-required" is not supported/],
    [[['permit-pty', nothing]], /"permit-pty" is not supported/],
    [[['Force-Command', optionText('x')]], /is not supported/],
    [[['constructor', nothing]], /"constructor" is not supported/],
    [[['force-command', nothing]], /Unable to parse "force-command"/],
    [[['force-command', optionText('a\0b')]], /Unable to parse "force-command"/],
    [[['force-command', Buffer.concat([optionText('x'), Buffer.of(1)])]], /corrupt \(extra data\)/],
    [[['verify-required', Buffer.of(1)]], /corrupt \(extra data\)/],
    [[['source-address', optionText('10.0.0.1/8')]], /source-address contents invalid/],
    [[['source-address', optionText('!10.0.0.1')]], /source-address contents invalid/],
    [[['source-address', optionText('10.*')]], /source-address contents invalid/],
    [[['source-address', optionText('')]], /source-address contents invalid/],
    [[['source-address', optionText('example.org')]], /source-address contents invalid/],
    [
      [
        ['force-command', optionText('x')],
        ['force-command', optionText('x')],
      ],
      /multiple force-command/,
    ],
    [
      [
        ['source-address', optionText('10.0.0.1')],
        ['source-address', optionText('10.0.0.1')],
      ],
      /multiple source-address/,
    ],
  ] as const satisfies readonly (readonly [Rows, RegExp])[]) {
    const refused = critical(...rows);
    assert.ok(!refused.ok, String(why));
    assert.match(refused.lines.at(-1)?.text ?? '', why);
  }
});

test('an unknown extension changes nothing and is told', () => {
  const found = optionsOfCertificate(certificate({ extensions: [['x@y', Buffer.of(1, 2)]] }));
  assert.ok(found.ok);
  assert.deepEqual(found.lines, [
    { level: 'INFO', text: 'Certificate extension "x@y" is not supported' },
  ]);
});

function options(text: string): KeyOptions {
  const parsed = parseKeyOptions(text);
  assert.ok(parsed.ok);
  return parsed.options;
}

function merged(first: string, second: string): KeyOptions {
  const result = mergeOptions(options(first), options(second));
  assert.ok(result.ok);
  return result.options;
}

test('of two sets of options each restriction stays, whichever comes first', () => {
  const restrictions = [
    ['no-pty', 'permitPty'],
    ['no-port-forwarding', 'permitPortForwarding'],
    ['no-agent-forwarding', 'permitAgentForwarding'],
    ['no-x11-forwarding', 'permitX11Forwarding'],
    ['no-user-rc', 'permitUserRc'],
  ] as const;
  for (const [text, field] of restrictions) {
    assert.equal(merged(text, '')[field], false);
    assert.equal(merged('', text)[field], false);
    assert.equal(merged('', '')[field], true);
  }
  assert.ok(merged('verify-required', '').needsVerification);
  assert.ok(merged('', 'verify-required').needsVerification);
  assert.ok(merged('no-touch-required', '').needsTouch);
  assert.ok(!merged('no-touch-required', 'no-touch-required').needsTouch);
  assert.equal(merged('command="a"', '').command, 'a');
  assert.equal(merged('', 'command="a"').command, 'a');
  assert.equal(merged('command="a"', 'command="a"').command, 'a');
  assert.deepEqual(mergeOptions(options('command="a"'), options('command="b"')), {
    ok: false,
    reason: 'forced command options do not match',
  });
  const times = merged('expiry-time="20300101Z"', 'expiry-time="20290101Z"');
  assert.equal(times.expiresAtMs, Date.UTC(2029, 0, 1));
});

test('of two lists of destinations only what both permit', () => {
  const open = (first: string, second: string) => merged(first, second).permitOpen;
  assert.equal(open('', ''), undefined);
  assert.deepEqual(open('permitopen="a:1"', ''), [{ host: 'a', port: 1 }]);
  assert.deepEqual(open('', 'permitopen="a:1"'), [{ host: 'a', port: 1 }]);
  assert.deepEqual(open('permitopen="a:1",permitopen="b:2"', 'permitopen="b:2",permitopen="c:3"'), [
    { host: 'b', port: 2 },
  ]);
  assert.deepEqual(open('permitopen="a:*",permitopen="*:2"', 'permitopen="*:1",permitopen="b:*"'), [
    { host: 'a', port: 1 },
    { host: 'b', port: 2 },
  ]);
  assert.deepEqual(open('permitopen="a:1"', 'permitopen="b:1"'), [], 'none, and not all');
  assert.deepEqual(merged('permitlisten="1"', 'permitlisten="a:1"').permitListen, [
    { host: 'a', port: 1 },
  ]);
  const many = Array.from({ length: 4000 }, (_, at) => ({ host: `h${at}`, port: 1 }));
  const huge = { ...noOptions, permitOpen: many };
  assert.deepEqual(mergeOptions(huge, huge), {
    ok: false,
    reason: 'too many permission directives',
  });
});

const use = { nowMs: 0, remoteAddress: '192.0.2.7', remoteHost: '192.0.2.7', user: 'alice' };
const line = publicLine(authority.publicBlob);

test('cert-authority lines: principals are compared as a whole', () => {
  const match = (text: string, principals: readonly string[]) =>
    matchCertificate(Buffer.from(`${text} ${line}\n`), certificate({ principals }), use).is;
  assert.equal(match('cert-authority', ['alice']), 'match');
  assert.equal(match('cert-authority', ['bob']), 'none');
  assert.equal(match('cert-authority', ['bob,alice']), 'none');
  assert.equal(match('cert-authority', []), 'none');
  assert.equal(match('cert-authority,principals="ops,web"', ['web']), 'match');
  assert.equal(match('cert-authority,principals="ops,web"', ['ops,web']), 'none');
  assert.equal(match('cert-authority,principals="ops,web"', ['op', '*', 'alice']), 'none');
  assert.equal(match('cert-authority,principals=""', ['']), 'none');
  assert.equal(match('cert-authority,principals="ops"', []), 'none');
  assert.equal(match('no-pty', ['alice']), 'none');
});

test('without the name of an account no certificate matches', () => {
  const { user: _user, ...nobody } = use;
  const text = Buffer.from(`cert-authority ${line}\n`);
  assert.equal(matchCertificate(text, certificate({ principals: [''] }), nobody).is, 'none');
});

test('a cert-authority line and its certificate: the narrower of both', () => {
  const found = matchCertificate(
    Buffer.from(`cert-authority,no-pty,permitopen="a:1" ${line}\n`),
    certificate({
      extensions: [
        ['permit-pty', nothing],
        ['permit-port-forwarding', nothing],
      ],
      criticalOptions: [['force-command', optionText('x')]],
    }),
    use,
  );
  assert.ok(found.is === 'match');
  assert.equal(found.options.permitPty, false);
  assert.equal(found.options.permitPortForwarding, true);
  assert.equal(found.options.permitAgentForwarding, false);
  assert.deepEqual(found.options.permitOpen, [{ host: 'a', port: 1 }]);
  assert.equal(found.options.command, 'x');
  assert.ok(!found.options.isCertAuthority);
});
