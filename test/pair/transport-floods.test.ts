/** What a hostile client can make the transport keep or do, and where that ends. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { constants, deflateSync } from 'node:zlib';
import { limits } from '../../src/ssh/transport/limits.ts';
import { makeHostKey } from '../support/exchange-signer.ts';
import { RawClient, type RawOptions, sshString, uint32 } from '../support/raw-client.ts';
import { type Served, settingsFor, TransportServer } from '../support/transport-server.ts';

const key = makeHostKey('ssh-ed25519');
let server: TransportServer;

before(async () => {
  server = await TransportServer.listen([key], settingsFor([key]));
});
after(async () => {
  assert.deepEqual(server.bugs, []);
  await server.close();
});

async function connected(options: RawOptions = {}): Promise<{ client: RawClient; served: Served }> {
  const client = await RawClient.connect(server.port, options);
  const find = () => server.served.find((one) => one.socket.remotePort === client.socket.localPort);
  while (find() === undefined) {
    await delay(1);
  }
  return { client, served: find() as Served };
}

async function loggedIn(): Promise<{ client: RawClient; served: Served }> {
  const both = await connected();
  await both.client.handshake();
  await both.client.logIn();
  return both;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const message = (number: number, ...parts: Buffer[]) =>
  Buffer.concat([Buffer.from([number]), ...parts]);
const openFiles = () => readdirSync('/proc/self/fd').length;

/** Sends until the server stops taking it or `bytes` are out; what was written. */
async function flood(client: RawClient, payload: Buffer, bytes: number): Promise<number> {
  let sent = 0;
  while (sent < bytes && client.socket.writable) {
    const room = client.socket.write(client.seal(payload));
    sent += payload.length;
    if (!room) {
      const before = client.socket.bytesWritten;
      await delay(1);
      for (let i = 0; i < 200 && client.socket.writableLength > 0 && client.socket.writable; i++) {
        await delay(1);
      }
      if (client.socket.bytesWritten === before && client.socket.writableLength > 0) {
        return sent;
      }
    }
  }
  return sent;
}

describe('floods', { timeout: 120_000 }, () => {
  test('PINGs from a client that reads nothing stop being read', async () => {
    const { client, served } = await loggedIn();
    client.socket.pause();
    const ping = message(192, sshString(Buffer.alloc(30_000)));
    const sent = await flood(client, ping, 200e6);
    assert.ok(sent < 100e6, `${sent} bytes were taken`);
    const kept = served.socket.writableLength;
    assert.ok(kept < 2 * limits.outputStopsInputBytes, `${kept} bytes wait for the socket`);
    // It goes on when the client reads.
    client.socket.resume();
    let replies = 0;
    while (replies < 30) {
      assert.equal((await client.next())?.[0], 193);
      replies++;
    }
    client.socket.destroy();
    await served.closed;
  });

  for (const number of [2, 192]) {
    test(`message ${number} without end before authentication ends the connection`, async () => {
      const { client, served } = await connected();
      await client.handshake();
      await flood(client, message(number, sshString(Buffer.alloc(30_000))), 20e6);
      await served.closed;
      assert.equal((served.error as { reason?: number }).reason, 2);
    });
  }

  test('key exchanges without end before authentication end the connection', async () => {
    const { client, served } = await connected();
    await client.handshake();
    await assert.rejects(async () => {
      for (let i = 0; i < 20; i++) {
        await client.rekey();
      }
    });
    await served.closed;
    assert.equal(served.signer.exchanges.length, limits.unauthenticatedExchanges);
  });

  test('data behind a KEXINIT of the peer is heard once logged in, as sshd does, never before', async () => {
    const data = message(94, uint32(0), sshString(Buffer.alloc(100)));
    const stranger = await connected();
    await stranger.client.handshake();
    stranger.client.send(stranger.client.makeKexInit(), data);
    assert.equal((await stranger.client.farewell())?.reason, 2);
    const { client, served } = await loggedIn();
    const heard = new Promise<Buffer>((resolve) => {
      served.transport.onPayload = (payload) => resolve(Buffer.from(payload));
    });
    client.send(client.makeKexInit(), data);
    assert.deepEqual(await heard, data);
    client.socket.destroy();
  });

  test('data without end behind a KEXINIT of the peer ends the connection', async () => {
    const { client, served } = await loggedIn();
    client.send(client.makeKexInit());
    const data = message(94, uint32(0), sshString(Buffer.alloc(32_000)));
    const sent = await flood(client, data, 2 * limits.unansweredKexInitBytes);
    await served.closed;
    assert.equal((served.error as { reason?: number }).reason, 2);
    assert.ok(sent < 1.5 * limits.unansweredKexInitBytes);
  });

  test('data without end instead of an answer to our KEXINIT ends the connection', async () => {
    const { client, served } = await loggedIn();
    served.transport.rekey();
    const data = message(2, sshString(Buffer.alloc(32_000)));
    const sent = await flood(client, data, 2 * limits.unansweredKexInitBytes);
    await served.closed;
    assert.equal((served.error as { reason?: number }).reason, 2);
    assert.ok(sent < 1.5 * limits.unansweredKexInitBytes);
  });

  for (const number of [2, 4, 94]) {
    test(`message ${number} without end behind a KEXINIT of the peer ends the connection`, async () => {
      const { client, served } = await loggedIn();
      served.transport.onPayload = () => {};
      client.send(client.makeKexInit());
      const data = message(number, sshString(Buffer.alloc(32_000)));
      const sent = await flood(client, data, 2 * limits.unansweredKexInitBytes);
      await served.closed;
      assert.equal((served.error as { reason?: number }).reason, 2);
      assert.ok(sent < 1.5 * limits.unansweredKexInitBytes);
    });
  }

  test('requests for answers while our KEXINIT waits fill a bounded queue', async () => {
    const { client, served } = await loggedIn();
    served.transport.rekey();
    const sent = await flood(client, message(192, sshString(Buffer.alloc(30_000))), 60e6);
    await served.closed;
    assert.ok(sent < 20e6, `${sent} bytes were taken`);
    assert.equal((served.error as { reason?: number }).reason, 2);
  });

  test('send answers false while keys are exchanged without end, and the rest is bounded', async () => {
    const { client, served } = await loggedIn();
    client.send(client.makeKexInit());
    await client.expect(20);
    let accepted = 0;
    while (served.transport.sendChannelData(0, Buffer.alloc(32_768))) {
      accepted += 32_768;
    }
    assert.ok(accepted <= limits.outputHighBytes);
    for (let i = 0; i < 200; i++) {
      served.transport.sendChannelData(0, Buffer.alloc(32_768));
    }
    await served.closed;
    assert.equal((served.error as { reason?: number }).reason, 2);
    client.socket.destroy();
  });

  test('onDrain comes after a key exchange that stopped the sender', async () => {
    const { client, served } = await loggedIn();
    let drains = 0;
    served.transport.onDrain = () => {
      drains++;
    };
    client.send(client.makeKexInit());
    client.serverKexInit = await client.expect(20);
    let count = 0;
    while (served.transport.sendChannelData(7, Buffer.alloc(1000, count))) {
      count++;
    }
    // Somebody above who stops reading until there is room must not stop the exchange.
    served.transport.pause();
    client.send(client.kexValue());
    await client.takeReply();
    for (let i = 0; i <= count; i++) {
      const payload = (await client.next()) as Buffer;
      assert.equal(payload[0], 94);
      assert.equal(payload[9], i % 256);
    }
    await delay(20);
    assert.equal(drains, 1);
    client.socket.destroy();
  });

  test('pause stops reading, resume goes on', async () => {
    const { client, served } = await loggedIn();
    let taken = 0;
    served.transport.onPayload = (payload) => {
      taken += payload.length;
    };
    served.transport.pause();
    const data = message(94, uint32(0), sshString(Buffer.alloc(30_000)));
    for (let i = 0; i < 1000; i++) {
      client.send(data);
    }
    await delay(100);
    assert.ok(taken < 400_000, `${taken} bytes came while paused`);
    served.transport.resume();
    while (taken < 1000 * data.length) {
      await delay(5);
    }
    client.socket.destroy();
    await served.closed;
  });

  test('clients that vanish at any moment of the exchange leave no descriptor', async () => {
    const before = openFiles();
    for (let round = 0; round < 60; round++) {
      const { client, served } = await connected();
      if (round % 4 > 0) {
        await client.open();
      }
      if (round % 4 > 1) {
        client.send(client.kexValue());
      }
      if (round % 4 > 2) {
        await delay(10);
      }
      if (round % 2 === 0) {
        client.socket.resetAndDestroy();
      } else {
        client.socket.destroy();
      }
      await served.closed;
    }
    await delay(100);
    assert.ok(openFiles() <= before, `${openFiles()} descriptors, ${before} before`);
  });

  test('destroy and disconnect while the exchange is signed', async () => {
    for (const end of ['destroy', 'disconnect'] as const) {
      const { client, served } = await connected();
      await client.open();
      client.send(client.kexValue());
      await delay(10);
      assert.equal(served.signer.exchanges.length, 1);
      if (end === 'destroy') {
        served.transport.destroy();
      } else {
        served.transport.disconnect(new Error('a fault of ours'));
      }
      await served.closed;
      const farewell = await client.farewell();
      assert.deepEqual(
        farewell,
        end === 'destroy' ? undefined : { reason: 2, text: 'Protocol error' },
      );
      await delay(40);
    }
    assert.equal((server.bugs.pop() as Error).message, 'a fault of ours');
  });

  test('a packet that inflates without end is reason 6, and zlib before authentication not offered', async () => {
    const { client } = await connected();
    client.socket.write('SSH-2.0-raw_client\r\n');
    await client.readVersion();
    client.send(client.makeKexInit({ compression: 'zlib@openssh.com' }), client.kexValue());
    client.serverKexInit = await client.expect(20);
    assert.ok(!/[^@]zlib[,\0]/.test(client.serverKexInit.toString('latin1')));
    await client.takeReply();
    await client.logIn();
    const bomb = deflateSync(Buffer.alloc(30e6, 2), { finishFlush: constants.Z_SYNC_FLUSH });
    assert.ok(bomb.length < 32_768);
    const before = process.memoryUsage().rss;
    client.send(bomb);
    assert.deepEqual(await client.farewell(), { reason: 6, text: 'Compression error' });
    assert.ok(process.memoryUsage().rss - before < 10e6);
    const other = await connected();
    other.client.socket.write('SSH-2.0-raw_client\r\n');
    await other.client.readVersion();
    other.client.send(other.client.makeKexInit({ compression: 'zlib' }));
    assert.equal((await other.client.farewell())?.reason, 3);
  });

  test('wrong guesses without end leave nothing', async () => {
    const quick = await TransportServer.listen([key], settingsFor([key]), 0);
    const client = await RawClient.connect(quick.port);
    try {
      await client.handshake();
      await client.logIn();
      const names = ['curve25519-sha256', 'mlkem768x25519-sha256'];
      const guess = message(30, sshString(Buffer.alloc(30_000)));
      const guessWrongly = async (count: number): Promise<number> => {
        for (let i = 0; i < count; i++) {
          client.send(client.makeKexInit({ kex: names, guess: true }), guess);
          client.serverKexInit = await client.expect(20);
          client.send(client.kexValue());
          await client.takeReply();
        }
        // What the test's own signer remembers.
        quick.served[0]?.signer.exchanges.splice(0);
        // Twice: what a first one finds unused holds more.
        collectGarbage();
        await delay(20);
        collectGarbage();
        const { heapUsed, external } = process.memoryUsage();
        return heapUsed + external;
      };
      const before = await guessWrongly(100);
      const kept = (await guessWrongly(400)) - before;
      // The guesses alone are 12 MB.
      assert.ok(kept < 5e6, `${kept} bytes`);
      client.send(message(192, sshString('')));
      await client.expect(193);
    } finally {
      client.socket.destroy();
      await quick.close();
    }
    assert.deepEqual(quick.bugs, []);
  });

  test('a throw above becomes a DISCONNECT and is reported as a fault', async () => {
    const { client, served } = await loggedIn();
    served.transport.onPayload = () => {
      throw new TypeError('a bug');
    };
    client.send(message(94));
    assert.deepEqual(await client.farewell(), { reason: 2, text: 'Protocol error' });
    await served.closed;
    assert.equal((server.bugs.pop() as Error).message, 'a bug');
  });

  test('a peer that reads nothing after DISCONNECT is closed in time', async () => {
    const { client, served } = await loggedIn();
    client.socket.pause();
    while (served.transport.sendChannelData(0, Buffer.alloc(32_768))) {
      // until the socket is full
    }
    served.transport.disconnect(new Error('enough'));
    server.bugs.pop();
    await delay(limits.lingerMs + 200);
    assert.ok(served.socket.destroyed);
    client.socket.destroy();
  });
});
