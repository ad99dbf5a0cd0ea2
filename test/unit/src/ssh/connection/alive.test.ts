/** keepalive@openssh.com in both directions, and eow@openssh.com from the client (OpenSSH's PROTOCOL). */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { ChannelRequest, GlobalRequest } from '../../../../../src/ssh/connection/messages.ts';
import { pump, splice } from '../../../../../src/ssh/connection/pump.ts';
import { ConnectionPeer } from '../../../../support/connection-peer.ts';
import { isProtocolError, settle } from '../../../../support/memory-transport.ts';

const [requestFailure, channelSuccess, channelFailure, eof, close] = [82, 99, 100, 96, 97] as const;

test('without a channel the client is asked by a global request that wants a reply', () => {
  const peer = new ConnectionPeer();
  peer.connection.askAlive();
  const { name, wantReply } = GlobalRequest.decode(peer.transport.take()[0] as Buffer);
  assert.deepEqual([name, wantReply], ['keepalive@openssh.com', true]);
});

test('with a channel it is asked on that, as sshd does; never on one that is being closed', () => {
  const peer = new ConnectionPeer();
  const first = peer.opened(5);
  peer.opened(6);
  peer.connection.askAlive();
  const asked = ChannelRequest.decode(peer.transport.take()[0] as Buffer);
  assert.deepEqual(
    [asked.recipient, asked.name, asked.wantReply],
    [5, 'keepalive@openssh.com', true],
  );
  first.close();
  peer.transport.take();
  peer.connection.askAlive();
  assert.equal(ChannelRequest.decode(peer.transport.take()[0] as Buffer).recipient, 6);
});

test('the client asks and gets a failure, which is the answer that it waits for', () => {
  const peer = new ConnectionPeer();
  peer.global('keepalive@openssh.com');
  peer.opened();
  peer.request(0, 'keepalive@openssh.com');
  assert.deepEqual(peer.numbers(), [requestFailure, channelFailure]);
});

test('eow: what waits is dropped, nothing more is sent, input goes on', () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened(7, 4);
  const got: string[] = [];
  channel.receive({ write: (data) => got.push(data.toString()) > 0, end: () => {} });
  let drained = 0;
  channel.out.onDrain = () => void drained++;
  assert.equal(channel.out.write(Buffer.from('0123456789')), false);
  peer.request(0, 'eow@openssh.com', Buffer.alloc(0), false);
  assert.equal(drained, 1, 'whoever waits for room is let go');
  peer.transport.take();
  peer.adjust(0, 100);
  channel.out.write(Buffer.from('later'));
  peer.data(0, 'still');
  assert.equal(peer.bytes().stdout.toString(), '');
  assert.deepEqual(got, ['still']);
  channel.close();
  assert.deepEqual(peer.numbers(), [eof, close]);
});

test('eow with a body ends the connection; one that wants a reply gets it; twice is once', () => {
  const bad = new ConnectionPeer();
  bad.opened();
  bad.request(0, 'eow@openssh.com', Buffer.of(1));
  assert.ok(isProtocolError(bad.transport.error));
  const peer = new ConnectionPeer();
  peer.opened();
  peer.request(0, 'eow@openssh.com');
  peer.request(0, 'eow@openssh.com');
  assert.deepEqual(peer.numbers(), [channelSuccess, channelSuccess]);
});

test('eow ends a pipe that is pumped, so that its writer learns of it', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  const state = { destroyed: 0 };
  pump(
    {
      start: () => {},
      pause: () => {},
      resume: () => {},
      destroy: () => {
        state.destroyed++;
      },
    },
    channel.out,
    () => {},
  );
  peer.request(0, 'eow@openssh.com');
  assert.equal(state.destroyed, 1);
});

test('eow on a spliced socket: its other direction lives', async () => {
  const peer = new ConnectionPeer();
  const channel = peer.opened();
  const socket = new PassThrough({ allowHalfOpen: true });
  splice(channel, socket);
  peer.request(0, 'eow@openssh.com');
  peer.transport.take();
  peer.data(0, 'to the socket');
  await settle();
  assert.equal(socket.destroyed, false);
  assert.equal(peer.bytes().stdout.length, 0, 'what it echoes is wanted by nobody');
});
