/** permit-open.ts and permit-listen.ts: what a grant says about a destination and a listener. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutForwarding } from '../../../../src/policy/grant.ts';
import { bindPlace, mayListen, mayListenOnSocket } from '../../../../src/policy/permit-listen.ts';
import { mayOpen, mayOpenSocket } from '../../../../src/policy/permit-open.ts';
import { testGrant } from '../../../support/monitor-connection.ts';

const alice = 1000;
const root = 0;
const isAllowed = ({ allowed }: { readonly allowed: boolean }): boolean => allowed;

test('directions of AllowTcpForwarding and AllowStreamLocalForwarding', () => {
  for (const [direction, opens, listens] of [
    ['yes', true, true],
    ['local', true, false],
    ['remote', false, true],
    ['no', false, false],
  ] as const) {
    const ports = { ...testGrant, tcpForwarding: direction };
    assert.equal(isAllowed(mayOpen(ports, 'a', 1)), opens, direction);
    assert.equal(isAllowed(mayListen(ports, alice, 'a', 2000)), listens, direction);
    // Unix sockets need both keywords, as sshd has it.
    assert.equal(isAllowed(mayOpenSocket(ports, '/a')), opens, direction);
    assert.equal(isAllowed(mayListenOnSocket(ports)), listens, direction);
    const sockets = { ...testGrant, streamLocalForwarding: direction };
    assert.equal(isAllowed(mayOpenSocket(sockets, '/a')), opens, direction);
    assert.equal(isAllowed(mayListenOnSocket(sockets)), listens, direction);
    assert.equal(isAllowed(mayOpen(sockets, 'a', 1)), true, direction);
  }
});

test('an expired password takes all of it away', () => {
  const grant = withoutForwarding(testGrant);
  for (const verdict of [
    mayOpen(grant, 'a', 1),
    mayOpenSocket(grant, '/a'),
    mayListen(grant, root, '', 1),
    mayListenOnSocket(grant),
  ]) {
    assert.equal(verdict.allowed, false);
  }
});

test('a path stands in PermitOpen only under * as the port', () => {
  const listed = (host: string, port: number | '*') => ({
    ...testGrant,
    permitOpenByConfig: [{ host, port }],
  });
  assert.equal(isAllowed(mayOpenSocket(listed('*', '*'), '/a')), true);
  assert.equal(isAllowed(mayOpenSocket(listed('/a', '*'), '/a')), true);
  assert.equal(isAllowed(mayOpenSocket(listed('/a', 1), '/a')), false);
  assert.equal(isAllowed(mayOpenSocket(listed('localhost', '*'), '/a')), false);
  const byKey = { ...testGrant, permitOpenByKey: [{ host: 'a', port: 1 }] };
  assert.equal(isAllowed(mayOpenSocket(byKey, '/a')), false);
});

test('ports below 1024 are for root', () => {
  for (const [uid, port, outcome] of [
    [alice, 1023, false],
    [alice, 1024, true],
    [alice, 0, true],
    [root, 1, true],
  ] as const) {
    assert.equal(isAllowed(mayListen(testGrant, uid, 'localhost', port)), outcome, String(port));
  }
});

test('PermitListen: hosts are patterns without case, both lists have to agree', () => {
  const grant = {
    ...testGrant,
    permitListenByConfig: [
      { host: 'loc*', port: 2000 },
      { host: '*', port: 2001 },
      { host: '10.0.0.?', port: '*' },
    ],
    permitListenByKey: [
      { host: '*', port: 2000 },
      { host: '*', port: 2001 },
    ],
  } as const;
  for (const [host, port, outcome] of [
    ['LocalHost', 2000, true],
    ['', 2001, true],
    ['', 2000, false],
    ['10.0.0.1', 2000, true],
    ['10.0.0.11', 2000, false],
    ['10.0.0.1', 3000, false],
    ['localhost', 0, false],
  ] as const) {
    assert.equal(isAllowed(mayListen(grant, alice, host, port)), outcome, `${host}:${port}`);
  }
  assert.equal(
    isAllowed(mayListen({ ...testGrant, permitListenByConfig: 'none' }, alice, 'a', 2000)),
    false,
  );
});

test('GatewayPorts says where', () => {
  const wildcard = { is: 'wildcard' };
  const loopback = { is: 'loopback' };
  const at = (address: string) => ({ is: 'address', address });
  const expected: readonly (readonly [string, object, object, object])[] = [
    // asked, no, yes, clientspecified
    ['', loopback, wildcard, wildcard],
    ['*', loopback, wildcard, wildcard],
    ['localhost', loopback, wildcard, loopback],
    ['127.0.0.1', at('127.0.0.1'), wildcard, at('127.0.0.1')],
    ['::1', at('::1'), wildcard, at('::1')],
    ['0.0.0.0', loopback, wildcard, at('0.0.0.0')],
    ['::', loopback, wildcard, at('::')],
    ['10.1.2.3', loopback, wildcard, at('10.1.2.3')],
    ['some.host', loopback, wildcard, at('some.host')],
  ];
  for (const [host, no, yes, clientSpecified] of expected) {
    assert.deepEqual(
      [bindPlace('no', host), bindPlace('yes', host), bindPlace('clientspecified', host)],
      [no, yes, clientSpecified],
      host,
    );
  }
});
