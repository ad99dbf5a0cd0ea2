/** What -L, -R and -D mean. Runs in: test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ForwardKind, parseForward } from '../../../../../src/ssh/client/forward-spec.ts';

const tcp = (bind: string | null, port: number) => ({ is: 'tcp', bind, port });
const to = (host: string, port: number) => ({ is: 'tcp', host, port });
const unix = (path: string) => ({ is: 'unix', path });
const socks = { is: 'socks' };

const right: readonly (readonly [ForwardKind, string, object, object])[] = [
  ['local', '8080:intranet:80', tcp(null, 8080), to('intranet', 80)],
  ['local', '8080 intranet:80', tcp(null, 8080), to('intranet', 80)],
  ['local', '0:intranet:80', tcp(null, 0), to('intranet', 80)],
  ['local', '*:8080:intranet:80', tcp('*', 8080), to('intranet', 80)],
  ['local', ':8080:intranet:80', tcp('', 8080), to('intranet', 80)],
  ['local', '[::1]:8080:[fe80::1%eth0]:80', tcp('::1', 8080), to('fe80::1%eth0', 80)],
  ['local', '127.0.0.1:8080:[::1]:80', tcp('127.0.0.1', 8080), to('::1', 80)],
  ['local', '5432:/run/pg/.s.PGSQL.5432', tcp(null, 5432), unix('/run/pg/.s.PGSQL.5432')],
  ['local', 'localhost:5432:/s', tcp('localhost', 5432), unix('/s')],
  ['local', '/tmp/a:intranet:80', unix('/tmp/a'), to('intranet', 80)],
  ['local', '/tmp/a:[::1]:80', unix('/tmp/a'), to('::1', 80)],
  ['local', '/tmp/a:/tmp/b', unix('/tmp/a'), unix('/tmp/b')],
  ['remote', '0:localhost:3000', tcp(null, 0), to('localhost', 3000)],
  ['remote', '9000:/s', tcp(null, 9000), unix('/s')],
  ['remote', '/s:localhost:3000', unix('/s'), to('localhost', 3000)],
  ['remote', '1080', tcp(null, 1080), socks],
  ['remote', '*:1080', tcp('*', 1080), socks],
  ['remote', '[::1]:1080', tcp('::1', 1080), socks],
  ['dynamic', '1080', tcp(null, 1080), socks],
  ['dynamic', '[::1]:1080', tcp('::1', 1080), socks],
  ['dynamic', '*:1080', tcp('*', 1080), socks],
];
for (const [kind, text, listen, target] of right) {
  test(`${kind} ${text}`, () => assert.deepEqual(parseForward(kind, text), { listen, target }));
}

const wrong: readonly (readonly [ForwardKind, string])[] = [
  ['local', ''],
  ['local', '8080'],
  ['local', '8080:80'],
  ['local', '8080:host'],
  ['local', '8080:host:0'],
  ['local', '65536:host:80'],
  ['local', '-1:host:80'],
  ['local', '8080:host:65536'],
  ['local', '8080::80'],
  ['local', 'a:b:c:d:e'],
  ['local', '[::1:8080:host:80'],
  ['local', '[::1]8080:host:80'],
  ['local', '::1:8080:host:80'],
  ['local', '/s'],
  ['local', `/${'s'.repeat(107)}:host:80`],
  ['local', '8080:ho st:80'],
  ['remote', '/s'],
  ['remote', 'host'],
  ['dynamic', '/s'],
  ['dynamic', '1080:host:80'],
  ['dynamic', 'a:b:c'],
];
for (const [kind, text] of wrong) {
  test(`${kind} ${text.slice(0, 40)} is none`, () => assert.equal(parseForward(kind, text), null));
}
