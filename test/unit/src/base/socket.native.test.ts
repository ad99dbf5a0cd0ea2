/** Accepting, credentials, locks and memfds by descriptor. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeError } from '../../../../src/base/errors.ts';
import { SeqpacketLink, socketPair } from '../../../../src/base/link.native.ts';
import type { Accepted } from '../../../../src/base/native.ts';
import {
  Acceptor,
  closeDescriptor,
  connectSeqpacket,
  descriptorKind,
  duplicate,
  isDescriptorOfKind,
  listenSeqpacket,
  localRemoteAddress,
  lockExclusive,
  peerCredentials,
  readMemfd,
  setKeepAlive,
  setNoDelay,
  setQuickAck,
  shutdownDescriptor,
} from '../../../../src/base/socket.native.ts';
import { eventually, openDescriptors, settledDescriptors } from '../../../support/descriptors.ts';

const limit = { timeout: 60_000 };
const folder = mkdtempSync(join(tmpdir(), 'sshdesk-socket-'));
after(() => rmSync(folder, { recursive: true }));

/** A listening TCP descriptor that Node's own listener does not touch: made by a child. */
async function listening(host = '127.0.0.1'): Promise<{ descriptor: number; port: number }> {
  const [ours, theirs] = socketPair();
  const script = `
import socket
link = socket.socket(fileno=3)
s = socket.socket(socket.AF_INET6 if ':' in '${host}' else socket.AF_INET)
s.bind(('${host}', 0)); s.listen(64)
socket.send_fds(link, [str(s.getsockname()[1]).encode()], [s.fileno()])`;
  const child = spawn('python3', ['-c', script], {
    stdio: ['ignore', 'inherit', 'inherit', theirs],
  });
  closeSync(theirs);
  const link = new SeqpacketLink(ours);
  const found = await new Promise<{ descriptor: number; port: number }>((resolve, reject) => {
    link.onEnd = () => reject(new Error('no listener came'));
    link.onFrame = (frame, descriptors) =>
      resolve({ descriptor: descriptors[0] as number, port: Number(frame.toString()) });
  });
  await once(child, 'exit');
  link.close();
  return found;
}

test('an accepted connection is a plain descriptor with both addresses', limit, async () => {
  const { descriptor, port } = await listening();
  const accepted: Accepted[] = [];
  const acceptor = new Acceptor(descriptor, (one) => accepted.push(one));
  const client = connect(port, '127.0.0.1');
  await once(client, 'connect');
  assert.ok(await eventually(() => accepted.length === 1));
  const one = accepted[0] as Accepted;
  assert.deepEqual(
    { ...one, descriptor: 0 },
    {
      descriptor: 0,
      remoteAddress: '127.0.0.1',
      remotePort: client.localPort,
      localAddress: '127.0.0.1',
      localPort: port,
    },
  );
  assert.deepEqual(localRemoteAddress(one.descriptor), one);
  assert.equal(descriptorKind(one.descriptor), 'tcp');
  setQuickAck(one.descriptor);
  setNoDelay(one.descriptor);
  setKeepAlive(one.descriptor, true);
  const socket = new Socket({ fd: one.descriptor, readable: true, writable: true });
  socket.end('hello');
  const [greeting] = await once(client, 'data');
  assert.equal(String(greeting), 'hello');
  client.destroy();
  acceptor.close();
});

test('an IPv6 connection has its addresses', limit, async (context) => {
  const probe = spawnSync('python3', ['-c', "import socket;socket.socket(10).bind(('::1',0))"]);
  if (probe.status !== 0) {
    context.skip('no IPv6 loopback here');
    return;
  }
  const { descriptor, port } = await listening('::1');
  const accepted: Accepted[] = [];
  const acceptor = new Acceptor(descriptor, (one) => accepted.push(one));
  const client = connect(port, '::1');
  assert.ok(await eventually(() => accepted.length === 1));
  assert.equal(accepted[0]?.remoteAddress, '::1');
  closeDescriptor(accepted[0]?.descriptor as number);
  client.destroy();
  acceptor.close();
});

test('a paused acceptor leaves connections in the backlog', limit, async () => {
  const { descriptor, port } = await listening();
  let count = 0;
  const acceptor = new Acceptor(descriptor, (one) => {
    count++;
    closeDescriptor(one.descriptor);
  });
  acceptor.pause();
  const client = connect(port, '127.0.0.1');
  client.on('error', () => {});
  await once(client, 'connect');
  await sleep(50);
  assert.equal(count, 0);
  acceptor.resume();
  assert.ok(await eventually(() => count === 1));
  client.destroy();
  acceptor.close();
});

test('a closed acceptor refuses at once', limit, async () => {
  const { descriptor, port } = await listening();
  new Acceptor(descriptor, () => assert.fail('accepted')).close();
  await sleep(20);
  const client = connect(port, '127.0.0.1');
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
});

test('when descriptors run out it says so, does not spin, and goes on later', limit, async () => {
  const script = `
    import { Acceptor, closeDescriptor } from '${import.meta.resolve('../../../../src/base/socket.native.ts')}';
    import { openSync, closeSync } from 'node:fs';
    let trouble = 0, held = [];
    const acceptor = new Acceptor(3, (one) => { closeDescriptor(one.descriptor); console.log('accepted ' + trouble); acceptor.close(); });
    acceptor.onTrouble = (error) => { trouble++; if (trouble === 2) { held.forEach((fd) => closeSync(fd)); } };
    console.log('full');
    try { for (;;) held.push(openSync('/dev/null')); } catch (error) { if (error.code !== 'EMFILE') throw error; }
  `;
  const { descriptor, port } = await listening();
  const child = spawn(
    'sh',
    ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, script],
    { stdio: ['ignore', 'pipe', 'inherit', descriptor] },
  );
  closeDescriptor(descriptor);
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  assert.ok(await eventually(() => output.includes('full')));
  const client = connect(port, '127.0.0.1');
  client.on('error', () => {});
  await once(child, 'exit');
  assert.match(output, /accepted 2/);
  client.destroy();
});

test('2,000 connections accepted and closed leave no descriptor', limit, async () => {
  const { descriptor, port } = await listening();
  const acceptor = new Acceptor(descriptor, (one) => closeDescriptor(one.descriptor));
  const before = await settledDescriptors();
  // The clients live elsewhere, and reset so that no port stays in TIME_WAIT.
  const child = spawn('python3', [
    '-c',
    `import socket, struct
for _ in range(2000):
    s = socket.create_connection(('127.0.0.1', ${port}))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()`,
  ]);
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
  assert.ok(await eventually(() => openDescriptors() <= before));
  acceptor.close();
});

test('a Unix link by path: credentials of the peer, frames both ways', limit, async () => {
  const path = join(folder, 'control');
  const accepted: Accepted[] = [];
  const acceptor = new Acceptor(listenSeqpacket(path), (one) => accepted.push(one));
  const client = new SeqpacketLink(connectSeqpacket(path));
  assert.ok(await eventually(() => accepted.length === 1));
  const descriptor = accepted[0]?.descriptor as number;
  const uid = process.getuid?.();
  assert.deepEqual(peerCredentials(descriptor), { pid: process.pid, uid, gid: process.getgid?.() });
  assert.equal(accepted[0]?.remoteAddress, '');
  const server = new SeqpacketLink(descriptor);
  const seen: string[] = [];
  server.onFrame = (frame) => server.send(frame);
  client.onFrame = (frame) => seen.push(frame.toString());
  client.send(Buffer.from('echo'));
  assert.ok(await eventually(() => seen[0] === 'echo'));
  server.close();
  client.close();
  acceptor.close();
  assert.throws(() => connectSeqpacket(join(folder, 'nobody')), /ENOENT/);
  await settledDescriptors();
  assert.throws(() => connectSeqpacket(path), NativeError);
});

test('a lock is held by one open file at a time', limit, () => {
  const path = join(folder, 'lock');
  writeFileSync(path, '');
  const one = openSync(path, 'r+');
  const other = openSync(path, 'r+');
  assert.equal(lockExclusive(one), true);
  assert.equal(lockExclusive(other), false);
  closeSync(one);
  assert.equal(lockExclusive(other), true);
  closeSync(other);
});

/** A memfd made elsewhere, sealed or not. */
async function memory(content: string, isSealed: boolean): Promise<number> {
  const [ours, theirs] = socketPair();
  const script = `
import fcntl, os, socket
m = os.memfd_create('x', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
os.write(m, b'${content}')
if ${isSealed ? 'True' : 'False'}: fcntl.fcntl(m, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
socket.send_fds(socket.socket(fileno=3), [b'm'], [m])`;
  const child = spawn('python3', ['-c', script], {
    stdio: ['ignore', 'inherit', 'inherit', theirs],
  });
  closeSync(theirs);
  const link = new SeqpacketLink(ours);
  const descriptor = await new Promise<number>((resolve) => {
    link.onFrame = (_frame, descriptors) => resolve(descriptors[0] as number);
  });
  await once(child, 'exit');
  link.close();
  return descriptor;
}

test('a memfd is read only when it is sealed and small enough', limit, async () => {
  const sealed = await memory('ssh-ed25519 AAAA', true);
  assert.equal(readMemfd(sealed, 1024).toString(), 'ssh-ed25519 AAAA');
  assert.throws(() => readMemfd(sealed, 4), /EFBIG/);
  closeDescriptor(sealed);
  const open = await memory('x', false);
  assert.throws(() => readMemfd(open, 1024), /EPERM/);
  closeDescriptor(open);
  const file = openSync('/etc/hostname', 'r');
  assert.throws(() => readMemfd(file, 1024), /EINVAL/);
  closeSync(file);
});

test('a shutdown through a duplicate ends the connection for every holder', limit, async () => {
  const server = createServer({ allowHalfOpen: false });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect(port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const copy = duplicate(fd);
  socket.resume();
  client.resume();
  shutdownDescriptor(copy);
  await Promise.all([once(client, 'close'), once(socket, 'close')]);
  shutdownDescriptor(copy);
  closeDescriptor(copy);
  server.close();
});

test('kinds are told apart, and a closed descriptor is an error', limit, () => {
  const [one, other] = socketPair();
  assert.ok(isDescriptorOfKind(one, 'unix-seqpacket'));
  assert.ok(!isDescriptorOfKind(one, 'tcp'));
  const file = openSync('/dev/null', 'r');
  assert.equal(descriptorKind(file), 'character');
  assert.equal(localRemoteAddress(file), undefined);
  closeSync(file);
  closeDescriptor(one);
  closeDescriptor(other);
  assert.throws(() => descriptorKind(one), /EBADF/);
  assert.throws(() => closeDescriptor(one), /EBADF/);
});
