/** The bytes between a page and a desktop: all of them, and never more than is taken. Runs in: test. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { ViewerSocket, closeCodes } from '../../../../../src/cli/web/viewer-socket.ts';
import { eventually } from '../../../../support/child.ts';
import { MemoryChannel } from '../../../../support/memory-channel.ts';

const mebibyte = 1024 * 1024;

describe('the socket of a page', { timeout: 60_000 }, () => {
  let server: WebSocketServer;
  before(async () => {
    server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
    await once(server, 'listening');
  });
  after(() => {
    server.close();
  });

  async function pair(): Promise<{ page: WebSocket; viewer: ViewerSocket; inner: WebSocket }> {
    const { port } = server.address() as AddressInfo;
    const page = new WebSocket(`ws://127.0.0.1:${port}`);
    const [inner] = (await once(server, 'connection')) as [WebSocket];
    const viewer = new ViewerSocket(inner);
    await once(page, 'open');
    return { page, viewer, inner };
  }

  test('a browser that does not read holds the desktop up, and gets everything in the end', async () => {
    const { page, viewer, inner } = await pair();
    page.pause();
    let received = 0;
    page.on('message', (data: Buffer) => (received += data.length));
    const channel = new MemoryChannel(64 * mebibyte);
    const relay = viewer.relay(channel.asSubsystem);
    // The kernel's buffers fill first; then the bytes wait here, and then no more are taken.
    await eventually('a full buffer', () => channel.isPaused());
    const held = channel.given;
    assert.ok(inner.bufferedAmount < 2 * mebibyte, String(inner.bufferedAmount));
    assert.ok(held < 64 * mebibyte, String(held));
    page.resume();
    await eventually('all of it', () => received === 64 * mebibyte);
    page.close();
    assert.deepEqual(await relay, { by: 'page' });
    assert.equal(channel.isClosed, true);
  });

  test('a desktop that does not read holds the browser up', async () => {
    const { page, viewer, inner } = await pair();
    const channel = new MemoryChannel();
    channel.isStuck = true;
    const relay = viewer.relay(channel.asSubsystem);
    const message = Buffer.alloc(32 * 1024);
    const messages = 2048;
    for (let count = 0; count < messages; count += 1) page.send(message);
    await eventually('a pause', () => inner.isPaused);
    assert.ok(channel.writableLength < mebibyte, String(channel.writableLength));
    channel.release();
    await eventually('all of it', () => channel.written === messages * message.length);
    page.terminate();
    assert.deepEqual(await relay, { by: 'page' });
  });

  test('what comes before there is a desktop waits for it', async () => {
    const { page, viewer } = await pair();
    page.send(Buffer.from('early'));
    const channel = new MemoryChannel();
    const relay = viewer.relay(channel.asSubsystem);
    await eventually('the early bytes', () => channel.written === 5);
    page.close();
    await relay;
  });

  test('a desktop that ends says how, and the page is told why', async () => {
    const { page, viewer } = await pair();
    const channel = new MemoryChannel();
    const relay = viewer.relay(channel.asSubsystem);
    channel.endWith(1);
    assert.deepEqual(await relay, { by: 'desktop', status: 1 });
    const closed = once(page, 'close');
    viewer.close(closeCodes.desktopEnded, `Ende: ${'ü'.repeat(200)}\n\u{1f600}`);
    const [code, reason] = (await closed) as [number, Buffer];
    assert.equal(code, closeCodes.desktopEnded);
    assert.ok(reason.length > 100 && reason.length <= 123, String(reason.length));
    assert.match(reason.toString(), /^Ende: ü+$/);
    await viewer.closed;
  });

  test('a page that does not answer the close is cut off', async () => {
    const { page, viewer } = await pair();
    page.pause();
    viewer.close(closeCodes.clientEnded, 'over');
    await viewer.closed;
    page.terminate();
  });
});
