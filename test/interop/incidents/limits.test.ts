/**
 * Incidents of limits that many reach at once, or reach by one way and not by another.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inLab, makeKey, makeUser, type TestKey } from '../../support/lab.ts';
import { MemoryWatch } from '../../support/memory.ts';
import { makeRawKey, no, payload, RawSsh, str, u32, yes } from '../../support/raw-ssh.ts';
import { serverKind, startServer } from '../../support/server.ts';
import { ssh } from '../../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const skip = serverKind === 'sshd' ? 'about the processes and penalties of sshdesk' : false;
const megabyte = 1024 * 1024;
const attackers = 3_000;
const graceSeconds = 12;

describe('limits that are reached', { ...lab, ...(lab.skip === false ? { skip } : {}) }, () => {
  let key: TestKey;
  const rawKey = makeRawKey();
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { password: 'secret', authorizedKeys: [key.line, rawKey.line] });
  });

  /** Half-open connections, made a few at a time; resolves when all are there. */
  async function crowd(port: number): Promise<{ readonly ended: Promise<unknown> }> {
    const ends: Promise<void>[] = [];
    const sockets: Socket[] = [];
    const together = 100;
    for (let count = 0; count < attackers; count += together) {
      const greeted: Promise<unknown>[] = [];
      for (let index = 0; index < together; index++) {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => undefined);
        ends.push(new Promise((resolve) => socket.once('close', () => resolve())));
        greeted.push(new Promise((resolve) => socket.once('data', resolve).once('close', resolve)));
        sockets.push(socket);
      }
      await Promise.all(greeted);
    }
    assert.equal(sockets.filter(({ destroyed }) => destroyed).length, 0, 'all are let in');
    return { ended: Promise.all(ends) };
  }

  test('CVE-2024-6387: 3,000 connections whose time runs out together disturb nobody and leave nothing', {
    timeout: 200_000,
  }, async () => {
    const room = attackers + 100;
    await using server = await startServer({
      config: ['UsePAM yes', `LoginGraceTime ${graceSeconds}`, `MaxStartups ${room}:100:${room}`],
    });
    await (await crowd(server.port)).ended; // pools and heaps grow to their working size
    const user = await RawSsh.loggedIn(server.port, 'alice', rawKey);
    const channel = await user.openSession(3);
    user.send(payload(98, u32(channel), str('exec'), yes, str('cat')));
    await user.nextOf(99);
    const base = await server.settled();
    using watch = new MemoryWatch(server);
    const { ended } = await crowd(server.port);
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    let slowestMs = 0;
    while (!isOver) {
      const began = performance.now();
      user.send(payload(94, u32(channel), str('x')));
      await user.nextOf(94);
      slowestMs = Math.max(slowestMs, performance.now() - began);
      await delay(20);
    }
    // Two cores that others use as well: what counts is that it never stands still.
    assert.ok(slowestMs < 3_000, `an echo took ${slowestMs} ms`);
    user.close();
    assert.equal((await ssh(server, { key, user: 'alice' }, 'echo in')).text, 'in\n');
    const left = await server.leftovers(base, 15_000);
    // Workers that have had their share of connections are replaced.
    assert.deepEqual(
      left.filter((line) => !/sshdesk: worker/.test(line)),
      [],
    );
    assert.ok(await watch.isFlat(48 * megabyte, 15_000), `${watch.peakBytes} bytes more`);
    const timeouts = server.log().match(/^.*Timeout before authentication for .*$/gm) ?? [];
    assert.equal(timeouts.length, 2 * attackers);
    assert.doesNotMatch(server.log(), /internal error|worker \d+ \(pid/);
  });

  test('CVE-2024-39917: failures by every way in are one account of their source', async () => {
    await using server = await startServer({
      config: [
        ...['UsePAM yes', 'KbdInteractiveAuthentication yes', 'LogLevel VERBOSE'],
        'PerSourcePenalties authfail:20 invaliduser:20 noauth:20 min:90 max:600',
      ],
    });
    const localAddress = '127.0.8.1';
    const request = (user: string, ...fields: readonly Buffer[]) =>
      payload(50, str(user), str('ssh-connection'), ...fields);
    const ways: readonly ((client: RawSsh) => Promise<unknown>)[] = [
      async (client) => {
        client.send(request('alice', str('password'), no, str('wrong')));
        await client.nextOf(51);
      },
      async (client) => {
        client.send(request('alice', str('keyboard-interactive'), str(''), str('')));
        await client.nextOf(60);
        client.send(payload(61, u32(1), str('wrong')));
        await client.nextOf(51);
      },
      async (client) => {
        client.send(client.signedRequest('alice', makeRawKey()));
        await client.nextOf(51);
      },
      async (client) => {
        client.send(request('nobody-has-this-name', str('none')));
        await client.nextOf(51);
      },
      async () => undefined,
    ];
    for (const [index, way] of ways.entries()) {
      const client = await RawSsh.shaken(server.port, { localAddress });
      await client.requestUserauth();
      await way(client);
      client.close();
      await server.logged(new RegExp(`(Connection closed by [^]*){${index + 1}}`));
    }
    await server.logged(/activating ipv4 penalty of (9\d|100)\.\d{3} seconds/);
    await assert.rejects(RawSsh.loggedIn(server.port, 'alice', rawKey, { localAddress }));
    await server.logged(/^drop connection #\d+ from \[127\.0\.8\.1\]:\d+ .* penalty: /m);
    const other = { localAddress: '127.0.8.2' };
    (await RawSsh.loggedIn(server.port, 'alice', rawKey, other)).close();
  });
});
