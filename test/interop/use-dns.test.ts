/**
 * UseDNS with a name server of the lab's own, also against Debian's sshd
 * (SSHDESK_TEST_SERVER=sshd). Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { type ClientOutcome, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);

/** Question → answer; what is not there does not exist; `silent` is never answered. */
const zone: Readonly<Record<string, string>> = {
  '2.0.0.127.in-addr.arpa': 'Friend.Example.Org',
  'friend.example.org': '127.0.0.2',
  '3.0.0.127.in-addr.arpa': 'friend.example.org',
  '4.0.0.127.in-addr.arpa': '127.0.0.2',
  '5.0.0.127.in-addr.arpa': 'silent',
  '6.0.0.127.in-addr.arpa': 'foe.example.org',
  'foe.example.org': '127.0.0.6',
  '7.0.0.127.in-addr.arpa': 'friend.example.org\ninjected',
};

function labels(name: string): Buffer {
  const parts = name.split('.').map((label) => {
    const bytes = Buffer.from(label);
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  });
  return Buffer.concat([...parts, Buffer.from([0])]);
}

/** RFC 1035 §4.1: PTR and A out of `zone`. */
function answer(query: Buffer): Buffer | undefined {
  let at = 12;
  const parts: string[] = [];
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    parts.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const question = query.subarray(12, at + 5);
  const type = query.readUInt16BE(at + 1);
  const found = zone[parts.join('.').toLowerCase()];
  if (found === 'silent') {
    return undefined;
  }
  const isPointer = type === 12;
  const has = found !== undefined && (isPointer || type === 1);
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(0x8180 | (found === undefined ? 3 : 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(has ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  if (!has) {
    return Buffer.concat([head, question]);
  }
  const data = isPointer ? labels(found) : Buffer.from(found.split('.').map(Number));
  const fixed = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length]);
  return Buffer.concat([head, question, fixed, data]);
}

describe('UseDNS', lab, () => {
  let key: TestKey;
  let names: Socket;
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [`from="friend.example.org" ${key.line}`] });
    makeUser('carol', { authorizedKeys: [key.line] });
    writeFileSync('/etc/hosts', '127.0.0.1 localhost\n');
    writeFileSync('/etc/resolv.conf', 'nameserver 127.0.0.1\noptions timeout:30 attempts:1\n');
    writeFileSync(
      '/etc/nsswitch.conf',
      'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n',
    );
    names = createSocket('udp4');
    names.on('message', (query, from) => {
      const reply = answer(query);
      if (reply !== undefined) {
        names.send(reply, from.port, from.address);
      }
    });
    await new Promise<void>((resolve) => void names.bind(53, '127.0.0.1', resolve));
  });
  after(() => void names?.close());

  const login = (server: TestServer, source: string, user = 'alice'): Promise<ClientOutcome> =>
    ssh(server, { key, user, args: ['-b', source], timeoutMs: 40_000 }, 'echo in');

  test('yes: a name that has the address counts in AllowUsers, DenyUsers, Match Host and from=', async () => {
    await using server = await startServer({
      config: [
        ...['UsePAM yes', 'UseDNS yes', 'LogLevel VERBOSE'],
        'AllowUsers *@*.example.org',
        'DenyUsers alice@foe.example.org',
        ...['Match Host friend.example.org User alice', 'ForceCommand echo matched', 'Match all'],
      ],
    });
    assert.equal((await login(server, '127.0.0.2')).text, 'matched\n');
    assert.equal((await login(server, '127.0.0.2', 'bob')).text, 'in\n');
    assert.equal((await login(server, '127.0.0.6')).status, 255);
    await server.logged(
      /^User alice from foe\.example\.org not allowed because listed in DenyUsers$/m,
    );
    assert.equal((await login(server, '127.0.0.6', 'bob')).status, 255, 'from=');
    assert.equal((await login(server, '127.0.0.6', 'carol')).text, 'in\n');
    await server.logged(/^Accepted publickey for carol from 127\.0\.0\.6 port/m);
  });

  test('a name without the address, one that is an address, one that is no name: the address counts', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'UseDNS yes', 'LogLevel VERBOSE', 'AllowUsers *@friend.example.org'],
    });
    for (const source of ['127.0.0.3', '127.0.0.4', '127.0.0.7', '127.0.0.8']) {
      assert.equal((await login(server, source)).status, 255, source);
      const shown = source.replaceAll('.', '\\.');
      await server.logged(
        new RegExp(`^User alice from ${shown} not allowed because not listed in AllowUsers$`, 'm'),
      );
    }
    await server.logged(
      /^Address 127\.0\.0\.3 maps to friend\.example\.org, but this does not map back to the address\.$/m,
    );
    await server.logged(/^Nasty PTR record "127\.0\.0\.2" is set up for 127\.0\.0\.4, ignoring$/m);
    assert.doesNotMatch(server.log(), /^injected/m);
  });

  test('no: nothing is looked up', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'AllowUsers alice@friend.example.org bob@127.0.0.2'],
    });
    assert.equal((await login(server, '127.0.0.2')).status, 255);
    assert.equal((await login(server, '127.0.0.2', 'bob')).status, 255, 'from= has a name');
  });

  test('a name server that is silent costs its own login some time and no other any', {
    skip: serverKind === 'sshd' ? 'sshd waits as long as the resolver does' : false,
  }, async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'UseDNS yes', 'LoginGraceTime 12', 'MaxStartups 100'],
    });
    const slow = Array.from({ length: 20 }, () => login(server, '127.0.0.5'));
    const began = performance.now();
    assert.equal((await login(server, '127.0.0.2')).text, 'in\n');
    const elapsedMs = performance.now() - began;
    for (const outcome of await Promise.all(slow)) {
      assert.equal(outcome.text, 'in\n', outcome.stderr);
    }
    const slowMs = performance.now() - began;
    assert.ok(slowMs > 3_000, `${slowMs} ms: they did not wait`);
    assert.ok(elapsedMs < slowMs, `${elapsedMs} ms, the slow ones ${slowMs} ms`);
    await server.logged(/^UseDNS: the name of 127\.0\.0\.5 is not known in time$/m);
  });
});
