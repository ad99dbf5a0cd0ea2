import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { PassThrough } from 'node:stream';
import { channelWindowBytes } from '../../../../../src/base/limits.ts';
import { ChannelWindowAdjust } from '../../../../../src/ssh/connection/messages.ts';
import { feed, pump, splice } from '../../../../../src/ssh/connection/pump.ts';
import { ConnectionPeer } from '../../../../support/connection-peer.ts';
import { isProtocolError, settle } from '../../../../support/memory-transport.ts';

const data = 94;
const extended = 95;
const eof = 96;
const close = 97;
const request = 98;
const adjust = 93;

test('output is cut to the maximum packet and stops at the window', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 1000, 300);
  const chunk = Buffer.from(Array.from({ length: 1500 }, (_, index) => index & 0xff));
  assert.equal(channel.out.write(chunk), false);
  const first = peer.bytes();
  assert.equal(first.stdout.length, 1000);
  assert.equal(first.largest, 300);
  peer.adjust(0, 500);
  assert.deepEqual(Buffer.concat([first.stdout, peer.bytes().stdout]), chunk);
});

test('a window of 0 and a maximum packet of 1 send each byte once the window opens', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 0, 1);
  let drains = 0;
  channel.out.onDrain = () => void drains++;
  assert.equal(channel.out.write(Buffer.from('abc')), false);
  assert.deepEqual(peer.numbers(), []);
  peer.adjust(0, 2);
  assert.equal(peer.bytes().stdout.toString(), 'ab');
  assert.equal(drains, 0);
  peer.adjust(0, 10);
  const rest = peer.bytes();
  assert.equal(rest.stdout.toString(), 'c');
  assert.equal(rest.largest, 1);
  assert.equal(drains, 1);
});

test('stdout and stderr that wait for the window both go on, nothing twice', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 10, 1000);
  const out = Buffer.alloc(5000, 'o');
  const err = Buffer.alloc(5000, 'e');
  channel.out.write(out);
  channel.err.write(err);
  let stdout = peer.bytes().stdout.length;
  let stderr = 0;
  for (let turn = 0; turn < 20; turn++) {
    peer.adjust(0, 600);
    const sent = peer.bytes();
    stdout += sent.stdout.length;
    stderr += sent.stderr.length;
    if (stdout < 5000 && stderr < 5000) {
      assert.ok(Math.abs(stdout - stderr) <= 1210, `${stdout} against ${stderr}`);
    }
  }
  assert.equal(stdout, 5000);
  assert.equal(stderr, 5000);
});

test('a socket that is full blocks a source until it drains', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  peer.transport.isFull = true;
  let drains = 0;
  channel.out.onDrain = () => void drains++;
  assert.equal(channel.out.write(Buffer.from('a')), false);
  assert.equal(peer.bytes().stdout.toString(), 'a');
  assert.equal(channel.out.write(Buffer.from('b')), false);
  assert.deepEqual(peer.numbers(), []);
  peer.transport.drain();
  assert.equal(peer.bytes().stdout.toString(), 'b');
  assert.equal(drains, 1);
});

test('channels that wait for the socket are served in turn', () => {
  const peer = new ConnectionPeer();
  const first = peer.opened(1);
  const second = peer.opened(2);
  peer.transport.isFull = true;
  first.out.write(Buffer.alloc(1));
  peer.transport.take();
  first.out.write(Buffer.alloc(20 * 32 * 1024));
  second.out.write(Buffer.alloc(20 * 32 * 1024));
  const order: number[] = [];
  for (let turn = 0; turn < 6; turn++) {
    peer.transport.drain(1);
    order.push(...peer.transport.take().map((payload) => payload.readUInt32BE(1)));
  }
  assert.deepEqual(order, [1, 2, 1, 2, 1, 2]);
});

test('data beyond the window ends the connection', () => {
  const peer = new ConnectionPeer();
  peer.opened();
  const packet = Buffer.alloc(32 * 1024);
  for (let sent = 0; sent < channelWindowBytes; sent += packet.length) {
    peer.data(0, packet);
  }
  assert.equal(peer.transport.isClosed, false);
  peer.data(0, 'x');
  assert.ok(isProtocolError(peer.transport.error));
});

test('data above the maximum packet ends the connection', () => {
  const peer = new ConnectionPeer();
  peer.opened();
  peer.data(0, Buffer.alloc(32 * 1024 + 1));
  assert.ok(isProtocolError(peer.transport.error));
});

test('the window comes back only when the consumer took the bytes', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  let isWilling = false;
  let taken = 0;
  channel.receive({
    write: (bytes) => {
      taken += bytes.length;
      return isWilling;
    },
    end: () => {},
  });
  const packet = Buffer.alloc(32 * 1024);
  for (let turn = 0; turn < 8; turn++) {
    peer.data(0, packet);
  }
  assert.deepEqual(peer.numbers(), []);
  assert.equal(taken, packet.length);
  isWilling = true;
  channel.sinkReady();
  assert.equal(taken, 8 * packet.length);
  const given = peer.transport
    .take()
    .reduce((sum, payload) => sum + ChannelWindowAdjust.decode(payload).bytes, 0);
  assert.ok(given >= 6 * packet.length, `${given} given back`);
});

test('a sink may hand over to another from within write, and what it leaves comes first', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  const got: string[] = [];
  const second = {
    write: (bytes: Buffer) => {
      got.push(`second ${bytes.toString()}`);
      return true;
    },
    end: () => void got.push('end'),
  };
  peer.data(0, 'bye\nglued');
  peer.data(0, Buffer.alloc(20_000, 'x'));
  peer.eof(0);
  channel.receive({
    write: (bytes) => {
      got.push('first');
      channel.receive(second, bytes.subarray(4));
      return true;
    },
    end: () => void got.push('never'),
  });
  assert.equal(got[0], 'first');
  assert.ok(got[1]?.startsWith('second glued'));
  assert.equal(got.join('').match(/x/g)?.length, 20_000);
  assert.equal(got.at(-1), 'end');
});

test('after our EOF the client can still send, and its EOF arrives', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  channel.stream.end('done');
  await settle();
  assert.deepEqual(peer.numbers(), [data, eof]);
  peer.data(0, Buffer.alloc(20_000, 'u'));
  peer.data(0, 'tail');
  peer.eof(0);
  const chunks: Buffer[] = [];
  for await (const chunk of channel.stream) {
    chunks.push(chunk as Buffer);
  }
  assert.equal(Buffer.concat(chunks).length, 20_004);
});

test('after the client EOF we can still send', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  peer.eof(0);
  channel.stream.resume();
  await once(channel.stream, 'end');
  channel.stream.write('late');
  assert.equal(peer.bytes().stdout.toString(), 'late');
});

test('EOF and CLOSE leave once, and no data behind them', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  channel.sendEof();
  channel.sendEof();
  channel.out.write(Buffer.from('x'));
  channel.close();
  channel.close();
  channel.abort();
  channel.err.write(Buffer.from('x'));
  channel.sendExitStatus(0);
  peer.request(0, 'anything');
  assert.deepEqual(peer.numbers(), [eof, close]);
});

test('EOF and CLOSE wait for what the window holds back', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 3);
  channel.out.write(Buffer.from('abcdef'));
  channel.sendExitStatus(4);
  channel.close();
  assert.deepEqual(peer.numbers(), [data, request]);
  peer.adjust(0, 100);
  assert.deepEqual(peer.numbers(), [data, eof, close]);
});

test('the client closes: CLOSE is answered once and waiting output is dropped', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 0);
  let closes = 0;
  let drains = 0;
  channel.onClose(() => void closes++);
  channel.out.onDrain = () => void drains++;
  channel.out.write(Buffer.from('never'));
  peer.close(0);
  assert.deepEqual(peer.numbers(), [eof, close].slice(1));
  assert.deepEqual([closes, drains, channel.isClosed], [1, 1, true]);
  assert.equal(peer.connection.channelCount, 0);
});

test('data, EOF or requests behind EOF or CLOSE end the connection', () => {
  for (const misdeed of [
    (peer: ConnectionPeer) => (peer.eof(0), peer.data(0, 'x')),
    (peer: ConnectionPeer) => (peer.eof(0), peer.eof(0)),
    (peer: ConnectionPeer) => (peer.eof(0), peer.extendedData(0, 'x')),
    (peer: ConnectionPeer) => (peer.close(0), peer.data(0, 'x')),
    (peer: ConnectionPeer) => (peer.close(0), peer.close(0)),
    (peer: ConnectionPeer) => (peer.close(0), peer.request(0, 'x')),
    (peer: ConnectionPeer) => (peer.close(0), peer.adjust(0, 1)),
  ]) {
    const peer = new ConnectionPeer();
    peer.opened();
    misdeed(peer);
    assert.ok(isProtocolError(peer.transport.error), misdeed.toString());
  }
});

test('what was on its way when we closed is taken and forgotten', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  channel.close();
  peer.data(0, 'x');
  peer.request(0, 'x');
  peer.eof(0);
  assert.equal(peer.connection.channelCount, 1);
  peer.close(0);
  assert.equal(peer.transport.error, undefined);
  assert.equal(peer.connection.channelCount, 0);
  assert.deepEqual(peer.numbers(), [eof, close]);
});

test('extended data of a client is thrown away within the window', () => {
  const peer = new ConnectionPeer();
  peer.opened();
  for (let turn = 0; turn < 100; turn++) {
    peer.extendedData(0, 'x'.repeat(32 * 1024), turn);
  }
  assert.equal(peer.transport.error, undefined);
  assert.ok(peer.numbers().every((number) => number === adjust));
});

test('requests are answered in order though the first takes long', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  let finish: (isDone: boolean) => void = () => {};
  const seen: string[] = [];
  channel.requests = new Map<string, () => boolean | Promise<boolean>>([
    [
      'slow',
      () => {
        seen.push('slow');
        return new Promise<boolean>((resolve) => {
          finish = resolve;
        });
      },
    ],
    ['quick', () => (seen.push('quick'), true)],
  ]);
  peer.request(0, 'slow');
  peer.request(0, 'quick');
  peer.request(0, 'unknown');
  peer.request(0, 'unknown', Buffer.alloc(0), false);
  await settle();
  assert.deepEqual(peer.numbers(), []);
  finish(false);
  await settle();
  assert.deepEqual(peer.numbers(), [100, 99, 100]);
  assert.deepEqual(seen, ['slow', 'quick']);
});

test('a flood of requests behind one that waits ends the connection', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  channel.requests = new Map([['slow', () => new Promise<boolean>(() => {})]]);
  for (let turn = 0; turn < 5000 && !peer.transport.isClosed; turn++) {
    peer.request(0, 'slow');
  }
  assert.ok(isProtocolError(peer.transport.error));
});

test('a request handler that throws later ends the connection', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  channel.requests = new Map([['bad', () => Promise.reject<boolean>(new Error('refused'))]]);
  peer.request(0, 'bad');
  assert.equal((await peer.transport.ended())?.message, 'refused');
});

test('adjusting a window beyond 2^32 - 1 ends the connection', () => {
  const peer = new ConnectionPeer();
  peer.opened(7, 0xffff_ffff);
  peer.adjust(0, 1);
  assert.ok(isProtocolError(peer.transport.error));
});

test('a stream whose channel the client closes is closed without an error', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 0);
  const { stream } = channel;
  stream.write('waits for a window that never comes');
  peer.data(0, 'last words');
  peer.close(0);
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
  await once(stream, 'close', { signal: AbortSignal.timeout(1000) });
  assert.equal(Buffer.concat(chunks).toString(), 'last words');
  stream.write('dropped', () => {});
});

test('a stream that is not read takes 64 KiB; the rest is held within the window', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  const { stream } = channel;
  await settle();
  for (let turn = 0; turn < 64; turn++) {
    peer.data(0, Buffer.alloc(32 * 1024, turn));
  }
  assert.ok(stream.readableLength <= 96 * 1024, `${stream.readableLength}`);
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await settle();
  assert.equal(bytes, 64 * 32 * 1024);
});

test('stderr of a stream is extended data', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  channel.stderr.write('why\n');
  channel.sendExitStatus(1);
  channel.close();
  assert.deepEqual(peer.numbers(), [extended, request, eof, close]);
});

test('a pump pauses its source at a closed window and loses nothing', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 10_000);
  const source = new PassThrough({ highWaterMark: 4096 });
  let ends = 0;
  pump(source, channel.out, () => {
    ends++;
    channel.sendEof();
  });
  const sent = Buffer.alloc(50_000);
  for (let index = 0; index < sent.length; index++) {
    sent[index] = index % 251;
  }
  source.end(sent);
  const got: Buffer[] = [];
  for (let turn = 0; turn < 20; turn++) {
    await settle();
    got.push(peer.bytes().stdout);
    peer.adjust(0, 5000);
  }
  assert.equal(ends, 1);
  assert.ok(Buffer.concat(got).equals(sent));
});

test('a flat-out source leaves the turn to others', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 0xffff_ffff);
  const source = new PassThrough({ highWaterMark: 1 << 20 });
  for (let turn = 0; turn < 64; turn++) {
    source.write(Buffer.alloc(32 * 1024));
  }
  pump(source, channel.out, () => {});
  await new Promise((resolve) => setImmediate(resolve));
  const inFirstTurn = peer.bytes().stdout.length;
  assert.ok(inFirstTurn <= 256 * 1024, `${inFirstTurn} bytes in one turn`);
  source.end();
  let all = inFirstTurn;
  for (let turn = 0; turn < 50; turn++) {
    await settle();
    all += peer.bytes().stdout.length;
  }
  assert.equal(all, 64 * 32 * 1024);
});

test('a target that is gone: the client is told and may go on sending', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 1 << 20, 1 << 15, 'session');
  const target = new PassThrough();
  let goneBy: Error | undefined;
  feed(channel, target, (error) => {
    goneBy = error;
  });
  target.destroy(new Error('EPIPE'));
  await settle();
  assert.equal(goneBy?.message, 'EPIPE');
  assert.deepEqual(peer.numbers(), [request]); // eow@openssh.com
  for (let turn = 0; turn < 128; turn++) {
    peer.data(0, Buffer.alloc(32 * 1024));
  }
  assert.equal(peer.transport.error, undefined);
});

test('eow@openssh.com goes to clients that know it, on sessions, and only before their EOF', () => {
  const session = [7, 1 << 20, 1 << 15, 'session'] as const;
  const stranger = new ConnectionPeer();
  stranger.transport.peerVersion = 'SSH-2.0-PuTTY_Release_0.80';
  stranger.opened(...session).discardInput();
  assert.deepEqual(stranger.numbers(), []);
  const forwarded = new ConnectionPeer();
  forwarded.opened().discardInput();
  assert.deepEqual(forwarded.numbers(), []);
  const late = new ConnectionPeer();
  const channel = late.opened(...session);
  late.eof(0);
  channel.discardInput();
  assert.deepEqual(late.numbers(), []);
});

test('a spliced socket keeps each direction open until its own end', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  const { createServer, connect } = await import('node:net');
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as { port: number };
  const ours = connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true });
  const [theirs] = (await once(server, 'connection')) as [import('node:net').Socket];
  splice(channel, ours, Buffer.from('glued '));
  peer.data(0, 'question');
  peer.eof(0);
  const chunks: Buffer[] = [];
  for await (const chunk of theirs) {
    chunks.push(chunk as Buffer);
  }
  assert.equal(Buffer.concat(chunks).toString(), 'glued question');
  theirs.end(Buffer.alloc(200_000, 'a'));
  let got = 0;
  for (let turn = 0; turn < 200 && !channel.isClosed; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    got += peer.bytes().stdout.length;
  }
  assert.equal(got, 200_000);
  assert.equal(channel.isClosed, true);
  peer.close(0);
  await settle();
  assert.equal(ours.destroyed, true);
  server.close();
});
