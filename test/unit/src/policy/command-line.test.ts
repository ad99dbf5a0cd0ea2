import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../../../src/base/errors.ts';
import {
  commandArguments,
  keysCommandTokens,
  policyCommand,
} from '../../../../src/policy/command-line.ts';

const parse = (rest: string): string =>
  policyCommand(keysCommandTokens)({ keyword: 'AuthorizedKeysCommand', words: [], rest });

test('absolute, with tokens that exist and quotes that end', () => {
  assert.equal(parse('none'), 'none');
  assert.equal(parse('/bin/x %u %% "%h y"'), '/bin/x %u %% "%h y"');
  for (const wrong of ['bin/x', '~/x', '"/bin/x"', '/bin/x %q', '/bin/x %', '/bin/x "y', '']) {
    assert.throws(() => parse(wrong), ConfigError, wrong);
  }
});

test('words as sshd splits them; tokens are not looked at again', () => {
  const tokens = { u: '%h $(id) "a b"', h: '/home' };
  assert.deepEqual(commandArguments('/bin/x', tokens), ['/bin/x']);
  assert.deepEqual(commandArguments('/bin/x %u', tokens), ['/bin/x', '%h $(id) "a b"']);
  assert.deepEqual(commandArguments('/bin/%u %%u a%hb%h', tokens), [
    '/bin/%u',
    '%u',
    'a/homeb/home',
  ]);
  assert.deepEqual(commandArguments(`/bin/x "a b" 'c d' e\\ f # "" ;`, tokens), [
    ...['/bin/x', 'a b', 'c d', 'e f', '#', '', ';'],
  ]);
});
