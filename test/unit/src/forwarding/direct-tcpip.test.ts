import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connector } from '../../../../src/forwarding/connector.ts';
import { directTcpip, type InternalTarget } from '../../../../src/forwarding/direct-tcpip.ts';
import type { ForwardHost } from '../../../../src/forwarding/host.ts';
import { SocketRoom } from '../../../../src/forwarding/room.ts';
import { ChannelOpen, ChannelOpenFailure } from '../../../../src/ssh/connection/messages.ts';
import { Writer } from '../../../../src/ssh/wire/writer.ts';
import { noForwards } from '../../../support/no-forwards.ts';
import { ConnectionPeer } from '../../../support/connection-peer.ts';
import { isProtocolError, settle } from '../../../support/memory-transport.ts';

type Answer = Awaited<ReturnType<ForwardHost['directTcpip']>>;

function peerWith(answer: Answer, target: InternalTarget, asked: unknown[] = []): ConnectionPeer {
  const host: ForwardHost = {
    ...noForwards,
    directTcpip: async (...question) => {
      asked.push(...question);
      return answer;
    },
  };
  return new ConnectionPeer({
    channelTypes: new Map([
      [
        'direct-tcpip',
        directTcpip(
          host,
          new Connector(new SocketRoom(100, Buffer.alloc(1024))),
          new Map([['rfb', target]]),
        ),
      ],
    ]),
  });
}

const fields = (port = 5900): Buffer =>
  new Writer().text('rfb.sshdesk').uint32(port).text('127.0.0.1').uint32(4711).done();

function open(peer: ConnectionPeer, data: Buffer): void {
  peer.transport.deliver(
    ChannelOpen.encode({
      type: 'direct-tcpip',
      sender: 1,
      windowBytes: 1000,
      maxPacketBytes: 1000,
      data,
    }),
  );
}

const nobody: InternalTarget = () => assert.fail('the target was asked');

test('the host is asked for what the client sent, and refuses with its reason', async () => {
  const asked: unknown[] = [];
  const peer = peerWith({ refused: 1, text: 'open failed' }, nobody, asked);
  open(peer, fields());
  await settle();
  const payload = peer.transport.take()[0] as Buffer;
  assert.equal(ChannelOpenFailure.decode(payload).reason, 1);
  assert.deepEqual(asked, ['rfb.sshdesk', 5900, '127.0.0.1', 4711]);
});

test('an internal target gets the channel', async () => {
  const peer = peerWith({ internal: 'rfb' }, () => ({
    opened: (channel) => void channel.out.write(Buffer.from('RFB 003.008\n')),
    abandoned: () => {},
  }));
  open(peer, fields());
  await settle();
  const sent = peer.transport.take();
  assert.deepEqual(
    sent.map((payload) => payload[0]),
    [91, 94],
  );
});

test('a target that cannot be had is an open failure with a line', async () => {
  const peer = peerWith({ internal: 'rfb' }, async () => ({ refused: 2, text: 'Xvnc ended' }));
  open(peer, fields());
  await settle();
  const { reason, description } = ChannelOpenFailure.decode(peer.transport.take()[0] as Buffer);
  assert.deepEqual([reason, description], [2, 'Xvnc ended']);
});

test('an internal name that is not in the table, and a port above 65535, are refused', async () => {
  const unknown = peerWith({ internal: 'other' }, nobody);
  open(unknown, fields());
  await settle();
  assert.deepEqual(unknown.numbers(), [92]);
  const asked: unknown[] = [];
  const port = peerWith({ internal: 'rfb' }, nobody, asked);
  open(port, fields(65_536));
  await settle();
  assert.deepEqual(port.numbers(), [92]);
  assert.deepEqual(asked, []);
});

test('fields cut at each offset are a protocol error and ask the host nothing', async () => {
  const whole = fields();
  for (let length = 0; length < whole.length; length++) {
    const asked: unknown[] = [];
    const peer = peerWith({ internal: 'rfb' }, nobody, asked);
    open(peer, whole.subarray(0, length));
    assert.ok(isProtocolError(await peer.transport.ended()), `cut at ${length}`);
    assert.deepEqual(asked, []);
  }
});
