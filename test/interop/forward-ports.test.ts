/** Forwarding of TCP ports with Debian's ssh: -L, -D, -W, -J, -R, -O. In the lab. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import ssh2 from 'ssh2';
import { type Child, eventually } from '../support/child.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { freePort, serverKind, startServer, type TestServer } from '../support/server.ts';
import { clientArguments, ssh } from '../support/stock-client.ts';
import {
  firstRoundTrip,
  listeners,
  loopbacks,
  roundTrip,
  type Service,
  socksConnect,
  startService,
  startTunnel,
} from '../support/tunnel.ts';

const lab = inLab(import.meta.url);
const local = { host: '127.0.0.1' };

async function allocatedPort(tunnel: Child): Promise<number> {
  const [, port] = await eventually(
    'a port',
    () => /Allocated port (\d+)/.exec(tunnel.stderr) ?? false,
  );
  return Number(port);
}

describe('ports', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let echo: Service;
  let folder = '';
  before(async () => {
    folder = mkdtempSync('/tmp/forward-');
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    echo = await startService();
    server = await startServer({ config: ['UsePAM yes', 'LogLevel DEBUG1'] });
  });
  after(async () => {
    await echo?.[Symbol.asyncDispose]();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** `ssh -L` to `target`; the port where it listens. */
  const forward = async (target: string): Promise<{ tunnel: Child; port: number }> => {
    const port = await freePort();
    const tunnel = startTunnel(server, { key, args: ['-L', `127.0.0.1:${port}:${target}`] });
    await eventually('the listener', () => {
      const probe = connect({ ...local, port });
      return new Promise<boolean>((resolve) => {
        probe.once('connect', () => resolve(true)).once('error', () => resolve(false));
      }).finally(() => probe.destroy());
    });
    return { tunnel, port };
  };
  const remote = (spec: string, more: readonly string[] = []): Child =>
    startTunnel(server, { key, args: ['-o', 'LogLevel=INFO', '-R', spec, ...more] });

  test('-L carries both directions to their ends', async () => {
    const { tunnel, port } = await forward(`127.0.0.1:${echo.port}`);
    await using _tunnel = tunnel;
    assert.equal((await firstRoundTrip({ ...local, port }, 'hello')).toString(), 'hello');
    const data = randomBytes(5_000_000);
    assert.ok((await roundTrip({ ...local, port }, data)).equals(data));
    assert.deepEqual(await roundTrip({ ...local, port }), Buffer.alloc(0));
  });

  test('-L by name and over IPv6', async () => {
    await using six = await startService({ host: '::1' });
    for (const target of [`localhost:${echo.port}`, `[::1]:${six.port}`, `localhost:${six.port}`]) {
      const { tunnel, port } = await forward(target);
      await using _tunnel = tunnel;
      assert.equal((await roundTrip({ ...local, port }, 'x')).toString(), 'x', target);
    }
  });

  test('the end of one direction leaves the other open', async () => {
    const answer = randomBytes(300_000);
    await using late = await startService({}, (socket) => {
      const heard: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => heard.push(chunk));
      // Nothing is said before the client has finished, and it can still hear then.
      socket.on('end', () => socket.end(Buffer.concat([...heard, answer])));
    });
    await using early = await startService({}, (socket) => {
      // The service has finished at once; it still hears everything.
      socket.end('first');
      const heard: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => heard.push(chunk));
      socket.on('end', () => early.server.emit('heard', Buffer.concat(heard)));
    });
    {
      const { tunnel, port } = await forward(`127.0.0.1:${late.port}`);
      await using _tunnel = tunnel;
      const whole = await roundTrip({ ...local, port }, 'question');
      assert.ok(whole.equals(Buffer.concat([Buffer.from('question'), answer])));
    }
    const { tunnel, port } = await forward(`127.0.0.1:${early.port}`);
    await using _tunnel = tunnel;
    const heard = new Promise<Buffer>((resolve) => {
      early.server.on('heard', (data: Buffer) => data.length > 0 && resolve(data));
    });
    const socket = connect({ ...local, port, allowHalfOpen: true });
    await new Promise((resolve) => socket.once('end', resolve).resume());
    socket.end(answer);
    assert.ok((await heard).equals(answer));
  });

  test('a reset ends the channel, on either side', async () => {
    await using resetting = await startService({}, (socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    const { tunnel, port } = await forward(`127.0.0.1:${resetting.port}`);
    await using _tunnel = tunnel;
    const socket = connect({ ...local, port });
    socket.on('error', () => {}); // a reset may be passed on, or an end
    socket.write('x');
    await new Promise((resolve) => socket.once('close', resolve).resume());
    const open = await forward(`127.0.0.1:${echo.port}`);
    await using _open = open.tunnel;
    await eventually('the end of what was before', () => echo.sockets.size === 0);
    const leaving = connect({ ...local, port: open.port });
    leaving.write('x');
    await new Promise((resolve) => leaving.once('data', resolve));
    // The one that looked for the listener may come and go behind it.
    await eventually('that one alone', () => echo.sockets.size === 1);
    leaving.resetAndDestroy();
    await eventually('the end of the socket', () => echo.sockets.size === 0);
  });

  test('what cannot be reached is refused with the reason, and the log says it as sshd', async () => {
    const nobody = await freePort();
    const told = ['-o', 'LogLevel=INFO', '-W'];
    const outcome = await ssh(server, { key, args: [...told, `127.0.0.1:${nobody}`] });
    assert.equal(outcome.status, 255);
    assert.match(outcome.stderr, /open failed: connect failed: Connection refused/);
    await server.logged(new RegExp(`connect_to 127\\.0\\.0\\.1 port ${nobody}: failed\\.`));
    const unknown = await ssh(server, { key, args: [...told, 'no.such.host.invalid:1'] });
    assert.match(unknown.stderr, /open failed: connect failed: .*(not known|resolution)/);
    await server.logged(/connect_to no\.such\.host\.invalid: unknown host \(/);
  });

  test('-D', async () => {
    const port = await freePort();
    await using _tunnel = startTunnel(server, { key, args: ['-D', `127.0.0.1:${port}`] });
    const socket = await eventually('a proxy', () =>
      socksConnect(port, 'localhost', echo.port).catch(() => undefined),
    );
    socket.end('by socks');
    const chunks: Buffer[] = [];
    await new Promise((resolve) => {
      socket.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', resolve);
    });
    assert.equal(Buffer.concat(chunks).toString(), 'by socks');
  });

  test('-W, and a second server behind this one (ProxyCommand, ProxyJump)', async () => {
    const through = await ssh(server, {
      key,
      args: ['-W', `localhost:${echo.port}`],
      input: 'through',
    });
    assert.deepEqual([through.status, through.text], [0, 'through']);
    const jump = ['ssh', ...clientArguments(server, { key }), '-W', '%h:%p', 'alice@127.0.0.1'];
    const outcome = await ssh(
      server,
      { key, args: ['-o', `ProxyCommand=${jump.join(' ')}`] },
      'echo behind; cat',
    );
    assert.deepEqual([outcome.status, outcome.text], [0, 'behind\n'], outcome.stderr);
  });

  test('-R 0 tells the port, and each connection is a channel of its own', async () => {
    await using tunnel = remote(`0:127.0.0.1:${echo.port}`);
    const to = { ...local, port: await allocatedPort(tunnel) };
    const data = randomBytes(2_000_000);
    const answers = await Promise.all([
      roundTrip(to, data),
      roundTrip(to, 'a'),
      roundTrip({ ...to, host: '::1' }, 'b'),
    ]);
    assert.ok(answers[0].equals(data));
    assert.deepEqual(answers.slice(1).map(String), ['a', 'b']);
  });

  test('-R without a destination is a SOCKS proxy for the far side', async () => {
    await using tunnel = remote('0');
    const port = await allocatedPort(tunnel);
    const socket = await socksConnect(port, '127.0.0.1', echo.port);
    socket.end('remote socks');
    const [data] = await new Promise<Buffer[]>((resolve) => {
      socket.once('data', (...chunks: Buffer[]) => resolve(chunks));
    });
    assert.equal(String(data), 'remote socks');
    socket.destroy();
  });

  test('with GatewayPorts no every address is the loopback', async () => {
    for (const address of ['', '*', '0.0.0.0', 'localhost', '[::1]', '127.0.0.1']) {
      const port = await freePort();
      await using _tunnel = remote(
        `${address === '' ? '' : `${address}:`}${port}:127.0.0.1:${echo.port}`,
      );
      const six = address === '[::1]';
      const to = { host: six ? '::1' : '127.0.0.1', port };
      assert.equal((await firstRoundTrip(to, 'x')).toString(), 'x', address);
      const listening = listeners(port);
      assert.ok(listening.length > 0, address);
      assert.deepEqual(
        listening.filter((one) => !loopbacks.has(one)),
        [],
        address,
      );
    }
  });

  test('a port that is taken, or below 1024, is refused', async () => {
    const taken = await freePort();
    await using _holder = await startService({ port: taken });
    for (const port of [taken, 81]) {
      const outcome = await ssh(
        server,
        { key, args: ['-R', `127.0.0.1:${port}:127.0.0.1:1`, '-o', 'ExitOnForwardFailure=yes'] },
        'true',
      );
      assert.equal(outcome.status, 255, String(port));
      assert.match(outcome.stderr, /remote port forwarding failed for listen port/);
    }
  });

  test('-O forward and cancel on one connection', async () => {
    const control = path.join(folder, 'control');
    await using master = startTunnel(server, { key, args: ['-M', '-S', control] });
    await eventually('the master', async () => {
      const { status } = await ssh(server, { key, args: ['-S', control, '-O', 'check'] });
      return status === 0;
    });
    const tell = (order: string, spec: readonly string[]) =>
      ssh(server, { key, args: ['-S', control, '-O', order, ...spec] });
    const any = await tell('forward', ['-R', `0:127.0.0.1:${echo.port}`]);
    const allocated = Number(any.text);
    assert.equal((await roundTrip({ ...local, port: allocated }, 'any')).toString(), 'any');
    const port = await freePort();
    const spec = ['-R', `${port}:127.0.0.1:${echo.port}`];
    // The same port can be had again once it was cancelled.
    for (const said of ['one', 'two']) {
      const opened = await tell('forward', spec);
      assert.equal(opened.status, 0, opened.stderr);
      assert.equal((await roundTrip({ ...local, port }, said)).toString(), said);
      const cancelled = await tell('cancel', spec);
      assert.equal(cancelled.status, 0, cancelled.stderr);
      await eventually('the end of the listener', () => listeners(port).length === 0);
    }
    assert.equal(master.hasExited, false);
    const here = await freePort();
    await tell('forward', ['-L', `127.0.0.1:${here}:127.0.0.1:${echo.port}`]);
    assert.equal((await roundTrip({ ...local, port: here }, 'three')).toString(), 'three');
  });

  test('-w is refused, and the connection lives', async () => {
    const outcome = await ssh(
      server,
      { key, args: ['-w', '5:5', '-o', 'LogLevel=INFO'] },
      'echo alive',
    );
    // Without the right to make a device of its own the client does not even ask.
    assert.match(outcome.stderr, /Tunnel (forwarding|device open) failed|open failed|tun/i);
  });

  test('500 tunnels at once, and nothing of them is left', async () => {
    const base = await server.settled();
    {
      const { tunnel, port } = await forward(`127.0.0.1:${echo.port}`);
      await using _tunnel = tunnel;
      const sockets: Socket[] = [];
      const held = Array.from({ length: 500 }, async (_, index) => {
        const socket = connect({ ...local, port });
        sockets.push(socket);
        const said = `tunnel ${index}`;
        socket.write(said);
        const [data] = await new Promise<Buffer[]>((resolve, reject) => {
          socket.once('data', (chunk: Buffer) => resolve([chunk])).once('error', reject);
        });
        assert.equal(String(data), said);
      });
      await Promise.all(held);
      assert.equal(echo.sockets.size, 500);
      // Half of them end one by one, the others with the connection.
      for (const socket of sockets.slice(0, 250)) {
        socket.end();
      }
      await eventually('the end of half of them', () => echo.sockets.size === 250);
      for (const socket of sockets) {
        socket.on('error', () => {}); // the tunnel is torn down under them
      }
    }
    await eventually('the end of all of them', () => echo.sockets.size === 0);
    assert.deepEqual(await server.leftovers(base, 10_000), []);
  });

  test('3,000 channels at once on one connection, each with its own bytes', {
    timeout: 120_000,
  }, async () => {
    const base = await server.settled();
    const client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.on('ready', resolve).on('error', reject);
      client.connect({
        ...{ ...local, port: server.port, username: 'alice' },
        ...{ privateKey: readFileSync(key.file), readyTimeout: 60_000 },
      });
    });
    const say = (index: number) =>
      new Promise<void>((resolve, reject) => {
        client.forwardOut('127.0.0.1', 1, '127.0.0.1', echo.port, (error, channel) => {
          if (error !== undefined) {
            reject(error);
            return;
          }
          const said = `channel ${index}`;
          channel.once('data', (data: Buffer) => {
            try {
              assert.equal(String(data), said);
              resolve();
            } catch (cause) {
              reject(cause as Error);
            }
          });
          channel.write(said);
        });
      });
    let next = 0;
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        while (next < 3000) {
          await say(next++);
        }
      }),
    );
    assert.equal(echo.sockets.size, 3000);
    client.end();
    await eventually('the end of all of them', () => echo.sockets.size === 0);
    assert.deepEqual(await server.leftovers(base, 10_000), []);
  });

  test('listeners and what they accepted end with the connection', async () => {
    const base = await server.settled();
    const tunnel = remote(`0:127.0.0.1:${echo.port}`);
    const port = await allocatedPort(tunnel);
    const socket = connect({ ...local, port });
    socket.write('x');
    await new Promise((resolve) => socket.once('data', resolve));
    const over = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {}); // a reset is an end too
    await tunnel.stop('SIGKILL');
    socket.resume();
    await over;
    await eventually('the end of the listener', () => listeners(port).length === 0);
    assert.deepEqual(await server.leftovers(base, 10_000), []);
  });

  test('a daemon that was told to end goes on with its tunnels', async () => {
    await using draining = await startServer({ config: ['UsePAM yes'] });
    const here = await freePort();
    await using tunnel = startTunnel(draining, {
      key,
      args: [
        ...['-o', 'LogLevel=INFO', '-R', `0:127.0.0.1:${echo.port}`],
        ...['-L', `127.0.0.1:${here}:127.0.0.1:${echo.port}`],
      ],
    });
    const there = await allocatedPort(tunnel);
    process.kill(draining.pid, 'SIGTERM');
    await eventually('the end of the listener', () => listeners(draining.port).length === 0);
    for (const port of [here, there]) {
      assert.equal((await roundTrip({ ...local, port }, 'still')).toString(), 'still');
    }
  });

  test('when the leader dies the connection ends, and its listeners with it', {
    skip: serverKind === 'sshd' ? 'sshd has no leaders' : false,
  }, async () => {
    await using tunnel = remote(`0:127.0.0.1:${echo.port}`);
    const port = await allocatedPort(tunnel);
    const leader = server.processes().find(({ title }) => title.includes('leader alice'));
    assert.ok(leader);
    process.kill(leader.pid, 'SIGKILL');
    await tunnel.finished;
    await eventually('the end of the listener', () => listeners(port).length === 0);
  });
});
