import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchPrincipals } from '../../../keys/principals.ts';

const lineOf = (list: string, ...principals: readonly string[]): number => {
  const found = matchPrincipals(Buffer.from(list), principals);
  return found.is === 'match' ? found.line : 0;
};

test('a name a line; comments, blanks and empty lines are nothing', () => {
  const list = '# alice\n\n  bob  \n\tcarol \t\ndave\r\n alice # as well\n';
  assert.equal(lineOf(list, 'alice'), 6);
  assert.equal(lineOf(list, 'bob'), 3);
  assert.equal(lineOf(list, 'carol'), 4);
  assert.equal(lineOf(list, 'dave', 'carol'), 4);
  assert.equal(lineOf(list, 'dave'), 0);
  assert.equal(lineOf(list), 0, 'a certificate without principals');
  assert.equal(lineOf(list, ''), 0);
  assert.equal(lineOf('', 'alice'), 0);
  assert.equal(lineOf('alice', 'alice'), 1, 'no newline at the end');
});

test('names are compared as they are: no commas, patterns, cases, parts', () => {
  for (const list of ['alice,bob', '*', 'ali*', 'Alice', 'alic', 'alicex', 'alice,', '!bob']) {
    assert.equal(lineOf(list, 'alice'), 0, list);
  }
  assert.equal(lineOf('alice,bob', 'alice,bob'), 1);
});

test('options stand in front of the name, and hold', () => {
  const found = matchPrincipals(Buffer.from('other\nno-pty,command="echo \\"a b\\"" alice\n'), [
    'alice',
  ]);
  assert.equal(found.is, 'match');
  assert.ok(found.is === 'match');
  assert.deepEqual([found.options.permitPty, found.options.command], [false, 'echo "a b"']);
});

test('a line whose options cannot be read does not count; a later one may', () => {
  for (const options of ['nonsense', 'command="x', 'no-pty,nonsense', 'command=x']) {
    assert.equal(lineOf(`${options} alice`, 'alice'), 0, options);
    assert.equal(lineOf(`${options} alice\nalice`, 'alice'), 2, options);
  }
  const { refusals } = matchPrincipals(Buffer.from('nonsense alice'), ['alice']);
  assert.deepEqual(refusals, [{ line: 1, text: 'bad principals options: unknown key option' }]);
});

test('a list of a million lines and one of endless options cost little', () => {
  const began = performance.now();
  assert.equal(lineOf('x\n'.repeat(500_000), 'alice'), 0);
  const long = `${'no-pty,'.repeat(10_000)}nonsense alice\n`.repeat(14);
  const { refusals } = matchPrincipals(Buffer.from(long), ['alice']);
  assert.ok(refusals.length <= 3);
  assert.ok(performance.now() - began < 3000);
});
