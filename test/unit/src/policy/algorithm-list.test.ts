/** Lists of algorithms with `+`, `-`, `^` and patterns. What sshd prints of them: policy-dump.test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../../../src/base/errors.ts';
import { algorithmList } from '../../../../src/policy/algorithm-list.ts';

const names = { known: ['a1', 'a2', 'b1', 'b2'], defaults: ['b1', 'a1'], complaint: 'Bad' };
const list = (text: string) => algorithmList(text, names);

test('a plain list replaces, in its own order, each name once', () => {
  assert.deepEqual(list('b2,a1,b2'), ['b2', 'a1']);
  assert.deepEqual(list('b?,a*'), ['b1', 'b2', 'a1', 'a2']);
  assert.deepEqual(list('a1,'), ['a1']);
});

test('signs: behind, without, in front', () => {
  assert.deepEqual(list('+a2,b1'), ['b1', 'a1', 'a2']);
  assert.deepEqual(list('-a*'), ['b1']);
  assert.deepEqual(list('-zz'), ['b1', 'a1']);
  assert.deepEqual(list('^a2,a1'), ['a2', 'a1', 'b1']);
  assert.deepEqual(list('+*'), ['b1', 'a1', 'a2', 'b2']);
});

test('a name that nobody knows, and a list that leaves nothing, stop the start', () => {
  for (const text of ['', ',', 'zz', 'a1,zz', '+zz', '^zz', '-*', '!a1', 'A1', '+', 'a1 ']) {
    if (text === '+') {
      assert.deepEqual(list(text), names.defaults);
      continue;
    }
    assert.throws(() => list(text), ConfigError, text);
  }
});
