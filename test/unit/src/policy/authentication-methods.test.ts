import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../../../src/base/errors.ts';
import {
  afterSuccess,
  beginChains,
  type Chains,
  mayComeNext,
  parseAuthenticationMethods,
  wantsSubmethod,
} from '../../../../src/policy/authentication-methods.ts';

const parse = (text: string): readonly string[] => {
  const words = text === '' ? [] : text.split(' ');
  return parseAuthenticationMethods({ keyword: 'AuthenticationMethods', words, rest: text });
};

test('lists of known methods; any alone', () => {
  assert.deepEqual(parse('any'), []);
  assert.deepEqual(parse('publickey,password keyboard-interactive:pam'), [
    'publickey,password',
    'keyboard-interactive:pam',
  ]);
  for (const wrong of [
    ...['', 'bogus', 'publickey,', ',publickey', 'publickey,,password', 'Publickey', 'any any'],
    ...['any publickey', 'publickey any', 'publickey,any', ':pam'],
  ]) {
    assert.throws(() => parse(wrong), ConfigError, wrong);
  }
});

test('a list with a method that is not offered is void, and is told', () => {
  const isOffered = (method: string) => method === 'publickey' || method === 'password';
  assert.deepEqual(beginChains([], isOffered), { chains: undefined, dropped: [] });
  assert.deepEqual(beginChains(['publickey,hostbased', 'publickey,password'], isOffered), {
    chains: ['publickey,password'],
    dropped: [{ chain: 'publickey,hostbased', method: 'hostbased' }],
  });
  assert.deepEqual(beginChains(['keyboard-interactive:pam'], isOffered).chains, []);
});

/** Methods in the order in which they are met; what each was. */
function walk(lists: Chains, ...met: readonly (readonly [string, string])[]): string[] {
  let chains = lists;
  return met.map(([method, submethod]) => {
    const progress = afterSuccess(chains, method, submethod);
    if (progress.is === 'partial') {
      chains = progress.chains;
    }
    return progress.is;
  });
}
const key = ['publickey', ''] as const;
const password = ['password', ''] as const;
const pam = ['keyboard-interactive', 'pam'] as const;

test('one list has to be met as a whole, in its order', () => {
  assert.deepEqual(walk(undefined, key), ['complete']);
  assert.deepEqual(walk(['publickey,password'], key, password), ['partial', 'complete']);
  assert.deepEqual(walk(['publickey,password'], password, key, key, password), [
    ...['unwanted', 'partial', 'unwanted', 'complete'],
  ]);
  assert.deepEqual(walk(['publickey,publickey'], key, key), ['partial', 'complete']);
  assert.deepEqual(walk(['publickey', 'publickey,password'], key), ['complete']);
  assert.deepEqual(walk([], key), ['unwanted']);
});

test('lists go on side by side', () => {
  const lists = ['publickey,password', 'password,publickey', 'publickey,keyboard-interactive'];
  assert.deepEqual(walk(lists, key, pam), ['partial', 'complete']);
  // sshd too: what the second list has met counts, though the key was for another.
  assert.deepEqual(walk(lists, key, password), ['partial', 'complete']);
  const progress = afterSuccess(lists, 'publickey', '');
  assert.deepEqual(progress, {
    is: 'partial',
    chains: ['password', 'password,publickey', 'keyboard-interactive'],
  });
});

test('a submethod has to be the one that is named; none is any', () => {
  for (const [list, is] of [
    ['keyboard-interactive', 'complete'],
    ['keyboard-interactive:pam', 'complete'],
    ['keyboard-interactive:bsdauth', 'unwanted'],
    ['keyboard-interactive:*', 'unwanted'],
    ['keyboard-interactive:', 'unwanted'],
    ['keyboard-interactive:pamx', 'unwanted'],
  ] as const) {
    assert.deepEqual(walk([list], pam), [is], list);
    assert.equal(wantsSubmethod([list], 'keyboard-interactive', 'pam'), is === 'complete');
    assert.equal(mayComeNext([list], 'keyboard-interactive'), true, 'is in FAILURE all the same');
  }
  assert.equal(mayComeNext(['publickey,password'], 'password'), false);
  assert.equal(mayComeNext(undefined, 'password'), true);
});
