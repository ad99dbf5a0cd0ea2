/**
 * `sshdesk connect -L -R -D -N`: ports and sockets in both directions, SOCKS, what cannot be had, and
 * what is left. Against Debian's sshd too (SSHDESK_TEST_SERVER=sshd). Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type NetConnectOpts } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Child, eventually, output } from '../support/child.ts';
import { allocatedPort, connectTo, spawnConnect } from '../support/connect-client.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { openDescriptors, startServer, type TestServer } from '../support/server.ts';
import {
  firstRoundTrip,
  listeners,
  loopbacks,
  roundTrip,
  type Service,
  socksConnect,
  startService,
} from '../support/tunnel.ts';

const lab = inLab(import.meta.url);
const local = { host: '127.0.0.1' };

describe('connect forwards', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let echo: Service;
  let folder: string;
  before(async () => {
    folder = mkdtempSync('/tmp/forwards-');
    chmodSync(folder, 0o777);
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    echo = await startService();
    server = await startServer({
      config: ['UsePAM yes', 'GatewayPorts clientspecified', 'RekeyLimit 16M'],
    });
  });
  after(async () => {
    await echo?.[Symbol.asyncDispose]();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const tunnel = (...args: readonly string[]): Child =>
    spawnConnect(server, { key, args: ['-N', ...args] });
  const portOf = (child: Child, kind: 'local' | 'remote' | 'dynamic'): Promise<number> =>
    eventually(`a ${kind} port`, () => {
      if (child.hasExited) throw new Error(child.stderr);
      return allocatedPort(child, kind);
    });
  const echoes = async (to: NetConnectOpts, text = 'hello'): Promise<void> =>
    assert.equal((await firstRoundTrip(to, text)).toString(), text);

  test('-L: both directions to their ends, on the loopback of both families alone', async () => {
    await using child = tunnel('-L', `0:127.0.0.1:${echo.port}`);
    const port = await portOf(child, 'local');
    const data = randomBytes(5_000_000);
    assert.ok((await roundTrip({ ...local, port }, data)).equals(data));
    assert.deepEqual(await roundTrip({ ...local, port }), Buffer.alloc(0));
    await echoes({ host: '::1', port });
    assert.ok(listeners(port).every((address) => loopbacks.has(address)));
  });

  test('-L: several at once, ports and sockets either way, an address in brackets', async () => {
    await using there = await startService({ path: path.join(folder, 'there') });
    chmodSync(path.join(folder, 'there'), 0o666);
    await using six = await startService({ host: '::1' });
    const here = path.join(folder, 'here');
    const both = path.join(folder, 'both');
    await using child = tunnel(
      ...['-L', `${here}:127.0.0.1:${echo.port}`],
      ...['-L', `${both}:${path.join(folder, 'there')}`],
      ...['-L', `[::1]:0:[::1]:${six.port}`],
    );
    const port = await portOf(child, 'local');
    await echoes({ path: here });
    await echoes({ path: both });
    await echoes({ host: '::1', port });
    assert.equal(statSync(here).mode & 0o777, 0o600);
    assert.equal(there.count, 1);
    child.process.kill('SIGTERM');
    assert.equal((await child.finished).code, 143);
    assert.ok(!existsSync(here) && !existsSync(both));
  });

  test('a socket that is there stays, unless StreamLocalBindUnlink; a file always', async () => {
    const file = path.join(folder, 'taken');
    await using old = await startService({ path: file });
    const args = ['-L', `${file}:127.0.0.1:${echo.port}`];
    const refused = await connectTo(server, { key, args: ['-N', ...args] });
    assert.equal(refused.status, 255);
    assert.match(refused.stderr, /cannot listen on .*taken: it is in use/);
    await using _child = tunnel('-o', 'StreamLocalBindUnlink=yes', ...args);
    await eventually('the new one', async () => {
      const count = echo.count;
      await roundTrip({ path: file }, 'x');
      return echo.count > count;
    });
    assert.ok(old.server.listening);
    const plain = path.join(folder, 'plain');
    writeFileSync(plain, 'mine');
    const unlink = ['-o', 'StreamLocalBindUnlink=yes', '-L', `${plain}:127.0.0.1:1`];
    assert.equal((await connectTo(server, { key, args: ['-N', ...unlink] })).status, 255);
    assert.ok(existsSync(plain));
  });

  test('-R: a port that the server chooses, one that is named, a socket', async () => {
    const file = path.join(folder, 'remote');
    await using child = tunnel(
      ...['-R', `0:127.0.0.1:${echo.port}`],
      ...['-R', `${file}:127.0.0.1:${echo.port}`],
    );
    const port = await portOf(child, 'remote');
    await echoes({ ...local, port });
    await echoes({ path: file });
    const data = randomBytes(5_000_000);
    assert.ok((await roundTrip({ ...local, port }, data)).equals(data));
  });

  test('-R: to a socket here, and SOCKS for who is there', async () => {
    const here = path.join(folder, 'mine');
    await using mine = await startService({ path: here });
    await using child = tunnel('-R', `0:${here}`);
    await echoes({ ...local, port: await portOf(child, 'remote') });
    assert.equal(mine.count, 1);
    await using proxy = tunnel('-R', '0');
    const socket = await socksConnect(await portOf(proxy, 'remote'), '127.0.0.1', echo.port);
    socket.end('through');
    let said = '';
    for await (const chunk of socket) said += chunk;
    assert.equal(said, 'through');
  });

  test('-D: SOCKS 5 by name, 4 and 4a, with curl too; nobody listening is a refusal', async () => {
    await using web = await startService({}, (socket) => {
      socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nfound it'));
    });
    await using child = tunnel('-D', '0');
    const port = await portOf(child, 'dynamic');
    for (const option of ['--socks5-hostname', '--socks5', '--socks4', '--socks4a']) {
      const url = `http://127.0.0.1:${web.port}/`;
      const said = await output('curl', ['-sS', option, `127.0.0.1:${port}`, url]);
      assert.equal(said, 'found it', option);
    }
    await assert.rejects(socksConnect(port, '127.0.0.1', 1), /SOCKS reply/);
    assert.match(child.stderr, /127\.0\.0\.1:1: open failed/);
    // Who speaks something else is told nothing, and the others go on.
    const junk = connect({ ...local, port });
    junk.write('GET / HTTP/1.0\r\n\r\n');
    for await (const _chunk of junk) assert.fail('an answer');
    const socket = await socksConnect(port, 'localhost', echo.port);
    socket.destroy();
  });

  test('200 MB each way at once through one tunnel, byte for byte, keys changed on the way', async () => {
    await using child = tunnel('-L', `0:127.0.0.1:${echo.port}`);
    const port = await portOf(child, 'local');
    const piece = randomBytes(1 << 20);
    const socket = connect({ ...local, port, allowHalfOpen: true });
    let got = 0;
    let isSame = true;
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; ) {
        const from = (got + at) % piece.length;
        const size = Math.min(chunk.length - at, piece.length - from);
        isSame &&= chunk.compare(piece, from, from + size, at, at + size) === 0;
        at += size;
      }
      got += chunk.length;
    });
    for (let sent = 0; sent < 200; sent += 1) {
      if (!socket.write(piece)) await new Promise((resolve) => socket.once('drain', resolve));
    }
    socket.end();
    await new Promise((resolve) => socket.once('close', resolve));
    assert.deepEqual([got, isSame], [200 << 20, true]);
  });

  test('who does not read holds its own connection up, and no other; each half ends alone', async () => {
    let sent = 0;
    await using flood = await startService({}, (socket) => {
      const chunk = Buffer.alloc(64 * 1024);
      const more = (): void => {
        while (sent < 64 << 20 && socket.write(chunk)) sent += chunk.length;
        sent += chunk.length;
      };
      socket.on('drain', more);
      more();
    });
    await using child = tunnel(
      ...['-L', `0:127.0.0.1:${flood.port}`],
      ...['-L', `${path.join(folder, 'lively')}:127.0.0.1:${echo.port}`],
    );
    const port = await portOf(child, 'local');
    const stuck = connect({ ...local, port });
    stuck.pause();
    let before = -1;
    await eventually('the flood stands', async () => {
      const is = sent > 0 && sent === before;
      before = sent;
      await echoes({ path: path.join(folder, 'lively') });
      return is;
    });
    assert.ok(sent < 32 << 20, `${sent} bytes on their way`);
    stuck.destroy();
  });

  test('2000 connections leave nothing behind', async () => {
    await using child = tunnel('-L', `0:127.0.0.1:${echo.port}`);
    const port = await portOf(child, 'local');
    await echoes({ ...local, port });
    const before = await eventually('quiet', () => openDescriptors(child.pid).length);
    for (let round = 0; round < 20; round += 1) {
      const all = Array.from({ length: 100 }, (_, each) =>
        roundTrip({ ...local, port }, `${round}/${each}`),
      );
      const texts = (await Promise.all(all)).map(String);
      assert.deepEqual(
        texts,
        Array.from({ length: 100 }, (_, each) => `${round}/${each}`),
      );
    }
    await eventually('all closed', () => openDescriptors(child.pid).length <= before);
    await eventually('all closed there', () => echo.sockets.size === 0);
  });

  test('what cannot be had: --batch ends with 255, ExitOnForwardFailure=no goes on and says it', async () => {
    const taken = createServer().listen(0);
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const here = ['-L', `${port}:127.0.0.1:${echo.port}`];
    const there = ['-R', `${port}:127.0.0.1:${echo.port}`];
    for (const args of [here, there]) {
      const outcome = await connectTo(server, { key, args: ['-N', ...args] });
      assert.equal(outcome.status, 255, args.join(' '));
      assert.match(outcome.stderr, /in use/);
    }
    const lenient = ['-o', 'ExitOnForwardFailure=no', ...here, ...there];
    const outcome = await connectTo(server, { key, args: lenient }, 'echo on');
    assert.deepEqual([outcome.status, outcome.text], [0, 'on\n']);
    assert.equal(outcome.stderr.match(/Warning: .*in use/g)?.length, 2);
    taken.close();
  });

  test('from the configuration; ClearAllForwardings has none of them; GatewayPorts', async () => {
    const file = path.join(folder, 'config');
    const socket = path.join(folder, 'configured');
    writeFileSync(
      file,
      [
        'Host 127.0.0.1',
        `  LocalForward ${socket} 127.0.0.1:${echo.port}`,
        '  StreamLocalBindMask 0117',
        `  LocalForward 0 127.0.0.1:${echo.port}`,
        '  DynamicForward 0',
        `  RemoteForward 0 127.0.0.1:${echo.port}`,
        '  GatewayPorts yes',
      ].join('\n'),
    );
    const configured = (...args: readonly string[]): Child =>
      spawnConnect(server, { key, args: ['-N', ...args] });
    await using child = configured('-F', file);
    const port = await portOf(child, 'local');
    await echoes({ path: socket });
    await echoes({ ...local, port });
    await echoes({ ...local, port: await portOf(child, 'remote') });
    await portOf(child, 'dynamic');
    assert.equal(statSync(socket).mode & 0o777, 0o660);
    assert.ok(!listeners(port).every((address) => loopbacks.has(address)));
    const args = ['-F', file, '-o', 'ClearAllForwardings=yes'];
    const cleared = await connectTo(server, { key, args }, 'echo on');
    assert.deepEqual([cleared.text, cleared.stderr], ['on\n', '']);
  });

  test('a command may end before what goes through it', async () => {
    const socket = path.join(folder, 'outlives');
    const args = ['-L', `${socket}:127.0.0.1:${echo.port}`];
    await using child = spawnConnect(server, { key, args }, 'cat');
    await echoes({ path: socket });
    const stays = connect({ path: socket });
    await new Promise((resolve) => stays.once('connect', resolve));
    stays.write('a');
    await new Promise((resolve) => stays.once('data', resolve));
    child.process.stdin?.end();
    await eventually('the command is over', () => child.stderr.includes('Waiting for 1'));
    stays.end('b');
    assert.equal((await child.finished).code, 0);
  });

  test('what is none of the forms is a usage error, before anybody is dialled', async () => {
    const outcome = await connectTo(server, { key, args: ['-N', '-L', `0:${'x'.repeat(300)}:1`] });
    assert.deepEqual([outcome.status, outcome.stdout.length], [2, 0]);
    assert.match(outcome.stderr, /LocalForward \(-L\)/);
  });
});
