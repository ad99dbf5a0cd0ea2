import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appliesTo, judged, type MatchSubject, parseMatch } from '../../../../src/policy/match.ts';
import { splitWords } from '../../../../src/policy/words.ts';

const subject: MatchSubject = {
  user: 'alice',
  isInvalidUser: false,
  groups: ['alice', 'wheel'],
  remoteHost: 'Host.Example.org',
  remoteAddress: '192.0.2.7',
  localAddress: '2001:db8::1',
  localPort: 22,
  routingDomain: '',
};

function applies(line: string, over: Partial<MatchSubject> = {}): boolean {
  const criteria = parseMatch(splitWords(line));
  return appliesTo({ criteria }, judged({ ...subject, ...over }));
}

test('each criterion, in lists, with negation, and several together', () => {
  for (const [line, does] of [
    ['all', true],
    ['User alice', true],
    ['user=alice', true],
    ['USER= al*,bob', true],
    ['User "bob"', false],
    ['User !bob', false],
    ['User *,!alice', false],
    ['Group wheel', true],
    ['Group wheel,!alice', false],
    ['Group !x', false],
    ['Host *.example.ORG', true],
    ['Address 192.0.2.0/24', true],
    ['Address 192.0.2.?', true],
    ['Address 192.0.2.0/24,!192.0.2.7', false],
    ['LocalAddress 2001:db8::/32', true],
    ['LocalPort 22', true],
    ['LocalPort 2222', false],
    ['RDomain x', false],
    ['Invalid-User', false],
    ['User alice Group wheel LocalPort 22', true],
    ['User alice Group users LocalPort 22', false],
  ] as const) {
    assert.equal(applies(line), does, line);
  }
});

test('nobody: groups do not count, Invalid-User does', () => {
  const nobody = { isInvalidUser: true, user: 'x' };
  assert.equal(applies('Group wheel', nobody), false);
  assert.equal(applies('Invalid-User', nobody), true);
  assert.equal(applies('User x Invalid-User', nobody), true);
});

test('what is no criterion is an error', () => {
  for (const [line, text] of [
    ['all User x', /'all' cannot be combined/],
    ['User x all', /'all' cannot be combined/],
    ['User', /Missing Match criteria for User/],
    ['User=', /Missing Match criteria for User/],
    ['toString x', /Unsupported Match attribute toString/],
    ['exec true', /Unsupported Match attribute exec/],
    ['LocalPort x', /Invalid LocalPort 'x'/],
    ['Address 10.0.0.1/8', /Invalid Match address argument/],
    ['Address 10.0.0.0/8,1.2.3.4/33', /Invalid Match address argument/],
  ] as const) {
    assert.throws(() => parseMatch(splitWords(line)), text, line);
  }
});
