/** tcpip-forward and streamlocal-forward as the client sees them; listeners are real. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { listenStream } from '../../../../src/base/socket.native.ts';
import type { ForwardHost, Listening } from '../../../../src/forwarding/host.ts';
import { RemoteForwards } from '../../../../src/forwarding/remote-forwards.ts';
import { SocketRoom } from '../../../../src/forwarding/room.ts';
import { ChannelOpen, RequestSuccess } from '../../../../src/ssh/connection/messages.ts';
import { Reader } from '../../../../src/ssh/wire/reader.ts';
import { Writer } from '../../../../src/ssh/wire/writer.ts';
import { eventually } from '../../../support/child.ts';
import { ConnectionPeer } from '../../../support/connection-peer.ts';
import { isProtocolError, settle } from '../../../support/memory-transport.ts';
import { noForwards } from '../../../support/no-forwards.ts';

const success = 81;
const failure = 82;
const open = 90;
let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'remote-forwards-'));
});
after(() => rmSync(folder, { recursive: true }));
const sockets: Socket[] = [];
afterEach(() => sockets.splice(0).forEach((socket) => socket.destroy()));

let made = 0;
/** A listener that can be reached at `path`. */
function listening(port: number): Listening & { readonly path: string } {
  const path = join(folder, String(++made));
  return { listener: made, port, descriptors: [listenStream(path)], path };
}

function serve(host: Partial<ForwardHost>, room = new SocketRoom(100, Buffer.alloc(1024))) {
  const forwards: RemoteForwards = new RemoteForwards({
    host: { ...noForwards, ...host },
    room,
    opener: () => peer.connection,
    onTrouble: (error) => assert.fail(error),
  });
  const peer = new ConnectionPeer({ globalRequests: forwards.requests });
  peer.transport.onClose = () => {
    peer.connection.closed();
    forwards.end();
  };
  return { peer, forwards };
}

const tcp = (host: string, port: number) => new Writer().text(host).uint32(port).done();
const dial = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ path });
    sockets.push(socket);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });

test('port 0 is answered with the port, any other with nothing', async () => {
  const { peer, forwards } = serve({ listenTcp: async (_host, port) => listening(port || 4711) });
  peer.global('tcpip-forward', true, tcp('localhost', 0));
  peer.global('tcpip-forward', true, tcp('localhost', 2000));
  await settle();
  const [first, second] = peer.transport.take().map((one) => RequestSuccess.decode(one).data);
  assert.equal(first?.readUInt32BE(), 4711);
  assert.equal(second?.length, 0);
  forwards.end();
});

test('answers keep the order of the questions, whatever takes how long', async () => {
  const slow = Promise.withResolvers<undefined>();
  const { peer, forwards } = serve({
    listenTcp: async (host) => (host === 'slow' ? slow.promise : listening(1)),
  });
  peer.global('tcpip-forward', true, tcp('slow', 1));
  peer.global('tcpip-forward', true, tcp('quick', 1));
  peer.global('unknown@example.org', true);
  await settle();
  assert.deepEqual(peer.numbers(), []);
  slow.resolve(undefined);
  await settle();
  assert.deepEqual(peer.numbers(), [failure, success, failure]);
  forwards.end();
});

test('a connection becomes a channel that names what the client asked for', async () => {
  const where = listening(4711);
  const { peer, forwards } = serve({ listenTcp: async () => where });
  peer.global('tcpip-forward', true, tcp('LocalHost', 0));
  await settle();
  peer.transport.take();
  assert.equal(await dial(where.path), true);
  const payload = await eventually('a channel', () =>
    peer.transport.take().find((one) => one[0] === open),
  );
  const { type, data } = ChannelOpen.decode(payload);
  const fields = new Reader(data);
  assert.deepEqual(
    [type, fields.text(), fields.uint32(), fields.text(), fields.uint32()],
    // A peer without an address; clients check what stands there.
    ['forwarded-tcpip', 'LocalHost', 4711, '127.0.0.1', 65_535],
  );
  fields.end();
  forwards.end();
});

test('a Unix socket: its path and nothing else', async () => {
  const where = listening(0);
  const asked: string[] = [];
  const { peer, forwards } = serve({
    listenStreamLocal: async (path) => {
      asked.push(path);
      return where;
    },
  });
  const fields = new Writer().text('/home/a/socket').done();
  peer.global('streamlocal-forward@openssh.com', true, fields);
  await settle();
  assert.deepEqual([asked, peer.numbers()], [['/home/a/socket'], [success]]);
  assert.equal(await dial(where.path), true);
  const payload = await eventually('a channel', () =>
    peer.transport.take().find((one) => one[0] === open),
  );
  const { type, data } = ChannelOpen.decode(payload);
  assert.equal(type, 'forwarded-streamlocal@openssh.com');
  assert.deepEqual(data, new Writer().text('/home/a/socket').text('').done());
  forwards.end();
});

test('cancel ends the listener that has this very name and port, and tells the host', async () => {
  const where = listening(4711);
  const closed: number[] = [];
  const { peer, forwards } = serve({
    listenTcp: async () => where,
    closeListener: async (listener) => void closed.push(listener),
  });
  peer.global('tcpip-forward', true, tcp('localhost', 0));
  await settle();
  peer.transport.take();
  for (const [host, port] of [
    ['localhost', 0],
    ['127.0.0.1', 4711],
    ['localhost', 4712],
  ] as const) {
    peer.global('cancel-tcpip-forward', true, tcp(host, port));
  }
  await settle();
  assert.deepEqual(peer.numbers(), [failure, failure, failure]);
  peer.global('cancel-tcpip-forward', true, tcp('localhost', 4711));
  await settle();
  assert.deepEqual([peer.numbers(), closed], [[success], [where.listener]]);
  await eventually('the end of the listener', async () => !(await dial(where.path)));
  peer.global('cancel-tcpip-forward', true, tcp('localhost', 4711));
  peer.global('cancel-streamlocal-forward@openssh.com', true, new Writer().text('/x').done());
  await settle();
  assert.deepEqual(peer.numbers(), [failure, failure]);
  forwards.end();
});

test('the end of the connection ends listeners, also one that is only being made', async () => {
  const there = listening(1);
  const late = listening(2);
  const slow = Promise.withResolvers<Listening>();
  const { peer } = serve({
    listenTcp: (host) => (host === 'late' ? slow.promise : Promise.resolve(there)),
  });
  peer.global('tcpip-forward', true, tcp('there', 1));
  await settle();
  peer.global('tcpip-forward', true, tcp('late', 2));
  await settle();
  peer.transport.close();
  slow.resolve(late);
  await settle();
  for (const { path } of [there, late]) {
    await eventually('the end of the listener', async () => !(await dial(path)));
  }
});

test('without room a connection is closed again, and there is one once there is room', async () => {
  const where = listening(1);
  const room = new SocketRoom(2, Buffer.alloc(1024)); // room for one
  const { peer, forwards } = serve({ listenTcp: async () => where }, room);
  peer.global('tcpip-forward', true, tcp('localhost', 1));
  await settle();
  peer.transport.take();
  assert.equal(room.take(), true);
  const turnedAway = connect({ path: where.path });
  await new Promise((resolve) => turnedAway.once('close', resolve).resume());
  assert.deepEqual(peer.numbers(), []);
  room.giveBack();
  assert.equal(await dial(where.path), true);
  await eventually('a channel', () => peer.numbers().includes(open));
  forwards.end();
  peer.connection.closed();
});

test('names that are too long, ports beyond 65535 ask the host nothing', async () => {
  const { peer } = serve({
    listenTcp: () => assert.fail('was asked'),
    listenStreamLocal: () => assert.fail('was asked'),
  });
  peer.global('tcpip-forward', true, tcp('x'.repeat(1025), 1));
  peer.global('tcpip-forward', true, tcp('x', 65_536));
  peer.global('streamlocal-forward@openssh.com', true, new Writer().text('/'.repeat(2000)).done());
  await settle();
  assert.deepEqual(peer.numbers(), [failure, failure, failure]);
});

test('fields cut at each offset are a protocol error', async () => {
  const whole = tcp('localhost', 1);
  for (const name of ['tcpip-forward', 'cancel-tcpip-forward']) {
    for (let length = 0; length < whole.length; length++) {
      const { peer } = serve({ listenTcp: () => assert.fail('was asked') });
      peer.global(name, true, whole.subarray(0, length));
      assert.ok(isProtocolError(await peer.transport.ended()), `${name} cut at ${length}`);
    }
  }
});
