/** Who is at the other end of a loopback connection, read from the kernel's table. Runs in: test. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  allowedUsers,
  type Ends,
  isAllowedPeer,
  uidIn,
} from '../../../../../src/cli/web/peer-user.ts';

const own = process.getuid?.() ?? 0;

test('a connection of this process is its user’s, and one that is closed is nobody’s', {
  skip: process.platform === 'linux' ? false : 'needs /proc',
}, async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect(port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const peerPort = accepted.remotePort ?? 0;
  assert.equal(uidIn(readFileSync('/proc/net/tcp', 'latin1'), peerPort, port), own);
  const ends: Ends = { remoteAddress: '127.0.0.1', remotePort: peerPort, localPort: port };
  assert.equal(await isAllowedPeer(new Set([own]), accepted), true);
  assert.equal(await isAllowedPeer(new Set([own + 1]), accepted), false);
  assert.equal(
    await isAllowedPeer(new Set([own]), { ...ends, localPort: port === 1 ? 2 : 1 }),
    false,
  );
  assert.equal(await isAllowedPeer(new Set(), accepted), true, 'where nothing is known');
  client.destroy();
  await once(accepted, 'close');
  assert.equal(await isAllowedPeer(new Set([own]), ends), false);
  server.close();
});

test('who has the port of the browser on another address of the loopback is not taken for it', {
  skip: process.platform === 'linux' ? false : 'needs all of 127.0.0.0/8',
}, async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const browser = connect(port, '127.0.0.1');
  const [known] = (await once(server, 'connection')) as [Socket];
  const localPort = known.remotePort ?? 0;
  const stranger = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2', localPort });
  const [accepted] = (await once(server, 'connection')) as [Socket];
  sockets.push(browser, known, stranger, accepted);
  assert.equal(accepted.remotePort, known.remotePort);
  assert.equal(await isAllowedPeer(new Set([own]), known), true);
  assert.equal(await isAllowedPeer(new Set([own]), accepted), false);
});

test('root’s client under sudo is the caller’s too', () => {
  assert.deepEqual([...allowedUsers({})].sort(), [...new Set([own, 0])].sort());
  const sudo = [...allowedUsers({ SUDO_UID: '1000' })];
  assert.equal(sudo.includes(1000), own === 0 || own === 1000);
  assert.equal(allowedUsers({ SUDO_UID: '1000x' }).has(1000), own === 1000);
});
