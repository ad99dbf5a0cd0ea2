/** A listening descriptor whose connections become channels to the client. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { listenStream } from '../../../../src/base/socket.native.ts';
import { ForwardListener, type ListenerOptions } from '../../../../src/forwarding/listener.ts';
import {
  ChannelOpen,
  ChannelOpenConfirmation,
  ChannelOpenFailure,
} from '../../../../src/ssh/connection/messages.ts';
import { eventually } from '../../../support/child.ts';
import { ConnectionPeer } from '../../../support/connection-peer.ts';

const none = Buffer.alloc(0);
const sockets: Socket[] = [];
const cleanUps: (() => void)[] = [];
afterEach(() => {
  sockets.splice(0).forEach((socket) => socket.destroy());
  cleanUps.splice(0).forEach((clean) => clean());
});

interface Served {
  readonly peer: ConnectionPeer;
  readonly listener: ForwardListener;
  dial(): Socket & { readonly got: string[] };
  /** Our numbers of the channels that the client was asked for since the last call. */
  asked(): number[];
}

function serve(more: Partial<ListenerOptions> = {}): Served {
  const folder = mkdtempSync(join(tmpdir(), 'sshdesk-listener-'));
  const path = join(folder, 'socket');
  const peer = new ConnectionPeer();
  const listener = new ForwardListener({
    descriptors: [listenStream(path)],
    channelType: 'auth-agent@openssh.com',
    openData: () => none,
    opener: peer.connection,
    maxConnections: 8,
    ...more,
  });
  cleanUps.push(() => {
    listener.close();
    peer.transport.close();
    rmSync(folder, { recursive: true });
  });
  return {
    peer,
    listener,
    dial() {
      const got: string[] = [];
      const socket = connect({ path, allowHalfOpen: true });
      sockets.push(socket);
      socket.on('data', (chunk: Buffer) => got.push(chunk.toString()));
      socket.on('end', () => got.push('end'));
      socket.on('error', () => got.push('error'));
      socket.on('close', () => got.push('close'));
      return Object.assign(socket, { got });
    },
    asked: () =>
      peer.transport
        .take()
        .filter((payload) => payload[0] === ChannelOpen.number)
        .map((payload) => ChannelOpen.decode(payload).sender),
  };
}

async function nextAsked(served: Served): Promise<number> {
  const [number] = await eventually('a channel is asked for', () => {
    const asked = served.asked();
    return asked.length > 0 ? asked : undefined;
  });
  return number as number;
}

function confirm(peer: ConnectionPeer, recipient: number): void {
  const window = { windowBytes: 1 << 20, maxPacketBytes: 1 << 15 };
  peer.transport.deliver(
    ChannelOpenConfirmation.encode({ recipient, sender: recipient + 100, ...window, data: none }),
  );
}

test('bytes go both ways, and each direction ends on its own', async () => {
  const served = serve();
  const socket = served.dial();
  socket.write('question');
  const number = await nextAsked(served);
  confirm(served.peer, number);
  await eventually('the question', () => served.peer.bytes().stdout.toString() === 'question');
  socket.end();
  await eventually('EOF', () => served.peer.numbers().includes(96));
  served.peer.data(number, 'answer');
  await eventually('the answer', () => socket.got.join('') === 'answer');
  served.peer.eof(number);
  await eventually('the end', () => socket.got.at(-1) === 'close');
  assert.deepEqual(socket.got, ['answer', 'end', 'close']);
  assert.deepEqual(served.peer.numbers(), [97]);
});

test('a client that refuses the channel ends the connection to the socket', async () => {
  const served = serve();
  const socket = served.dial();
  const recipient = await nextAsked(served);
  served.peer.transport.deliver(
    ChannelOpenFailure.encode({ recipient, reason: 1, description: 'no', language: none }),
  );
  await eventually('the end', () => socket.got.includes('end'));
});

test('connections beyond the limit wait until one has ended', async () => {
  const served = serve({ maxConnections: 1 });
  const first = served.dial();
  const number = await nextAsked(served);
  confirm(served.peer, number);
  const second = served.dial();
  second.write('second');
  first.write('first');
  await eventually('the first', () => served.peer.bytes().stdout.toString() === 'first');
  assert.equal(served.peer.connection.channelCount, 1);
  first.destroy();
  served.peer.close(number);
  confirm(served.peer, await nextAsked(served));
  await eventually('the second', () => served.peer.bytes().stdout.toString() === 'second');
});

test('a listener for one connection takes one', async () => {
  const served = serve({ takesOne: true });
  served.dial();
  await nextAsked(served);
  assert.equal(served.listener.isOpen, false);
  const late = served.dial();
  await eventually('the late one is refused', () => late.got.includes('error'));
});

test('closing it leaves what is connected', async () => {
  const served = serve();
  const socket = served.dial();
  const number = await nextAsked(served);
  confirm(served.peer, number);
  served.listener.close();
  served.peer.data(number, 'still');
  await eventually('the bytes', () => socket.got.join('') === 'still');
  const late = served.dial();
  await eventually('the late one is refused', () => late.got.includes('error'));
});

test('the end of the connection ends the sockets, also those whose channel is being opened', async () => {
  const served = serve();
  const open = served.dial();
  confirm(served.peer, await nextAsked(served));
  const opening = served.dial();
  await nextAsked(served);
  served.peer.transport.close();
  await eventually('both ended', () => open.got.includes('end') && opening.got.includes('end'));
});

/** Whoever says `please` is let in. */
const admission = {
  judge: (bytes: Buffer) => {
    const said = bytes.toString();
    return 'please'.startsWith(said) && said !== 'please'
      ? ('more' as const)
      : said.startsWith('please')
        ? ('right' as const)
        : ('wrong' as const);
  },
  refusal: () => Buffer.from('no'),
};

test('nothing is asked of the client before it is known who connects; no byte is lost', async () => {
  const served = serve({ admission });
  const socket = served.dial();
  for (const piece of ['p', 'le', 'as']) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(served.asked(), []);
  socket.write('e and more');
  const number = await nextAsked(served);
  socket.write(', and more');
  confirm(served.peer, number);
  let got = '';
  await eventually('all of it', () => {
    got += served.peer.bytes().stdout.toString();
    return got === 'please and more, and more';
  });
  served.peer.data(number, 'answer');
  await eventually('the answer', () => socket.got.join('') === 'answer');
  socket.end();
  served.peer.eof(number);
  await eventually('the end', () => socket.got.at(-1) === 'close');
});

test('who says something else is told so, and is gone', async () => {
  const served = serve({ admission });
  const socket = served.dial();
  socket.write('hello');
  await eventually('the end', () => socket.got.includes('end') || socket.got.includes('error'));
  assert.equal(socket.got[0], 'no');
  assert.deepEqual(served.asked(), []);
});

test('a stranger does not use up a listener for one; of two who may the first gets it', async () => {
  const served = serve({ admission, takesOne: true });
  const stranger = served.dial();
  stranger.write('hello');
  await eventually('the refusal', () => stranger.got[0] === 'no');
  assert.equal(served.listener.isOpen, true);
  const silent = served.dial();
  const first = served.dial();
  first.write('please');
  await nextAsked(served);
  assert.equal(served.listener.isOpen, false);
  await eventually('who has said nothing is gone', () => silent.got.includes('end'));
});

test('who says nothing makes room for others', async () => {
  const served = serve({ admission, maxConnections: 3 });
  const silent = Array.from({ length: 6 }, () => served.dial());
  await eventually(
    'the first are gone',
    () => silent.filter(({ got }) => got.length > 0).length >= 4,
  );
  const socket = served.dial();
  socket.write('please');
  await nextAsked(served);
});

test('the peer goes while its channel is being opened', async () => {
  const served = serve({ admission });
  const socket = served.dial();
  socket.write('please');
  const number = await nextAsked(served);
  socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  confirm(served.peer, number);
  await eventually('CLOSE', () => served.peer.numbers().includes(97));
});

test('the end of the listener ends those who have not said who they are', async () => {
  const served = serve({ admission });
  const silent = served.dial();
  silent.write('p');
  await new Promise((resolve) => setTimeout(resolve, 50));
  served.listener.close();
  await eventually('the end', () => silent.got.includes('end') || silent.got.includes('error'));
});

test('a client that takes nothing holds its socket up and no memory', async () => {
  const served = serve();
  const socket = served.dial();
  const number = await nextAsked(served);
  served.peer.transport.deliver(
    ChannelOpenConfirmation.encode({
      recipient: number,
      sender: 1,
      windowBytes: 0,
      maxPacketBytes: 1 << 15,
      data: none,
    }),
  );
  const chunk = Buffer.alloc(1 << 20, 'x');
  for (let count = 0; count < 64; count++) {
    socket.write(chunk);
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(socket.writableLength > 60 << 20, `${socket.writableLength} are left to the writer`);
  served.peer.adjust(number, 3);
  await eventually('what the window lets through', () => served.peer.bytes().stdout.length === 3);
});

test('a socket that nobody reads holds the client to the window', async () => {
  const served = serve();
  const socket = served.dial();
  const number = await nextAsked(served);
  confirm(served.peer, number);
  socket.pause();
  const chunk = Buffer.alloc(1 << 15, 'x');
  let sent = 0;
  for (let count = 0; count < 400 && !served.peer.transport.isClosed; count++) {
    served.peer.data(number, chunk);
    sent += chunk.length;
  }
  await eventually('the flood ends the connection', () => served.peer.transport.isClosed);
  assert.ok(sent < 4 << 20, `${sent} were taken`);
});
