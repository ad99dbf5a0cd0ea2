import assert from 'node:assert/strict';
import { Duplex, PassThrough } from 'node:stream';
import { test } from 'node:test';
import type {
  HostedSession,
  X11Request,
  PtyStream,
  SessionExitStatus,
  SessionHost,
  Started,
  Terminal,
} from '../../../../src/session/host.ts';
import {
  type InternalSubsystems,
  sessionChannel,
} from '../../../../src/session/session-channel.ts';
import type { Channel } from '../../../../src/ssh/connection/channel.ts';
import { ChannelOpenFailure, ChannelRequest } from '../../../../src/ssh/connection/messages.ts';
import { Reader } from '../../../../src/ssh/wire/reader.ts';
import { Writer } from '../../../../src/ssh/wire/writer.ts';
import { ConnectionPeer } from '../../../support/connection-peer.ts';
import { isProtocolError, settle } from '../../../support/memory-transport.ts';

const success = 99;
const failure = 100;
const eof = 96;
const close = 97;

class FakePty extends Duplex implements PtyStream {
  readonly sizes: (readonly number[])[] = [];
  readonly typed: Buffer[] = [];
  resize(...size: readonly number[]): void {
    this.sizes.push(size);
  }
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.typed.push(chunk);
    done();
  }
}

class FakeSession implements HostedSession {
  readonly number = 3;
  readonly calls: (readonly unknown[])[] = [];
  answer = true;
  started: Started | Promise<Started> = { is: 'refused' };
  closes = 0;
  onExit: (exit: SessionExitStatus) => void = () => {};
  onWarning: (line: string) => void = () => {};
  async pty(terminal: Terminal): Promise<boolean> {
    this.calls.push(['pty', terminal]);
    return this.answer;
  }
  async env(name: Buffer, value: Buffer): Promise<boolean> {
    this.calls.push(['env', name.toString(), value.toString()]);
    return this.answer;
  }
  async start(kind: string, command: Buffer): Promise<Started> {
    this.calls.push([kind, command.toString()]);
    return this.started;
  }
  async forwardAgent(): Promise<boolean> {
    this.calls.push(['agent']);
    return this.answer;
  }
  async forwardX11(request: X11Request): Promise<boolean> {
    this.calls.push(['x11', request]);
    return this.answer;
  }
  async signal(name: string): Promise<boolean> {
    this.calls.push(['signal', name]);
    return true;
  }
  close(): void {
    this.closes++;
  }
}

function processOf(): Extract<Started, { is: 'process' }> & {
  stdin: PassThrough;
  stdout: PassThrough;
  stderr: PassThrough;
} {
  return {
    is: 'process',
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
  };
}

async function opened(
  hosted = new FakeSession(),
  subsystems: InternalSubsystems = new Map(),
): Promise<{ peer: ConnectionPeer; hosted: FakeSession }> {
  const host: SessionHost = { open: async () => ({ opened: hosted }) };
  const peer = new ConnectionPeer({
    channelTypes: new Map([['session', sessionChannel(host, subsystems)]]),
  });
  peer.open(7, 1 << 20, 32 * 1024, 'session');
  await settle();
  assert.deepEqual(peer.numbers(), [91]);
  return { peer, hosted };
}

const text = (value: string): Buffer => new Writer().text(value).done();
const sizes = (writer: Writer): Writer => writer.uint32(80).uint32(24).uint32(640).uint32(70_000);
const ptyData = sizes(new Writer().text('xterm')).text('\x01\0\0\0\x03\0').done();

/** Names of the requests that the server sent, and the numbers of everything. */
function sentRequests(peer: ConnectionPeer): { names: string[]; numbers: number[] } {
  const sent = peer.transport.take();
  return {
    names: sent
      .filter((payload) => payload[0] === ChannelRequest.number)
      .map((payload) => ChannelRequest.decode(payload).name),
    numbers: sent.map((payload) => payload[0] as number),
  };
}

test('a session that the host refuses is an open failure with its reason', async () => {
  const host: SessionHost = { open: async () => ({ refused: 1, text: 'too many sessions' }) };
  const peer = new ConnectionPeer({
    channelTypes: new Map([['session', sessionChannel(host, new Map())]]),
  });
  peer.open(7, 1, 1, 'session');
  await settle();
  const payload = peer.transport.take()[0] as Buffer;
  assert.equal(ChannelOpenFailure.decode(payload).reason, 1);
});

test('terminal, environment and command reach the host in order, answers too', async () => {
  const { peer, hosted } = await opened();
  hosted.started = processOf();
  peer.request(0, 'pty-req', ptyData);
  peer.request(0, 'env', Buffer.concat([text('LANG'), text('C')]));
  peer.request(0, 'exec', text('true'));
  await settle();
  assert.deepEqual(peer.numbers(), [success, success, success]);
  assert.deepEqual(hosted.calls, [
    [
      'pty',
      {
        term: Buffer.from('xterm'),
        columns: 80,
        rows: 24,
        widthPixels: 640,
        heightPixels: 65535,
        modes: Buffer.from('\x01\0\0\0\x03\0', 'latin1'),
      },
    ],
    ['env', 'LANG', 'C'],
    ['exec', 'true'],
  ]);
});

const x11Data = Buffer.concat([
  Buffer.of(1),
  text('MIT-MAGIC-COOKIE-1'),
  text('00ff'),
  Buffer.of(0, 0, 0, 2),
]);

test('agent and display are asked for as the client sent them, and only in front of the start', async () => {
  const { peer, hosted } = await opened();
  hosted.started = processOf();
  peer.request(0, 'auth-agent-req@openssh.com');
  peer.request(0, 'x11-req', x11Data);
  peer.request(0, 'shell');
  peer.request(0, 'auth-agent-req@openssh.com');
  peer.request(0, 'x11-req', x11Data);
  await settle();
  assert.deepEqual(peer.numbers(), [success, success, success, failure, failure]);
  assert.deepEqual(hosted.calls.slice(0, 2), [
    ['agent'],
    [
      'x11',
      {
        singleConnection: true,
        authProtocol: Buffer.from('MIT-MAGIC-COOKIE-1'),
        authData: Buffer.from('00ff'),
        screen: 2,
      },
    ],
  ]);
});

test('an x11-req cut at each offset is a protocol error and asks the host nothing', async () => {
  for (let length = 0; length < x11Data.length; length++) {
    const { peer, hosted } = await opened();
    peer.request(0, 'x11-req', x11Data.subarray(0, length));
    await settle();
    assert.ok(isProtocolError(peer.transport.error), `${length} bytes`);
    assert.deepEqual(hosted.calls, []);
  }
  const { peer } = await opened();
  peer.request(0, 'x11-req', Buffer.concat([x11Data, Buffer.of(0)]));
  await settle();
  assert.ok(isProtocolError(peer.transport.error), 'a byte too many');
});

test('what the host does not allow is CHANNEL_FAILURE', async () => {
  const { peer, hosted } = await opened();
  hosted.answer = false;
  peer.request(0, 'pty-req', ptyData);
  peer.request(0, 'env', Buffer.concat([text('LD_PRELOAD'), text('x')]));
  peer.request(0, 'shell');
  peer.request(0, 'x11-req', x11Data);
  peer.request(0, 'auth-agent-req@openssh.com');
  peer.request(0, 'xon-xoff', Buffer.of(1));
  await settle();
  assert.deepEqual(peer.numbers(), [failure, failure, failure, failure, failure, failure]);
});

test('a second terminal, a second start, and environment after the start are refused unasked', async () => {
  const { peer, hosted } = await opened();
  hosted.started = processOf();
  peer.request(0, 'pty-req', ptyData);
  peer.request(0, 'pty-req', ptyData);
  peer.request(0, 'shell');
  peer.request(0, 'exec', text('id'));
  peer.request(0, 'subsystem', text('sftp'));
  peer.request(0, 'env', Buffer.concat([text('A'), text('B')]));
  await settle();
  assert.deepEqual(peer.numbers(), [success, failure, success, failure, failure, failure]);
  assert.deepEqual(
    hosted.calls.map(([name]) => name),
    ['pty', 'shell'],
  );
});

test('after a refused subsystem a command may be tried', async () => {
  const { peer, hosted } = await opened();
  peer.request(0, 'subsystem', text('sftp'));
  await settle();
  hosted.started = processOf();
  peer.request(0, 'exec', text('/usr/lib/sftp-server'));
  await settle();
  assert.deepEqual(peer.numbers(), [failure, success]);
});

test('requests with a reply are answered after the shell started', async () => {
  const { peer, hosted } = await opened();
  hosted.started = processOf();
  peer.request(0, 'shell');
  peer.request(0, 'signal', text('TERM'));
  peer.request(0, 'signal', text('WINCH'));
  peer.request(0, 'break', new Writer().uint32(500).done());
  peer.request(0, 'window-change', sizes(new Writer()).done());
  await settle();
  assert.deepEqual(peer.numbers(), [success, success, failure, failure, failure]);
  assert.deepEqual(hosted.calls.slice(1), [['signal', 'TERM']]);
});

test('window changes and break reach the terminal', async () => {
  const { peer, hosted } = await opened();
  const pty = new FakePty();
  hosted.started = { is: 'pty', pty };
  const change = (...size: number[]): Buffer =>
    size.reduce((writer, value) => writer.uint32(value), new Writer()).done();
  peer.request(0, 'pty-req', ptyData);
  await settle();
  peer.request(0, 'window-change', change(5, 6, 7, 8), false);
  peer.request(0, 'shell');
  await settle();
  peer.request(0, 'window-change', change(1, 2, 3, 4));
  peer.request(0, 'break', new Writer().uint32(0).done());
  await settle();
  const [, [what, asked], [kind]] = hosted.calls as [unknown, [string, Terminal], [string]];
  assert.deepEqual([what, asked.columns, asked.heightPixels, kind], ['pty', 5, 8, 'shell']);
  assert.deepEqual(pty.sizes, [[1, 2, 3, 4]]);
  assert.deepEqual(peer.numbers(), [success, success, success, success]);
});

test('stdout and stderr arrive apart; exit-status before EOF and CLOSE', async () => {
  const { peer, hosted } = await opened();
  const child = processOf();
  hosted.started = child;
  peer.request(0, 'exec', text('x'));
  await settle();
  peer.transport.take();
  child.stdout.end('out');
  child.stderr.end('err');
  await settle();
  const sent = peer.transport.take();
  assert.deepEqual(sent.map((payload) => payload[0]).sort(), [94, 95, eof].sort());
  hosted.onExit({ is: 'exited', status: 7 });
  const { names, numbers } = sentRequests(peer);
  assert.deepEqual(names, ['exit-status', 'eow@openssh.com']);
  assert.equal(numbers.at(-1), close);
  assert.equal(hosted.closes, 1);
});

test('an exit that is known before the start is told behind the answer to the request', async () => {
  const early = new FakeSession();
  Object.defineProperty(early, 'onExit', {
    set(listener: FakeSession['onExit']) {
      listener({ is: 'exited', status: 1 });
    },
  });
  const { peer } = await opened(early);
  early.started = processOf();
  peer.request(0, 'exec', text('exit 1'));
  await settle();
  assert.deepEqual(peer.numbers().slice(0, 2), [success, 98]);
});

test('an exit before the output has ended waits for it', async () => {
  const { peer, hosted } = await opened();
  const child = processOf();
  hosted.started = child;
  peer.request(0, 'exec', text('x'));
  await settle();
  peer.transport.take();
  hosted.onExit({ is: 'exited', status: 0 });
  await settle();
  assert.deepEqual(sentRequests(peer).numbers, [98, 98]);
  child.stdout.end('late');
  child.stderr.end();
  await settle();
  assert.deepEqual(peer.numbers(), [94, eof, close]);
});

test('the status waits for nobody, the data for the window, CLOSE for both', async () => {
  const hosted = new FakeSession();
  const child = processOf();
  hosted.started = child;
  const host: SessionHost = { open: async () => ({ opened: hosted }) };
  const peer = new ConnectionPeer({
    channelTypes: new Map([['session', sessionChannel(host, new Map())]]),
  });
  peer.open(7, 2, 32 * 1024, 'session');
  await settle();
  peer.request(0, 'exec', text('x'));
  await settle();
  peer.transport.take();
  child.stdout.end('abcdef');
  child.stderr.end('ghij');
  await settle();
  hosted.onExit({ is: 'exited', status: 0 });
  await settle();
  let stdout = '';
  let stderr = '';
  let isClosed = false;
  for (let turn = 0; turn < 20 && !isClosed; turn++) {
    isClosed = peer.transport.sent.some((payload) => payload[0] === close);
    const sent = peer.bytes();
    stdout += sent.stdout.toString();
    stderr += sent.stderr.toString();
    if (!isClosed) {
      peer.adjust(0, 1);
      await settle();
    }
  }
  assert.deepEqual([stdout, stderr, isClosed], ['abcdef', 'ghij', true]);
});

test('a signal is exit-signal, by its name where the RFC has one', async () => {
  for (const [signalName, expected] of [
    ['SEGV', 'SEGV'],
    ['STKFLT', 'SIG@openssh.com'],
  ]) {
    const { peer, hosted } = await opened();
    hosted.started = processOf();
    peer.request(0, 'exec', text('x'));
    await settle();
    peer.transport.take();
    hosted.onExit({ is: 'signalled', signalName: signalName as string, coreDumped: true });
    const payload = peer.transport.take()[0] as Buffer;
    const { name, data } = ChannelRequest.decode(payload);
    const fields = new Reader(data);
    assert.deepEqual(
      [name, fields.text(), fields.bool(), fields.text(), fields.text()],
      ['exit-signal', expected, true, '', ''],
    );
    fields.end();
  }
});

test('what was sent before the command runs reaches its stdin, and EOF ends it', async () => {
  let finish: (started: Started) => void = () => {};
  const { peer, hosted } = await opened();
  hosted.started = new Promise<Started>((resolve) => {
    finish = resolve;
  });
  peer.request(0, 'exec', text('cat'));
  peer.data(0, 'early ');
  peer.eof(0);
  await settle();
  const child = processOf();
  finish(child);
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdin) {
    chunks.push(chunk as Buffer);
  }
  assert.equal(Buffer.concat(chunks).toString(), 'early ');
});

test('a command that does not read its stdin does not end the client, nor after its exit', async () => {
  const { peer, hosted } = await opened();
  const child = processOf();
  hosted.started = child;
  peer.request(0, 'exec', text('true'));
  await settle();
  for (let turn = 0; turn < 64; turn++) {
    peer.data(0, Buffer.alloc(32 * 1024));
  }
  await settle();
  assert.ok(!peer.numbers().includes(93), 'window given back though nothing was read');
  child.stdin.destroy(new Error('EPIPE'));
  await settle();
  const { names, numbers } = sentRequests(peer);
  assert.deepEqual(names, ['eow@openssh.com']);
  assert.ok(numbers.includes(93));
  peer.data(0, Buffer.alloc(32 * 1024));
  assert.equal(peer.transport.error, undefined);
});

test('the client closes: stdin ends, outputs are closed, the host is told once', async () => {
  const { peer, hosted } = await opened();
  const child = processOf();
  hosted.started = child;
  peer.request(0, 'exec', text('x'));
  await settle();
  peer.data(0, 'last');
  peer.close(0);
  await settle();
  assert.equal(child.stdin.read()?.toString(), 'last');
  assert.equal(child.stdin.writableEnded, true);
  assert.equal(child.stdout.destroyed && child.stderr.destroyed, true);
  hosted.onExit({ is: 'exited', status: 0 });
  peer.transport.close();
  assert.equal(hosted.closes, 1);
});

test('a client that closes first still gets the exit status, and CLOSE only then', async () => {
  const { peer, hosted } = await opened();
  const child = processOf();
  hosted.started = child;
  peer.request(0, 'exec', text('exit 3'));
  await settle();
  child.stdout.end();
  child.stderr.end();
  await settle();
  assert.deepEqual(peer.numbers(), [success, eof]);
  peer.eof(0);
  peer.close(0);
  await settle();
  assert.deepEqual(peer.numbers(), []);
  assert.equal(hosted.closes, 0);
  hosted.onExit({ is: 'exited', status: 3 });
  assert.deepEqual(sentRequests(peer), { names: ['exit-status'], numbers: [98, close] });
  assert.equal(hosted.closes, 1);
  assert.equal(peer.connection.channelCount, 0);
});

test('the connection is lost after the client closed and before the exit: the host is told', async () => {
  const { peer, hosted } = await opened();
  hosted.started = processOf();
  peer.request(0, 'exec', text('sleep 600'));
  await settle();
  peer.close(0);
  assert.equal(hosted.closes, 0);
  peer.transport.close();
  assert.equal(hosted.closes, 1);
});

test('the connection is lost: the terminal is hung up', async () => {
  const { peer, hosted } = await opened();
  const pty = new FakePty();
  hosted.started = { is: 'pty', pty };
  peer.request(0, 'pty-req', ptyData);
  peer.request(0, 'shell');
  await settle();
  peer.transport.close();
  await settle();
  assert.equal(pty.destroyed, true);
  assert.equal(hosted.closes, 1);
});

test('a start that ends after the channel leaves nothing open', async () => {
  for (const way of ['process', 'pty'] as const) {
    let finish: (started: Started) => void = () => {};
    const { peer, hosted } = await opened();
    hosted.started = new Promise<Started>((resolve) => {
      finish = resolve;
    });
    peer.request(0, 'shell');
    await settle();
    peer.close(0);
    const child = processOf();
    const pty = new FakePty();
    finish(way === 'pty' ? { is: 'pty', pty } : child);
    await settle();
    child.stdin.resume();
    await settle();
    const left =
      way === 'pty'
        ? !pty.destroyed
        : !child.stdout.destroyed || !child.stderr.destroyed || !child.stdin.writableEnded;
    assert.equal(left, false, way);
    assert.equal(hosted.closes, 1);
  }
});

test('a terminal that a background job holds is closed after the exit, its output sent', async () => {
  const { peer, hosted } = await opened();
  const pty = new FakePty();
  hosted.started = { is: 'pty', pty };
  peer.request(0, 'pty-req', ptyData);
  peer.request(0, 'shell');
  await settle();
  peer.transport.take();
  pty.push('logout\r\n');
  hosted.onExit({ is: 'exited', status: 0 });
  for (let turn = 0; turn < 100 && !pty.destroyed; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const sent = peer.transport.take();
  assert.equal(sent.at(-1)?.[0], close);
  assert.ok(sent.some((payload) => payload.includes('logout')));
});

test('EOF of the client does not hang a terminal up', async () => {
  const { peer, hosted } = await opened();
  const pty = new FakePty();
  hosted.started = { is: 'pty', pty };
  peer.request(0, 'pty-req', ptyData);
  peer.request(0, 'shell');
  peer.data(0, 'exit\n');
  peer.eof(0);
  await settle();
  assert.equal(Buffer.concat(pty.typed).toString(), 'exit\n');
  assert.equal(pty.destroyed, false);
  assert.ok(!peer.numbers().includes(close));
});

test('a subsystem of this process gets the channel after the answer, and what was sent early', async () => {
  const seen: unknown[] = [];
  const echo = (channel: Channel, context: { session: number }): void => {
    seen.push(context.session);
    channel.receive({
      write: (data) => channel.out.write(data),
      end: () => {
        channel.sendExitStatus(0);
        channel.close();
      },
    });
    channel.out.write(Buffer.from('hello '));
  };
  const { peer, hosted } = await opened(new FakeSession(), new Map([['rfb', echo]]));
  hosted.started = { is: 'internal', name: 'rfb' };
  peer.request(0, 'subsystem', text('rfb'));
  peer.data(0, 'early');
  await settle();
  const sent = peer.transport.take();
  assert.deepEqual(
    sent.map((payload) => payload[0]),
    [success, 94, 94],
  );
  assert.deepEqual(seen, [3]);
  peer.eof(0);
  assert.deepEqual(peer.numbers(), [98, eof, close]);
});

test('an internal subsystem that this process does not have is refused', async () => {
  const { peer, hosted } = await opened();
  hosted.started = { is: 'internal', name: 'nothing' };
  peer.request(0, 'subsystem', text('nothing'));
  await settle();
  assert.deepEqual(peer.numbers(), [failure]);
});

test('a warning of the host is a line on stderr', async () => {
  const { peer, hosted } = await opened();
  hosted.onWarning('no window appeared');
  assert.equal(peer.bytes().stderr.toString(), 'no window appeared\n');
});

test('each request cut at each offset is a protocol error and asks the host nothing', async () => {
  for (const [name, data] of [
    ['pty-req', ptyData],
    ['env', Buffer.concat([text('A'), text('B')])],
    ['exec', text('true')],
    ['subsystem', text('sftp')],
    ['signal', text('TERM')],
    ['window-change', sizes(new Writer()).done()],
    ['break', new Writer().uint32(1).done()],
  ] as const) {
    for (const cut of [...data.keys(), -1]) {
      const { peer, hosted } = await opened();
      peer.request(0, name, cut < 0 ? Buffer.concat([data, Buffer.of(0)]) : data.subarray(0, cut));
      assert.ok(isProtocolError(await peer.transport.ended()), `${name} cut at ${cut}`);
      assert.deepEqual(hosted.calls, []);
    }
  }
});
