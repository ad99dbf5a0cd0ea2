/** Patterns, lists, networks and user@host, as ssh_config(5) PATTERNS has them. */
import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import {
  type ListResult,
  matchAddressList,
  matchHostAndAddress,
  matchPatternList,
  matchUserPattern,
  matchesPattern,
} from '../../../keys/pattern.ts';

test('wildcards', () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ['', '', true],
    ['', '*', true],
    ['a', '', false],
    ['abc', 'abc', true],
    ['abc', 'ABC', false],
    ['abc', 'a*', true],
    ['abc', '*c', true],
    ['abc', 'a?c', true],
    ['abc', '????', false],
    ['abc', '*?*?*?*', true],
    ['aXbXc', 'a*X*c', true],
    ['mississippi', '*issip*', true],
    ['a.b', 'a.b', true],
    ['axb', 'a.b', false],
    ['[a]', '[a]', true],
  ];
  for (const [text, pattern, expected] of rows) {
    assert.equal(matchesPattern(text, pattern), expected, `${text} ${pattern}`);
  }
});

test('a pattern made to be slow is not', () => {
  const from = performance.now();
  assert.ok(!matchesPattern('a'.repeat(5000), `${'*a'.repeat(2000)}b`));
  assert.ok(performance.now() - from < 500);
});

test('lists: a negated hit beats every other, only negations never match', () => {
  const rows: readonly (readonly [string, string, ListResult])[] = [
    ['host', 'host,other', 'match'],
    ['host', 'other', 'none'],
    ['host', '!host,*', 'negated'],
    ['host', '*,!host', 'negated'],
    ['host', '!other', 'none'],
    ['host', '!other,*', 'match'],
    ['host', '', 'none'],
  ];
  for (const [text, list, expected] of rows) {
    assert.equal(matchPatternList(text, list), expected, list);
  }
});

test('networks', () => {
  const rows: readonly (readonly [string, string, ListResult])[] = [
    ['192.0.2.7', '192.0.2.0/24', 'match'],
    ['192.0.3.7', '192.0.2.0/24', 'none'],
    ['192.0.2.7', '192.0.2.7/32', 'match'],
    ['192.0.2.7', '0.0.0.0/0', 'match'],
    ['192.0.2.7', '192.0.2.1/24', 'invalid'],
    ['192.0.2.7', '192.0.2.0/33', 'invalid'],
    ['192.0.2.7', '192.0.2.*', 'match'],
    ['192.0.2.7', '!192.0.2.0/24,*', 'negated'],
    ['192.0.2.7', '::/0', 'none'],
    ['2001:db8::7', '2001:db8::/32', 'match'],
    ['2001:db8::7', '2001:DB8:0:0::7', 'match'],
    ['2001:db8::7', '2001:db8::1/64', 'invalid'],
    ['2001:db8::7', '2001:db8::/129', 'invalid'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4/128', 'match'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4/120', 'invalid'],
    ['1.2.3.4', '1.2.3.4/', 'none'],
    ['1.2.3.4', '1.2.3.4/x', 'none'],
    ['UNKNOWN', '0.0.0.0/0', 'none'],
    ['UNKNOWN', '*', 'match'],
  ];
  for (const [address, list, expected] of rows) {
    assert.equal(matchAddressList(address, list), expected, `${address} ${list}`);
  }
});

test('networks of both families agree with those of Node', () => {
  const addresses = [
    '::',
    '::1',
    '1::',
    '1::2',
    '2001:db8::',
    '2001:db8:0:1::',
    '2001:db8:0:1:2:3:4:5',
    'fe80::1:0:0',
    '::ffff:10.1.2.3',
    '64:ff9b::1.2.3.4',
    '0.0.0.0',
    '10.0.0.0',
    '10.1.2.3',
    '255.255.255.255',
    '128.0.0.0',
  ];
  for (const network of addresses) {
    const family = network.includes(':') ? 'ipv6' : 'ipv4';
    for (const bits of [
      0,
      1,
      8,
      15,
      24,
      31,
      32,
      ...(family === 'ipv6' ? [33, 64, 96, 127, 128] : []),
    ]) {
      const list = new BlockList();
      list.addSubnet(network, bits, family);
      for (const address of addresses.filter(
        (each) => each.includes(':') === (family === 'ipv6'),
      )) {
        const ours = matchAddressList(address, `${network}/${bits}`);
        const theirs = list.check(address, family) ? 'match' : 'none';
        assert.ok(ours === theirs || ours === 'invalid', `${address} ${network}/${bits}: ${ours}`);
      }
    }
    const whole = family === 'ipv6' ? 128 : 32;
    assert.equal(matchAddressList(network, `${network}/${whole}`), 'match');
  }
});

test('a list is tried on the address and on the name', () => {
  const rows: readonly (readonly [string, string, ListResult])[] = [
    ['*.example.org', '192.0.2.7', 'match'],
    ['*.EXAMPLE.org', '192.0.2.7', 'match'],
    ['192.0.2.0/24', '192.0.2.7', 'match'],
    ['!192.0.2.0/24,*.example.org', '192.0.2.7', 'negated'],
    ['!*.example.org,192.0.2.0/24', '192.0.2.7', 'negated'],
    ['10.0.0.0/8', '192.0.2.7', 'none'],
  ];
  for (const [list, address, expected] of rows) {
    assert.equal(matchHostAndAddress('a.Example.org', address, list), expected, list);
  }
});

test('user@host', () => {
  const rows: readonly (readonly [string, ListResult])[] = [
    ['me', 'match'],
    ['m*', 'match'],
    ['Me', 'none'],
    ['!me', 'none'],
    ['me@192.0.2.0/24', 'match'],
    ['me@10.0.0.0/8', 'none'],
    ['*@192.0.2.7', 'match'],
    ['you@192.0.2.7', 'none'],
    ['me@!192.0.2.7,*', 'none'],
    ['me@192.0.2.1/24', 'invalid'],
  ];
  for (const [pattern, expected] of rows) {
    assert.equal(matchUserPattern('me', '192.0.2.7', '192.0.2.7', pattern), expected, pattern);
  }
  assert.equal(matchUserPattern('me@realm', '1.2.3.4', '1.2.3.4', 'me@realm@1.2.3.4'), 'match');
});
