/**
 * Incidents of connections that never log in: the end of LoginGraceTime (regreSSHion), half-open
 * handshakes. 300 connections stand for the 10,000 of an attack: the machine of a test run has no
 * room for those, and what leaks leaks with 300 too. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inLab, makeKey, makeUser, type TestKey } from '../../support/lab.ts';
import { MemoryWatch } from '../../support/memory.ts';
import { makeRawKey, payload, RawSsh, str } from '../../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../../support/server.ts';
import { ssh } from '../../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const megabyte = 1024 * 1024;
const attackers = 300;
const skipSshd = serverKind === 'sshd' ? 'measures the processes of sshdesk' : false;

function knock(port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  return socket;
}

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) {
      resolve();
    } else {
      socket.once('close', () => resolve());
    }
  });
}

describe('connections that are never used', lab, () => {
  let key: TestKey;
  const rawKey = makeRawKey();
  let server: TestServer;
  const graceSeconds = 5;

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { password: 'secret', authorizedKeys: [key.line, rawKey.line] });
    server = await startServer({
      config: [
        ...['UsePAM yes', 'KbdInteractiveAuthentication yes', 'LogLevel VERBOSE'],
        `LoginGraceTime ${graceSeconds}`,
        `MaxStartups ${attackers + 40}:100:${attackers + 40}`,
      ],
    });
  });
  after(async () => {
    await server?.stop();
  });

  /** `attackers` connections in every state before a login; resolves once all of them have ended. */
  async function wave(port: number): Promise<void> {
    const ends: Promise<void>[] = [];
    for (let index = 0; index < attackers; index++) {
      switch (index % 10) {
        case 0: {
          const client = await RawSsh.shaken(port);
          await client.requestUserauth();
          // A leader that waits in a PAM conversation.
          const request = [str('alice'), str('ssh-connection'), str('keyboard-interactive')];
          client.send(payload(50, ...request, str(''), str('')));
          ends.push(ended(client.socket));
          break;
        }
        case 1: {
          const client = await RawSsh.open(port);
          await client.identify();
          client.sendKexInit();
          ends.push(ended(client.socket));
          break;
        }
        default: {
          const socket = knock(port);
          if (index % 2 === 0) {
            socket.write('SSH-2.0-slow');
          }
          ends.push(ended(socket));
        }
      }
    }
    await Promise.all(ends);
  }

  test('CVE-2024-6387, CVE-2024-6409 (regreSSHion): 300 connections that expire at LoginGraceTime leave nothing, and nobody crashes', {
    skip: skipSshd,
    timeout: 90_000,
  }, async () => {
    await wave(server.port); // pools and heaps grow to their working size first
    const base = await server.settled();
    using watch = new MemoryWatch(server);
    await wave(server.port);
    assert.deepEqual(await server.leftovers(base, 15_000), []);
    assert.ok(watch.areAllAlive, 'the monitor or a worker was replaced');
    assert.ok(await watch.isFlat(24 * megabyte, 15_000), `${watch.peakBytes} bytes more`);
    const timeouts = server.log().match(/^.*Timeout before authentication for .*$/gm) ?? [];
    assert.ok(timeouts.length >= 2 * attackers * 0.9, `${timeouts.length} lines`);
    assert.doesNotMatch(server.log(), /internal error|worker \d+ \(pid/);
    assert.equal((await ssh(server, { key, user: 'alice' }, 'echo in')).text, 'in\n');
  });

  test('CVE-2024-6387: a login that succeeds as its time runs out is a whole one or none', {
    skip: skipSshd,
    timeout: 90_000,
  }, async () => {
    const base = await server.settled();
    const outcomes = await Promise.all(
      Array.from({ length: 16 }, async (_, index) => {
        const client = await RawSsh.shaken(server.port);
        await client.requestUserauth();
        // Authentication ends from a little before to a little after the last moment.
        await delay(graceSeconds * 1_000 - 400 + index * 50);
        client.send(client.signedRequest('alice', rawKey));
        const answer = await client.next().catch(() => undefined);
        const said = answer?.[0] === 52 ? await client.exec('id -un').catch(String) : answer?.[0];
        client.close();
        return said;
      }),
    );
    assert.ok(
      outcomes.every((said) => said === undefined || said === 1 || said === 'alice\n'),
      outcomes.join('|'),
    );
    assert.deepEqual(await server.leftovers(base, 15_000), []);
    assert.equal((await ssh(server, { key, user: 'alice' }, 'echo in')).text, 'in\n');
  });

  test('mscdex/ssh2: 500 half-open handshakes fill MaxStartups and no more; behind LoginGraceTime there is room', {
    timeout: 90_000,
  }, async () => {
    await using small = await startServer({
      config: ['UsePAM yes', 'LoginGraceTime 6', 'MaxStartups 20:50:60', 'LogLevel VERBOSE'],
    });
    const sockets: Socket[] = [];
    const identified = new Set<Socket>();
    for (let index = 0; index < 500; index++) {
      const socket = connect(small.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.once('data', (bytes: Buffer) => {
        if (bytes.toString('latin1').startsWith('SSH-')) {
          identified.add(socket);
        }
      });
      sockets.push(socket);
      if (index % 50 === 49) {
        await delay(20);
      }
    }
    const until = Date.now() + 5_000;
    while (sockets.filter(({ destroyed }) => !destroyed).length > 60 && Date.now() < until) {
      await delay(50);
    }
    assert.ok(identified.size >= 20 && identified.size <= 60, `${identified.size} were let in`);
    // Random early drop: beyond 20 some, beyond 60 all.
    if (serverKind === 'sshdesk') {
      await small.logged(/beginning MaxStartups throttling/);
      const dropped = small.log().match(/drop connection #(\d+) from .* past MaxStartups/g) ?? [];
      assert.equal(dropped.length, 500 - identified.size);
    }
    const untilIn = Date.now() + 15_000;
    let text = '';
    while (text !== 'in\n' && Date.now() < untilIn) {
      ({ text } = await ssh(small, { key, user: 'alice' }, 'echo in'));
    }
    assert.equal(text, 'in\n');
    for (const socket of sockets) {
      socket.destroy();
    }
  });
});
