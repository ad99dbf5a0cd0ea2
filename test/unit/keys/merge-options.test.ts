import assert from 'node:assert/strict';
import { test } from 'node:test';
import { includesDestination } from '../../../keys/destination.ts';
import { type KeyOptions, noOptions, parseKeyOptions } from '../../../keys/key-options.ts';
import { mergeOptions } from '../../../keys/merge-options.ts';

function options(text: string): KeyOptions {
  const parsed = parseKeyOptions(text);
  assert.ok(parsed.ok, text);
  return parsed.options;
}

function merged(first: string, second: string): KeyOptions {
  const outcome = mergeOptions(options(first), options(second));
  assert.ok(outcome.ok);
  return outcome.options;
}

test('nothing that one forbids is allowed by the other', () => {
  for (const [first, second] of [
    ['restrict', ''],
    ['', 'restrict'],
    ['no-pty', 'restrict,pty'],
  ] as const) {
    const both = merged(first, second);
    assert.equal(both.permitPty, false);
  }
  const both = merged('restrict,pty', 'no-user-rc');
  assert.deepEqual(
    [
      both.permitPty,
      both.permitUserRc,
      both.permitAgentForwarding,
      both.permitPortForwarding,
      both.permitX11Forwarding,
    ],
    [true, false, false, false, false],
  );
  assert.deepEqual(mergeOptions(noOptions, noOptions), { ok: true, options: noOptions });
});

test('a forced command of either holds; two different ones are refused', () => {
  assert.equal(merged('command="x"', '').command, 'x');
  assert.equal(merged('', 'command="x"').command, 'x');
  assert.equal(merged('command="x"', 'command="x"').command, 'x');
  const torn = mergeOptions(options('command="x"'), options('command="y"'));
  assert.deepEqual(torn, { ok: false, reason: 'forced command options do not match' });
});

test('a destination has to be in the lists of both', () => {
  const both = merged(
    'permitopen="a:1",permitopen="b:*",permitopen="*:7",permitlisten="8080"',
    'permitopen="a:*",permitopen="b:2",permitopen="c:7",permitopen="d:8"',
  );
  const mayOpen = (host: string, port: number) =>
    includesDestination(both.permitOpen ?? [], host, port);
  const allowed = ['a:1', 'b:2', 'c:7', 'a:7'];
  for (const host of ['a', 'b', 'c', 'd']) {
    for (const port of [1, 2, 7, 8]) {
      assert.equal(mayOpen(host, port), allowed.includes(`${host}:${port}`), `${host}:${port}`);
    }
  }
  assert.deepEqual(both.permitListen, [{ host: '*', port: 8080 }]);
  assert.deepEqual(merged('permitopen="a:1"', 'permitopen="b:1"').permitOpen, []);
});

test('the earlier end, the stricter key, the first environment', () => {
  const both = merged(
    'expiry-time="20990101Z",environment="A=1",no-touch-required',
    'expiry-time="20980101Z",environment="A=2",environment="B=3",verify-required',
  );
  assert.equal(both.expiresAtMs, Date.UTC(2098, 0, 1));
  assert.deepEqual(both.environment, [['A', '1']]);
  assert.deepEqual([both.needsTouch, both.needsVerification], [true, true]);
});
