/** Lists that are made ready answer as those of pattern.ts do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressMatcher,
  listMatcher,
  readAddress,
  setMatcher,
} from '../../../keys/list-matcher.ts';
import { isValidAddressList, matchAddressList, matchPatternList } from '../../../keys/pattern.ts';

function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

const throwDice = dice(7);
const pick = <T>(list: readonly T[]): T => list[throwDice(list.length)] as T;
const names = ['', 'a', 'ab', 'abc', 'b', 'ba', 'cab', 'a.b', '!a', 'A'];
const patterns = ['a', 'ab', 'a*', '*b', '?', '??', '*', 'a?c', '*a*', 'b', '', 'A', '!a'];
const addresses = [
  '10.0.0.1',
  '10.1.2.3',
  '192.0.2.7',
  '::1',
  '2001:db8::7',
  '::ffff:10.0.0.1',
  'name',
  '',
];
const networks = [
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.*',
  '192.0.2.7',
  '::/0',
  '0.0.0.0/0',
  '2001:db8::/32',
  '::1',
  '*',
  'name',
  '10.?.0.1',
];

function listOf(entries: readonly string[]): string {
  const length = 1 + throwDice(4);
  return Array.from({ length }, () => `${throwDice(3) === 0 ? '!' : ''}${pick(entries)}`).join(',');
}

test('pattern lists', () => {
  let hits = 0;
  for (let round = 0; round < 5000; round++) {
    const [list, name] = [listOf(patterns), pick(names)];
    const expected = matchPatternList(name, list) === 'match';
    hits += Number(expected);
    assert.equal(listMatcher(list)(name), expected, `${name} in ${list}`);
  }
  assert.ok(hits > 500);
});

test('lists for a set of names: any hit, unless one of them is negated', () => {
  for (let round = 0; round < 5000; round++) {
    const list = listOf(patterns);
    const set = new Set(Array.from({ length: throwDice(4) }, () => pick(names)));
    const results = [...set].map((name) => matchPatternList(name, list));
    const expected = !results.includes('negated') && results.includes('match');
    assert.equal(setMatcher(list)(set), expected, `${[...set]} in ${list}`);
  }
});

test('address lists', () => {
  let hits = 0;
  for (let round = 0; round < 5000; round++) {
    const [list, address] = [listOf(networks), pick(addresses)];
    assert.ok(isValidAddressList(list), list);
    const expected = matchAddressList(address, list) === 'match';
    hits += Number(expected);
    assert.equal(addressMatcher(list)(readAddress(address)), expected, `${address} in ${list}`);
  }
  assert.ok(hits > 500);
});
