import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByApplication } from '../../../../../src/base/errors.ts';
import { channelsPerConnection } from '../../../../../src/base/limits.ts';
import {
  ChannelOpenConfirmation,
  ChannelOpenFailure,
  RequestSuccess,
} from '../../../../../src/ssh/connection/messages.ts';
import type { OpenOutcome } from '../../../../../src/ssh/connection/mux.ts';
import { ConnectionPeer } from '../../../../support/connection-peer.ts';
import { isProtocolError, settle } from '../../../../support/memory-transport.ts';

const confirmation = 91;
const openFailure = 92;

function failureOf(payload: Buffer | undefined): number {
  assert.ok(payload, 'nothing was sent');
  return ChannelOpenFailure.decode(payload).reason;
}

test('an unknown channel type is refused with reason 3', () => {
  const peer = new ConnectionPeer();
  peer.open(9, 1000, 1000, 'x11');
  const [payload] = peer.transport.take();
  assert.equal(failureOf(payload), 3);
  assert.equal(ChannelOpenFailure.decode(payload as Buffer).recipient, 9);
});

test('the confirmation announces 2 MiB and 32 KiB and the numbers of both sides', () => {
  const peer = new ConnectionPeer();
  peer.open(42);
  const payload = peer.transport.take()[0] as Buffer;
  const { recipient, sender, windowBytes, maxPacketBytes } =
    ChannelOpenConfirmation.decode(payload);
  assert.deepEqual([recipient, sender, windowBytes, maxPacketBytes], [42, 0, 2 ** 21, 2 ** 15]);
});

test('a maximum packet of 0 is refused, one of 2^32 - 1 is cut to ours', () => {
  const peer = new ConnectionPeer();
  peer.open(1, 1000, 0);
  assert.equal(failureOf(peer.transport.take()[0]), 4);
  const channel = peer.opened(1, 0xffff_ffff, 0xffff_ffff);
  channel.out.write(Buffer.alloc(100_000));
  assert.equal(peer.bytes().largest, 32 * 1024);
});

test('a number is reused only after CLOSE went both ways', () => {
  const peer = new ConnectionPeer();
  const first = peer.opened();
  first.close();
  assert.equal(peer.opened().number, 1);
  peer.close(0);
  assert.equal(peer.opened().number, 0);
  first.out.write(Buffer.from('old'));
  first.close();
  peer.transport.take();
  first.abort();
  assert.deepEqual(peer.numbers(), []);
});

test('one connection gets as many channels as the limit and no more', () => {
  const peer = new ConnectionPeer();
  for (let count = 0; count < channelsPerConnection; count++) {
    peer.open();
  }
  assert.ok(peer.numbers().every((number) => number === confirmation));
  peer.open();
  assert.equal(failureOf(peer.transport.take()[0]), 4);
  peer.close(5);
  peer.transport.take();
  peer.open();
  assert.deepEqual(peer.numbers(), [confirmation]);
});

test('channels whose opening takes long count too', async () => {
  const peer = new ConnectionPeer({
    channelTypes: new Map([['slow', () => new Promise<OpenOutcome>(() => {})]]),
  });
  for (let count = 0; count < channelsPerConnection; count++) {
    peer.open(1, 1, 1, 'slow');
  }
  assert.deepEqual(peer.numbers(), []);
  peer.open();
  assert.equal(failureOf(peer.transport.take()[0]), 4);
});

test('200,000 refused channels leave nothing behind', async () => {
  const peer = new ConnectionPeer({
    channelTypes: new Map([['no', async () => ({ refused: 1, text: 'no' }) satisfies OpenOutcome]]),
  });
  const run = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) {
      peer.open(index, 1, 1, 'no');
      if (index % 1000 === 0) {
        await settle();
        peer.transport.take();
      }
    }
    await settle();
    peer.transport.take();
  };
  await run(20_000);
  const before = process.memoryUsage().heapUsed;
  await run(200_000);
  assert.equal(peer.connection.channelCount, 0);
  const grown = process.memoryUsage().heapUsed - before;
  assert.ok(grown < 40e6, `the heap grew by ${grown}`);
});

test('an opening that the connection did not live to see is abandoned', async () => {
  let finish: (outcome: OpenOutcome) => void = () => {};
  let abandoned = 0;
  const peer = new ConnectionPeer({
    channelTypes: new Map([
      ['slow', () => new Promise<OpenOutcome>((resolve) => (finish = resolve))],
    ]),
  });
  peer.open(1, 1, 1, 'slow');
  peer.transport.close();
  finish({ opened: () => assert.fail('opened'), abandoned: () => void abandoned++ });
  await settle();
  assert.equal(abandoned, 1);
});

test('an opening that fails with an exception ends the connection', async () => {
  const peer = new ConnectionPeer({
    channelTypes: new Map([['bad', () => Promise.reject<OpenOutcome>(new Error('gone'))]]),
  });
  peer.open(1, 1, 1, 'bad');
  assert.equal((await peer.transport.ended())?.message, 'gone');
});

test('messages for a channel that is not open end the connection', () => {
  for (const misdeed of [
    (peer: ConnectionPeer) => peer.data(0, 'x'),
    (peer: ConnectionPeer) => peer.extendedData(3, 'x'),
    (peer: ConnectionPeer) => peer.adjust(0xffff_ffff, 1),
    (peer: ConnectionPeer) => peer.eof(0),
    (peer: ConnectionPeer) => peer.close(0),
    (peer: ConnectionPeer) => peer.request(0, 'shell'),
    (peer: ConnectionPeer) => peer.transport.deliver(Buffer.from([99, 0, 0, 0, 0])),
    (peer: ConnectionPeer) => peer.transport.deliver(Buffer.from([100, 0, 0, 0, 0])),
    (peer: ConnectionPeer) => peer.transport.deliver(Buffer.from([91, 0, 0, 0, 0])),
    (peer: ConnectionPeer) => peer.transport.deliver(Buffer.from([92, 0, 0, 0, 0])),
  ]) {
    const peer = new ConnectionPeer();
    misdeed(peer);
    assert.ok(isProtocolError(peer.transport.error), misdeed.toString());
  }
});

test('unknown global requests fail, and only where an answer is wanted', () => {
  const peer = new ConnectionPeer();
  peer.global('keepalive@openssh.com');
  peer.global('tcpip-forward', false);
  peer.global('hostkeys-prove-00@openssh.com');
  assert.deepEqual(peer.numbers(), [82, 82]);
});

test('global requests are answered in order', async () => {
  let finish: (answer: Buffer) => void = () => {};
  const peer = new ConnectionPeer({
    globalRequests: new Map([['slow', () => new Promise<Buffer>((resolve) => (finish = resolve))]]),
  });
  peer.global('slow');
  peer.global('unknown');
  await settle();
  assert.deepEqual(peer.numbers(), []);
  finish(Buffer.from('port'));
  await settle();
  const [first, second] = peer.transport.take();
  assert.equal(RequestSuccess.decode(first as Buffer).data.toString(), 'port');
  assert.equal(second?.[0], 82);
});

test('after no-more-sessions a session ends the connection, another channel does not', () => {
  const peer = new ConnectionPeer({
    channelTypes: new Map([['session', () => assert.fail('a session was opened')]]),
  });
  peer.global('no-more-sessions@openssh.com');
  assert.deepEqual(peer.numbers(), [81]);
  peer.opened();
  peer.open(1, 1, 1, 'session');
  assert.ok(peer.transport.error instanceof ByApplication);
});

test('10,000 replies to no request are ignored', () => {
  const peer = new ConnectionPeer();
  for (let count = 0; count < 5000; count++) {
    peer.transport.deliver(Buffer.from([81, 1, 2, 3]), Buffer.from([82]));
  }
  assert.equal(peer.transport.error, undefined);
  assert.deepEqual(peer.numbers(), []);
});

test('an unassigned number is answered with UNIMPLEMENTED', () => {
  const peer = new ConnectionPeer();
  for (const number of [83, 89, 101, 127, 130]) {
    peer.transport.deliver(Buffer.from([number]));
  }
  assert.equal(peer.transport.unimplementedCount, 5);
  assert.equal(peer.transport.error, undefined);
});

test('a peer that asks and does not read is not read either, until it does', () => {
  const peer = new ConnectionPeer();
  peer.transport.isFull = true;
  let asked = 0;
  while (!peer.transport.isPaused && asked < 1_000_000) {
    peer.global('keepalive@openssh.com');
    asked++;
  }
  assert.ok(peer.transport.isPaused, 'never paused');
  peer.transport.drain();
  assert.equal(peer.transport.isPaused, false);
});

test('the end of the connection tells every channel once, though one of them throws', () => {
  const peer = new ConnectionPeer();
  const first = peer.opened();
  const second = peer.opened();
  const told: string[] = [];
  first.onClose(() => {
    told.push('first');
    throw new Error('a bug');
  });
  second.onClose(() => void told.push('second'));
  assert.throws(() => peer.connection.closed(), AggregateError);
  peer.connection.closed();
  assert.deepEqual(told, ['first', 'second']);
  assert.equal(peer.connection.channelCount, 0);
});

test('a refused opening carries reason and text', async () => {
  const peer = new ConnectionPeer({
    channelTypes: new Map([['no', () => ({ refused: 1, text: 'not today' })]]),
  });
  peer.open(1, 1, 1, 'no');
  const payload = peer.transport.take()[0] as Buffer;
  assert.equal(payload[0], openFailure);
  assert.equal(ChannelOpenFailure.decode(payload).description, 'not today');
});
