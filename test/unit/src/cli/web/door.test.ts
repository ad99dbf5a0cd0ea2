/**
 * The local web door against those who should not get in: raw HTTP of a neighbour on the machine, of
 * a page elsewhere, of somebody slow or greedy. Runs in: test.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { WebDoor } from '../../../../../src/cli/web/door.ts';
import { Seat } from '../../../../../src/cli/web/seat.ts';
import { MemoryChannel } from '../../../../support/memory-channel.ts';
import { eventually, run } from '../../../../support/child.ts';
import type { ViewerSocket } from '../../../../../src/cli/web/viewer-socket.ts';

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

describe('the local web door', { timeout: 60_000 }, () => {
  let door: WebDoor;
  let port: number;
  let token: string;
  let seat: Seat;
  let viewers: ViewerSocket[] = [];
  let seconds = 0;
  let tooOld: Seat;

  const lateToken = Seat.newToken();
  const open = async (times?: { headMs: number; requestMs: number }): Promise<void> => {
    token = Seat.newToken();
    seat = new Seat(token, 60_000);
    tooOld = new Seat(lateToken, -1);
    viewers = [];
    seconds = 0;
    const settings = { title: 'alice@desk', isResized: true };
    const events = {
      onViewer: (_seat: Seat, socket: ViewerSocket) => void viewers.push(socket),
      onAdmitted: () => undefined,
      onSecondUse: () => void (seconds += 1),
    };
    door = new WebDoor([seat, tooOld], settings, events, times);
    port = await door.open(0);
  };
  const close = async (): Promise<void> => {
    for (const viewer of viewers) viewer.close(4003, 'over');
    await Promise.all(viewers.map(({ closed }) => closed));
    door.close();
  };
  before(() => open());
  beforeEach(async () => {
    await close();
    await open();
  });
  after(() => close());

  /** What came until the door closed. */
  async function raw(text: string): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    socket.write(text);
    return everything(socket);
  }

  async function ask(line: string, headers: readonly string[], body = ''): Promise<Answer> {
    const isUpgrade = headers.includes('Upgrade: websocket');
    const connection = `Connection: ${isUpgrade ? 'Upgrade' : 'close'}`;
    const lines = [`${line} HTTP/1.1`, ...headers, connection];
    const text = await raw(`${lines.join('\r\n')}\r\n\r\n${body}`);
    const [head = '', rest = ''] = text.split('\r\n\r\n', 2);
    return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, body: rest };
  }

  const host = () => `Host: 127.0.0.1:${port}`;
  const origin = () => `Origin: ${door.origin}`;
  const show = (shown: string, ...more: string[]) =>
    ask('POST /token', [host(), ...more, `Content-Length: ${shown.length}`], shown);

  async function cookie(): Promise<string> {
    const { head } = await show(token, origin());
    const found = /^set-cookie: (sshdesk=[\w-]+);/im.exec(head)?.[1];
    assert.ok(found !== undefined, head);
    return `Cookie: ${found}`;
  }

  const upgrade = (path: string, headers: readonly string[]) =>
    ask(`GET ${path}`, [
      ...headers,
      ...['Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]);

  test('the page is served with headers that let it load nothing else', async () => {
    for (const path of ['/', '/page.js', '/novnc/core/rfb.js', '/nothing', seat.path]) {
      const { head } = await ask(`GET ${path}`, [host()]);
      assert.match(head, /^content-security-policy: default-src 'none'; script-src 'self';/im);
      assert.doesNotMatch(head, /unsafe|\*/);
      assert.match(head, /frame-ancestors 'none'/);
      assert.match(head, /^x-content-type-options: nosniff$/im);
      assert.match(head, /^referrer-policy: no-referrer$/im);
      assert.match(head, /^cache-control: no-store$/im);
      assert.match(head, /^cross-origin-resource-policy: same-origin$/im);
      assert.doesNotMatch(head, /access-control|^server:|x-powered/im);
    }
    assert.equal((await ask('GET /', [host()])).status, 200);
  });

  test('a name that somebody points at 127.0.0.1 is refused, whatever is asked', async () => {
    const held = await cookie();
    const names = [
      'Host: evil.example',
      `Host: evil.example:${port}`,
      'Host: 127.0.0.1',
      `Host: 127.0.0.1:${port + 1}`,
      `Host: 127.0.0.1:${port}.evil.example`,
      `Host: localhost:${port}`,
    ];
    for (const name of names) {
      for (const path of ['/', seat.path, `${seat.path}settings`]) {
        assert.equal((await ask(`GET ${path}`, [name, held])).status, 421, name);
      }
      assert.equal((await upgrade(`${seat.path}rfb`, [name, origin(), held])).status, 421, name);
    }
    assert.equal((await ask('GET /', [host(), 'Host: evil.example'])).status, 421, 'two names');
    assert.equal((await ask(`GET http://evil.example/`, [host()])).status, 404, 'absolute form');
    assert.match(await raw('GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 421 /, 'no name');
    assert.equal(viewers.length, 0);
  });

  test('another page than ours can show no token and open no socket', async () => {
    for (const stranger of [
      'http://evil.example',
      `http://127.0.0.1:${port + 1}`,
      'null',
      'file://',
    ]) {
      const from = `Origin: ${stranger}`;
      assert.equal((await show(token, from)).status, 403, stranger);
      assert.equal(seat.isUsed, false);
    }
    assert.equal((await show(token)).status, 403, 'no origin at all');
    const held = await cookie();
    for (const from of [
      'Origin: http://evil.example',
      `Origin: http://127.0.0.1:${port + 1}`,
      'X: y',
    ]) {
      assert.equal((await upgrade(`${seat.path}rfb`, [host(), from, held])).status, 403, from);
    }
    assert.equal(viewers.length, 0);
  });

  test('a token lets one browser in, once; the second is told, and so is the person', async () => {
    assert.equal((await show('', origin())).status, 403);
    assert.equal((await show(Seat.newToken(), origin())).status, 403);
    assert.equal(seconds, 0);
    assert.equal((await show(token, origin())).status, 200);
    const again = await show(token, origin());
    assert.equal(again.status, 403);
    assert.match(again.body, /used already: it is good for one browser, once/);
    assert.doesNotMatch(again.head, /set-cookie/i);
    assert.equal(seconds, 1);
    const late = await show(lateToken, origin());
    assert.equal(late.status, 403);
    assert.match(late.body, /too old/);
    assert.equal((await show('x'.repeat(129), origin())).status, 413);
    assert.equal((await ask('GET /token', [host(), origin()])).status, 405);
  });

  test('without the cookie there is no page, no setting and no socket; with it there is', async () => {
    const held = await cookie();
    for (const wrong of ['X: y', 'Cookie: sshdesk=', `Cookie: sshdesk=${token}`, 'Cookie: a=b']) {
      assert.equal((await ask(`GET ${seat.path}`, [host(), wrong])).status, 403);
      assert.equal((await ask(`GET ${seat.path}settings`, [host(), wrong])).status, 403);
      assert.equal((await upgrade(`${seat.path}rfb`, [host(), origin(), wrong])).status, 403);
    }
    assert.equal((await ask(`GET ${tooOld.path}`, [host(), held])).status, 403, 'another seat');
    assert.equal((await ask(`GET ${seat.path}`, [host(), held])).status, 200);
    const settings = await ask(`GET ${seat.path}settings`, [host(), held]);
    assert.deepEqual(JSON.parse(settings.body), { title: 'alice@desk', isResized: true });
    assert.equal(viewers.length, 0);
    assert.match((await opened(held)).protocol, /^$/);
    assert.equal(viewers.length, 1);
  });

  test('no path leads out of the table', async () => {
    const held = await cookie();
    const paths = [
      '/../package.json',
      '/novnc/../package.json',
      '/novnc/core/../../../../package.json',
      '/novnc/%2e%2e/package.json',
      '/novnc/core/%2e%2e%2frfb.js',
      '/novnc/package.json',
      '/novnc/core/rfb.js/',
      '/novnc/core/rfb.js%00',
      '/novnc//core/rfb.js',
      '/page.js?x',
      '//page.js',
      '/etc/passwd',
      `${'/x'.repeat(1000)}`,
    ];
    for (const path of [...paths, ...paths.map((one) => `${seat.path}${one.slice(1)}`)]) {
      const { status } = await ask(`GET ${path}`, [host(), held]);
      assert.ok(status === 404 || status === 400, `${path}: ${status}`);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      assert.equal((await ask(`${method} /`, [host()])).status, 405, method);
    }
    assert.equal((await ask(`CONNECT 127.0.0.1:${port}`, [host()])).status, 405);
    assert.equal((await ask('HEAD /', [host()])).body, '');
  });

  test('heads and bodies are bounded', async () => {
    const long = await ask('GET /', [host(), `X: ${'x'.repeat(9000)}`]);
    assert.ok(long.status === 431 || long.status === 400, String(long.status));
    const endless = [
      'POST /token HTTP/1.1',
      host(),
      origin(),
      'Transfer-Encoding: chunked',
      '',
      '',
    ];
    const chunk = `fff\r\n${'x'.repeat(0xfff)}\r\n`;
    const answer = await raw(endless.join('\r\n') + chunk.repeat(64));
    assert.match(answer, /^HTTP\/1\.1 413 /);
    const smuggled = [host(), origin(), 'Content-Length: 4', 'Transfer-Encoding: chunked'];
    assert.equal((await ask('POST /token', smuggled, '0\r\n\r\n')).status, 400);
    const expects = [host(), origin(), 'Expect: 100-continue', 'Content-Length: 43'];
    assert.equal((await ask('POST /token', expects)).status, 417);
  });

  test('whoever is slow is cut off, and leaves room for others', async () => {
    await close();
    await open({ headMs: 500, requestMs: 700 });
    const silent = connect(port, '127.0.0.1');
    const head = connect(port, '127.0.0.1');
    head.write('GET / HTTP/1.1\r\nHo');
    const body = connect(port, '127.0.0.1');
    body.write(`POST /token HTTP/1.1\r\n${host()}\r\n${origin()}\r\nContent-Length: 43\r\n\r\nx`);
    const drip = setInterval(() => head.writable && head.write('x'), 20);
    try {
      // Each ends; how soon is the machine's affair.
      await Promise.all([silent, head, body].map(everything));
    } finally {
      clearInterval(drip);
    }
    // On a machine that is slow itself the first may be cut off too.
    await eventually('room for others', async () => (await ask('GET /', [host()])).status === 200);
  });

  test('sockets are counted', async () => {
    const many = Array.from({ length: 60 }, () => connect(port, '127.0.0.1'));
    let closed = 0;
    const ends = many.map(async (socket) => {
      await everything(socket);
      closed += 1;
    });
    // The others stay until they are cut off for their silence.
    await eventually('twelve too many', () => closed === 12);
    assert.equal(many.filter((socket) => socket.readyState === 'open').length, 48);
    for (const socket of many) socket.destroy();
    await Promise.all(ends);
    assert.equal((await ask('GET /', [host()])).status, 200);
  });

  async function opened(held: string): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${seat.path}rfb`, {
      origin: door.origin,
      headers: { Cookie: held.slice('Cookie: '.length) },
    });
    await new Promise((resolve, reject) => void socket.on('open', resolve).on('error', reject));
    return socket;
  }

  test('another user of the computer is cut off before anything is answered', {
    skip: process.getuid?.() === 0 ? false : 'needs root, to be another user',
  }, async () => {
    const request = `GET / HTTP/1.1\\r\\n${host()}\\r\\nConnection: close\\r\\n\\r\\n`;
    const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf '${request}' >&3; cat <&3`;
    const as = (uid: number) =>
      run('setpriv', [`--reuid=${uid}`, '--clear-groups', 'bash', '-c', script]);
    assert.match((await as(0)).stdout, /^HTTP\/1\.1 200 /);
    assert.equal((await as(65534)).stdout, '');
  });

  test('a frame that no browser of ours sends ends the socket, and the desktop hears nothing', async () => {
    for (const [frame, code] of [
      [Buffer.alloc(64 * 1024 + 1), 1009],
      ['text', 1003],
    ] as const) {
      await close();
      await open();
      const socket = await opened(await cookie());
      assert.equal(socket.extensions, '', 'no compression');
      const closedWith = new Promise<number>((resolve) => void socket.on('close', resolve));
      const [viewer] = viewers;
      assert.ok(viewer !== undefined);
      const channel = new MemoryChannel();
      const end = viewer.relay(channel.asSubsystem);
      socket.send(frame);
      assert.equal(await closedWith, code);
      assert.deepEqual(await end, { by: 'page' });
      assert.equal(channel.written, 0);
    }
  });
});

function everything(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    // A reset is an end like any other here.
    socket.on('error', () => undefined).on('close', () => resolve(text));
  });
}
