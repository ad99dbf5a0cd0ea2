/** Channels that the server asks the client to open (RFC 4254 §5.1). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { channelsPerConnection } from '../../../../../src/base/limits.ts';
import {
  ChannelOpen,
  ChannelOpenConfirmation,
  ChannelOpenFailure,
} from '../../../../../src/ssh/connection/messages.ts';
import type { Opened } from '../../../../../src/ssh/connection/mux.ts';
import { ConnectionPeer } from '../../../../support/connection-peer.ts';
import { isProtocolError, settle } from '../../../../support/memory-transport.ts';

const none = Buffer.alloc(0);

function confirm(peer: ConnectionPeer, recipient: number, maxPacketBytes = 1000): void {
  peer.transport.deliver(
    ChannelOpenConfirmation.encode({
      recipient,
      sender: 99,
      windowBytes: 5,
      maxPacketBytes,
      data: none,
    }),
  );
}

function refuse(peer: ConnectionPeer, recipient: number): void {
  peer.transport.deliver(
    ChannelOpenFailure.encode({ recipient, reason: 1, description: 'no', language: none }),
  );
}

function isOpened(opened: Opened): opened is Extract<Opened, { opened: unknown }> {
  return 'opened' in opened;
}

test('the client is asked with our number, window and the data of the type', () => {
  const peer = new ConnectionPeer();
  void peer.connection.openChannel('x11', Buffer.from('data'));
  const [payload] = peer.transport.take();
  const open = ChannelOpen.decode(payload as Buffer);
  assert.deepEqual(
    [open.type, open.sender, open.windowBytes, open.maxPacketBytes, open.data.toString()],
    ['x11', 0, 2 ** 21, 2 ** 15, 'data'],
  );
});

test('a confirmed channel sends within the window that the client gave', async () => {
  const peer = new ConnectionPeer();
  const asked = peer.connection.openChannel('x11', none);
  confirm(peer, 0);
  const outcome = await asked;
  assert.ok(isOpened(outcome));
  peer.transport.take();
  outcome.opened.out.write(Buffer.from('0123456789'));
  assert.equal(peer.bytes().stdout.toString(), '01234');
});

test('what the client sends before the channel is taken is not lost', async () => {
  const peer = new ConnectionPeer();
  const asked = peer.connection.openChannel('x11', none);
  confirm(peer, 0);
  peer.data(0, 'early');
  peer.eof(0);
  const outcome = await asked;
  assert.ok(isOpened(outcome));
  const got: string[] = [];
  outcome.opened.receive({
    write: (data) => got.push(data.toString()) > 0,
    end: () => void got.push('end'),
  });
  assert.deepEqual(got, ['early', 'end']);
});

test('a refusal is an answer, and its number is free again', async () => {
  const peer = new ConnectionPeer();
  const asked = peer.connection.openChannel('x11', none);
  refuse(peer, 0);
  assert.deepEqual(await asked, { refused: 1, text: 'no' });
  assert.equal(peer.opened().number, 0);
});

test('the end of the connection answers what was asked', async () => {
  const peer = new ConnectionPeer();
  const asked = peer.connection.openChannel('x11', none);
  peer.transport.close();
  assert.equal(isOpened(await asked), false);
  assert.equal(isOpened(await peer.connection.openChannel('x11', none)), false);
});

for (const [name, answer] of [
  ['a confirmation', confirm],
  ['a failure', refuse],
] as const) {
  test(`${name} of what was not asked for ends the connection`, () => {
    const peer = new ConnectionPeer();
    answer(peer, 0);
    assert.ok(isProtocolError(peer.transport.error));
  });
  test(`${name} for a second time ends the connection`, async () => {
    const peer = new ConnectionPeer();
    const asked = peer.connection.openChannel('x11', none);
    answer(peer, 0);
    await asked;
    answer(peer, 0);
    assert.ok(isProtocolError(peer.transport.error));
  });
}

test('a maximum packet of 0 ends the connection, and whoever asked is told', async () => {
  const peer = new ConnectionPeer();
  const asked = peer.connection.openChannel('x11', none);
  confirm(peer, 0, 0);
  assert.ok(isProtocolError(peer.transport.error));
  assert.equal(isOpened(await asked), false);
});

test('data for a channel that the client has not confirmed ends the connection', () => {
  const peer = new ConnectionPeer();
  void peer.connection.openChannel('x11', none);
  peer.data(0, 'x');
  assert.ok(isProtocolError(peer.transport.error));
});

test('what we ask for counts among the channels of the connection', async () => {
  const peer = new ConnectionPeer();
  const asked = Array.from({ length: channelsPerConnection }, () =>
    peer.connection.openChannel('x11', none),
  );
  const beyond = await peer.connection.openChannel('x11', none);
  assert.deepEqual(beyond, { refused: 4, text: 'too many channels' });
  peer.transport.take();
  peer.open();
  assert.deepEqual(peer.numbers(), [ChannelOpenFailure.number]);
  refuse(peer, 0);
  await asked[0];
  await settle();
  peer.open();
  assert.deepEqual(peer.numbers(), [ChannelOpenConfirmation.number]);
});
