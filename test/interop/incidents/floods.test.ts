/**
 * Incidents of other servers that were floods: what a peer may make us keep, do or wait for, seen
 * from outside by the memory of the processes. Runs in: test, in the lab.
 *
 * The bounds leave room for a heap that is collected late; what was kept of a flood would be several
 * times more.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { describe } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { incidentScene, numbersOf, type Site } from '../../support/incident.ts';
import { inLab } from '../../support/lab.ts';
import { MemoryWatch } from '../../support/memory.ts';
import { byte, Fields, no, payload, type RawSsh, str, u32, yes } from '../../support/raw-ssh.ts';
import { serverKind } from '../../support/server.ts';

const lab = inLab(import.meta.url, 280_000);
const megabyte = 1024 * 1024;
/** What a worker may differ by for other reasons than a flood. */
const slackBytes = 48 * megabyte;

const messages = {
  IGNORE: (bytes: number) => payload(2, str(Buffer.alloc(bytes))),
  UNIMPLEMENTED: () => payload(3, u32(0)),
  DEBUG: (bytes: number) => payload(4, no, str(Buffer.alloc(bytes)), str('')),
  PING: (bytes: number) => payload(192, str(Buffer.alloc(bytes))),
} as const;

/** Sends until `bytes` are out, the server has closed, or takes nothing for two seconds. */
async function flood(client: RawSsh, message: () => Buffer, bytes: number): Promise<number> {
  const { socket } = client;
  const before = socket.bytesWritten;
  let queued = 0;
  let movedAt = Date.now();
  let moved = before;
  while (queued < bytes && !socket.destroyed && socket.writable) {
    const packet = client.frame(message());
    queued += packet.length;
    if (!socket.write(packet)) {
      await delay(1);
      const written = socket.bytesWritten - socket.writableLength;
      if (written !== moved) {
        moved = written;
        movedAt = Date.now();
      }
      if (Date.now() - movedAt > 2_000) {
        break;
      }
      // A million small writes must not wait in the memory of the test.
      while (socket.writableLength > 4 * megabyte && Date.now() - movedAt < 2_000) {
        await delay(5);
        if (socket.destroyed) {
          break;
        }
        const left = socket.bytesWritten - socket.writableLength;
        if (left !== moved) {
          moved = left;
          movedAt = Date.now();
        }
      }
    }
  }
  return socket.bytesWritten - before;
}

describe('floods', lab, () => {
  const { incident, key } = incidentScene({
    removals: [
      {
        file: 'src/ssh/transport/limits.ts',
        check: 'unauthenticatedBytes: 4 * 1024 * 1024,',
        instead: 'unauthenticatedBytes: 2 ** 40,',
      },
      {
        file: 'src/ssh/transport/limits.ts',
        check: 'outputStopsInputBytes: 1024 * 1024,',
        instead: 'outputStopsInputBytes: 2 ** 40,',
      },
      {
        file: 'src/ssh/connection/window.ts',
        check: 'if (bytes > this.#left) {',
        instead: 'if (bytes < 0) {',
      },
    ],
  });

  const floodOf =
    (reach: (site: Site) => Promise<RawSsh>, name: keyof typeof messages, size: number) =>
    async (site: Site): Promise<void> => {
      using watch = new MemoryWatch(site.server);
      using client = await reach(site);
      client.socket.pause();
      const sent = await flood(client, () => messages[name](size), 120 * megabyte);
      assert.ok(sent < 30 * megabyte, `${sent} bytes were taken`);
      assert.ok(watch.peakBytes < slackBytes, `${watch.peakBytes} bytes more`);
      assert.ok(watch.areAllAlive);
    };

  for (const name of ['PING', 'IGNORE', 'DEBUG'] as const) {
    incident(
      `CVE-2025-26466: ${name} without end in front of the login ends the connection, memory flat`,
      floodOf((site) => site.shaken(), name, 30_000),
      { seen: name === 'PING', skip: serverKind === 'sshd' ? 'sshd 9.2 takes them' : false },
    );
  }
  incident(
    'CVE-2025-26466: small PINGs and UNIMPLEMENTEDs in front of the login likewise',
    async (site) => {
      await floodOf((at) => at.shaken(), 'PING', 0)(site);
      await floodOf((at) => at.asking(), 'UNIMPLEMENTED', 0)(site);
    },
    { skip: serverKind === 'sshd' ? 'sshd 9.2 takes them' : false },
  );
  incident(
    'CVE-2025-26466: PING, IGNORE and DEBUG during a key exchange end it or are bounded',
    async (site) => {
      using watch = new MemoryWatch(site.server);
      for (const reach of [
        async () => {
          const client = await site.identified();
          client.sendKexInit();
          return client;
        },
        async () => {
          const client = await site.loggedIn();
          client.sendKexInit();
          await client.nextOf(20);
          return client;
        },
      ]) {
        for (const name of ['PING', 'IGNORE', 'DEBUG'] as const) {
          using client = await reach();
          client.socket.pause();
          const sent = await flood(client, () => messages[name](30_000), 100 * megabyte);
          client.socket.resume();
          assert.ok(sent <= 100 * megabyte + 40_000);
        }
      }
      assert.ok(watch.peakBytes < slackBytes, `${watch.peakBytes} bytes more`);
      assert.ok(watch.areAllAlive);
    },
  );
  incident(
    'CVE-2025-26466: PINGs of a client that is logged in and reads nothing stop being read',
    floodOf((site) => site.loggedIn(), 'PING', 30_000),
    { seen: true, skip: serverKind === 'sshd' ? 'sshd 9.2 knows no PING' : false },
  );
  incident('50,000 empty IGNOREs in front of a login do no harm', async (site) => {
    using client = await site.shaken();
    for (let index = 0; index < 50_000; index++) {
      client.send(payload(2, str('')));
    }
    await client.requestUserauth();
    client.send(client.signedRequest('alice', key));
    await client.nextOf(52);
  });

  incident('CVE-2026-39830: 10,000 answers that nobody asked for stop nothing', async (site) => {
    using watch = new MemoryWatch(site.server);
    using client = await site.loggedIn();
    for (let index = 0; index < 5_000; index++) {
      client.send(payload(81, randomBytes(100)));
      client.send(payload(82));
    }
    assert.equal(await client.exec('echo on'), 'on\n');
    const channel = await client.openSession(4);
    for (let index = 0; index < 5_000; index++) {
      client.send(payload(99, u32(channel)));
      client.send(payload(100, u32(channel)));
    }
    assert.equal(await client.exec('echo on', 5), 'on\n');
    assert.ok(watch.peakBytes < slackBytes, `${watch.peakBytes} bytes more`);
  });

  incident(
    'CVE-2026-39827: channels opened and refused leave no memory behind (60,000 of a million)',
    async (site) => {
      using client = await site.loggedIn();
      const round = async (count: number): Promise<void> => {
        const open = payload(90, str('nonsense'), u32(9), u32(1), u32(1));
        for (let done = 0; done < count; done += 1_000) {
          for (let index = 0; index < 1_000; index++) {
            client.send(open);
          }
          for (let index = 0; index < 1_000; index++) {
            await client.nextOf(92);
          }
        }
      };
      await round(20_000); // the heap grows to its working size first
      using watch = new MemoryWatch(site.server);
      await round(40_000);
      // A refused channel that stayed would be 200 bytes at least: 8 MB for the least that can be kept.
      assert.ok(await watch.isFlat(8 * megabyte), `${watch.peakBytes} bytes more`);
      assert.equal(await client.exec('echo on'), 'on\n');
    },
  );
  incident(
    'CVE-2026-39827: sessions opened and closed, and past MaxSessions, likewise (4,000)',
    async (site) => {
      using client = await site.loggedIn();
      const round = async (count: number): Promise<void> => {
        for (let done = 0; done < count; done += 20) {
          const opened: Buffer[] = [];
          for (let index = 0; index < 20; index++) {
            client.send(payload(90, str('session'), u32(index + 20), u32(1000), u32(1000)));
          }
          for (let index = 0; index < 20; index++) {
            const answer = await client.nextOf(91, 92);
            if (answer[0] === 91) {
              opened.push(answer.subarray(5, 9));
            }
          }
          assert.ok(opened.length > 0 && opened.length <= 10, `${opened.length} sessions`);
          for (const number of opened) {
            client.send(payload(97, number));
          }
          for (let index = 0; index < opened.length; index++) {
            await client.nextOf(97);
          }
        }
      };
      await round(1_500);
      using watch = new MemoryWatch(site.server);
      await round(2_500);
      assert.ok(await watch.isFlat(8 * megabyte), `${watch.peakBytes} bytes more`);
    },
  );

  incident(
    'CVE-2026-39827: forwarded connections that the client refuses leave nothing (1,500)',
    async (site) => {
      using client = await site.loggedIn();
      client.send(payload(80, str('tcpip-forward'), yes, str('127.0.0.1'), u32(0)));
      const port = (await client.nextOf(81)).readUInt32BE(1);
      const round = async (count: number): Promise<void> => {
        for (let done = 0; done < count; done += 25) {
          const ends = Array.from({ length: 25 }, async () => {
            const socket = connect(port, '127.0.0.1');
            socket.on('error', () => undefined).resume();
            await new Promise<void>((resolve) => void socket.once('close', () => resolve()));
          });
          for (let index = 0; index < 25; index++) {
            const open = new Fields(await client.nextOf(90));
            assert.equal(open.str().toString(), 'forwarded-tcpip');
            client.send(payload(92, u32(open.u32()), u32(1), str('no'), str('')));
          }
          await Promise.all(ends);
        }
      };
      await round(300);
      using watch = new MemoryWatch(site.server);
      await round(1_200);
      assert.ok(await watch.isFlat(8 * megabyte), `${watch.peakBytes} bytes more`);
      assert.equal(await client.exec('echo on'), 'on\n');
    },
  );
  incident(
    'asyncssh 2.24.0: a forwarded connection into a window or packet size of 0 or 1',
    async (site) => {
      for (const [windowBytes, packetBytes] of [
        [0, 1],
        [3, 1],
        [100, 1],
        [100, 0],
        [0xffffffff, 0xffffffff],
      ] as const) {
        using client = await site.loggedIn();
        client.send(payload(80, str('tcpip-forward'), yes, str('127.0.0.1'), u32(0)));
        const port = (await client.nextOf(81)).readUInt32BE(1);
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => undefined).write('hello');
        const open = new Fields(await client.nextOf(90));
        open.str();
        const sizes = [u32(windowBytes), u32(packetBytes)];
        client.send(payload(91, u32(open.u32()), u32(7), ...sizes));
        const ending = await client.ending(400, 2_000);
        const data = ending.messages.filter((message) => message[0] === 94);
        const bytes = data.map((message) => message.length - 9).reduce((a, b) => a + b, 0);
        assert.equal(bytes, packetBytes === 0 ? 0 : Math.min(5, windowBytes));
        assert.ok(data.every((message) => message.length - 9 <= packetBytes));
        socket.destroy();
      }
    },
  );

  incident(
    'CVE-2026-39834: more than the window is not taken, memory flat',
    async (site) => {
      using watch = new MemoryWatch(site.server);
      using client = await site.loggedIn();
      const channel = await client.openSession();
      client.send(payload(98, u32(channel), str('exec'), yes, str('sleep 20')));
      await client.nextOf(99);
      await flood(
        client,
        () => payload(94, u32(channel), str(Buffer.alloc(32_768))),
        100 * megabyte,
      );
      if (serverKind === 'sshdesk') {
        // The DISCONNECT may be lost: what was not read when the server closed resets the connection.
        assert.ok((await client.ending(500)).closed, 'the connection goes on');
      }
      assert.ok(watch.peakBytes < slackBytes, `${watch.peakBytes} bytes more`);
    },
    { seen: true },
  );

  incident(
    'CVE-2021-43565: 3,000 empty packets and 3,000 broken ones leave nothing',
    async (site) => {
      using watch = new MemoryWatch(site.server);
      for (let index = 0; index < 40; index++) {
        using client = await site.shaken(
          index % 2 === 0 ? {} : { cipher: 'aes128-gcm@openssh.com' },
        );
        for (let count = 0; count < 75; count++) {
          client.send(index % 4 < 2 ? Buffer.alloc(0) : byte(0));
        }
        const ending = await client.ending(300, 3_000);
        assert.ok(ending.closed || ending.disconnect !== undefined);
        assert.ok(!numbersOf(ending).includes(52));
      }
      assert.ok(watch.peakBytes < slackBytes, `${watch.peakBytes} bytes more`);
    },
  );
});
