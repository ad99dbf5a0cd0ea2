import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { sftpBehindBytes, sftpBehindRequests } from '../../../../src/base/limits.ts';
import type { HostedSession, SessionHost, Started } from '../../../../src/session/host.ts';
import { sessionChannel } from '../../../../src/session/session-channel.ts';
import { subsystemPaces } from '../../../../subsystems/index.ts';
import { SftpPace } from '../../../../subsystems/sftp/pace.ts';
import { ChannelWindowAdjust } from '../../../../src/ssh/connection/messages.ts';
import type { LendingSource } from '../../../../src/ssh/connection/pump.ts';
import { Writer } from '../../../../src/ssh/wire/writer.ts';
import { ConnectionPeer } from '../../../support/connection-peer.ts';
import { settle } from '../../../support/memory-transport.ts';

const packet = (type: number, bytes: number): Buffer => {
  const whole = Buffer.alloc(4 + bytes);
  whole.writeUInt32BE(bytes, 0);
  whole[4] = type;
  return whole;
};
const init = packet(1, 5);
const version = packet(2, 5);
const write = packet(6, 4096);
const status = packet(101, 24);

class FakeOutput implements LendingSource {
  give: (chunk: Buffer) => void = () => {};
  start(take: (chunk: Buffer) => void): void {
    this.give = take;
  }
  pause(): void {}
  resume(): void {}
  destroy(): void {}
}

/** A pace whose server has said VERSION; what it answers, and how often it made room. */
function started() {
  const pace = new SftpPace();
  const output = new FakeOutput();
  let rooms = 0;
  pace.onRoom = () => {
    rooms++;
  };
  pace.watch(output).start(
    () => {},
    () => {},
  );
  assert.ok(pace.take(init));
  output.give(version);
  return { pace, answer: (chunk: Buffer) => output.give(chunk), rooms: () => rooms };
}

describe('requests that an SFTP server has not answered', () => {
  test('are as many as the bound says; half of them answered make room, once', () => {
    const { pace, answer, rooms } = started();
    let given = 0;
    while (pace.take(write)) {
      given++;
    }
    given++;
    assert.equal(given, Math.ceil(sftpBehindBytes / write.length));
    assert.ok(pace.isFull);
    let answered = 0;
    while (rooms() === 0) {
      answer(status);
      answered++;
    }
    assert.ok(Math.abs(answered - given / 2) <= 1, `${answered} of ${given}`);
    assert.ok(!pace.isFull);
    answer(Buffer.concat(Array.from({ length: given - answered }, () => status)));
    assert.equal(rooms(), 1);
  });

  test('are counted too: small ones', () => {
    const { pace, answer } = started();
    const read = packet(5, 25);
    let given = 0;
    while (pace.take(read)) {
      given++;
    }
    assert.equal(given + 1, sftpBehindRequests);
    for (let at = 0; at < 20 * sftpBehindRequests; at++) {
      answer(status);
      pace.take(read);
    }
    assert.ok(pace.isFull);
  });

  test('are found in pieces of any size', () => {
    const requests = Buffer.concat([init, write, packet(5, 1), write, packet(16, 300)]);
    const answers = Buffer.concat([version, status, packet(103, 32_777), status, status]);
    for (const bytes of [1, 2, 3, 4, 5, 7, 4099, 40_000]) {
      const pace = new SftpPace();
      const output = new FakeOutput();
      pace.watch(output).start(
        () => {},
        () => {},
      );
      const cut = (whole: Buffer, each: (piece: Buffer) => void) => {
        for (let at = 0; at < whole.length; at += bytes) {
          each(whole.subarray(at, at + bytes));
        }
      };
      cut(requests, (piece) => assert.ok(pace.take(piece)));
      cut(answers, (piece) => output.give(piece));
      // All are answered: the bound is as far away as in the beginning.
      let given = 1;
      while (pace.take(write)) {
        given++;
      }
      assert.equal(given, Math.ceil(sftpBehindBytes / write.length), `pieces of ${bytes}`);
    }
  });

  test('more answers than requests are no credit', () => {
    const { pace, answer } = started();
    for (let at = 0; at < 5000; at++) {
      answer(status);
    }
    let given = 0;
    while (pace.take(write)) {
      given++;
    }
    assert.equal(given + 1, Math.ceil(sftpBehindBytes / write.length));
  });
});

describe('what is no SFTP is let through', () => {
  for (const [name, first] of [
    ['a first packet of another type', packet(6, 5)],
    ['a length beyond any packet', Buffer.from('GET / HTTP/1.0\r\n')],
    ['a length of 0', Buffer.alloc(8)],
  ] as const) {
    test(`${name} of the client`, () => {
      const pace = new SftpPace();
      for (let at = 0; at < 2000; at++) {
        assert.ok(pace.take(at === 0 ? first : write));
      }
    });
  }

  test('words in front of the server’s first packet', () => {
    const pace = new SftpPace();
    const output = new FakeOutput();
    let rooms = 0;
    pace.onRoom = () => {
      rooms++;
    };
    const passed: Buffer[] = [];
    pace.watch(output).start(
      (chunk) => passed.push(chunk),
      () => {},
    );
    pace.take(init);
    while (pace.take(write)) {
      // Until it is full.
    }
    output.give(Buffer.from('Welcome!\n'));
    assert.equal(rooms, 1);
    assert.ok(!pace.isFull);
    assert.equal(passed.toString(), 'Welcome!\n');
    for (let at = 0; at < 2000; at++) {
      assert.ok(pace.take(write));
    }
  });
});

describe('a session with the subsystem sftp', () => {
  async function run(name: string) {
    const output = new FakeOutput();
    const stdin = new PassThrough({ highWaterMark: 1 << 26 });
    const answer: Started = { is: 'process', stdin, stdout: output, stderr: new FakeOutput() };
    const hosted: HostedSession = {
      number: 1,
      pty: async () => false,
      env: async () => false,
      forwardAgent: async () => false,
      forwardX11: async () => false,
      start: async () => answer,
      signal: async () => false,
      close: () => {},
      onExit: () => {},
      onWarning: () => {},
    };
    const host: SessionHost = { open: async () => ({ opened: hosted }) };
    const peer = new ConnectionPeer({
      channelTypes: new Map([['session', sessionChannel(host, new Map(), subsystemPaces)]]),
    });
    peer.open(7, 1 << 20, 32 * 1024, 'session');
    await settle();
    peer.request(0, 'subsystem', new Writer().text(name).done());
    await settle();
    peer.transport.take();
    let window = 2 * 1024 * 1024;
    const learn = async (): Promise<void> => {
      await settle();
      for (const payload of peer.transport.take()) {
        if (payload[0] === ChannelWindowAdjust.number) {
          window += ChannelWindowAdjust.decode(payload).bytes;
        }
      }
    };
    const data = Buffer.concat(Array.from({ length: 7 }, () => write));
    return {
      output,
      taken: () => stdin.readableLength,
      /** As much as the window lets through, up to `bytes`; how much that was. */
      async send(bytes: number): Promise<number> {
        let sent = 0;
        await learn();
        while (sent < bytes && window >= data.length) {
          peer.data(0, data);
          sent += data.length;
          window -= data.length;
          await learn();
        }
        return sent;
      },
      first: (chunk: Buffer) => {
        peer.data(0, chunk);
        window -= chunk.length;
      },
    };
  }

  test('is given two megabytes that it has not answered, holds as many, then the client waits', async () => {
    const session = await run('sftp');
    session.first(init);
    session.output.give(version);
    const sent = await session.send(20e6);
    assert.ok(sent < 4.2 * 1024 * 1024, `${sent} bytes were taken from the client`);
    assert.ok(session.taken() < sftpBehindBytes + 40_000, `${session.taken()} bytes were given`);
    const before = session.taken();
    for (let at = 0; at < 400; at++) {
      session.output.give(status);
    }
    await settle();
    assert.ok(session.taken() > before + 1e6);
    assert.ok((await session.send(20e6)) > 1e6);
  });

  test('another subsystem is given all that comes', async () => {
    const session = await run('store');
    session.first(init);
    assert.ok((await session.send(10e6)) >= 10e6);
    assert.ok(session.taken() >= 10e6);
  });
});
