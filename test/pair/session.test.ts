/** The server's SSH stack against the client of the ssh2 package, over loopback. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect as connectTcp, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { type InternalSubsystems } from '../../src/session/session-channel.ts';
import { SessionServer, spliced } from '../support/session-server.ts';

const limit = { timeout: 30_000 };
let server: SessionServer;
let target: ReturnType<typeof createServer>;

/** What a test wants done with the next connection to the target of direct-tcpip. */
let serveTarget: (socket: Socket) => void = () => {};

const subsystems: InternalSubsystems = new Map([
  [
    'echo',
    (channel) => {
      channel.stream.pipe(channel.stream);
      channel.stream.on('end', () => channel.sendExitStatus(5));
      channel.stream.on('finish', () => channel.close());
    },
  ],
]);

before(async () => {
  target = createServer({ allowHalfOpen: true }, (socket) => serveTarget(socket));
  target.listen(0, '127.0.0.1');
  await once(target, 'listening');
  const { port } = target.address() as { port: number };
  server = await SessionServer.listen({
    subsystems,
    targets: new Map([
      ['tcp', spliced(() => connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true }))],
      ['none', async () => ({ refused: 2, text: 'nothing there' })],
    ]),
  });
});

after(async () => {
  await server.close();
  target.close();
});

async function login(config: ConnectConfig = { username: 'open' }): Promise<Client> {
  const client = new Client();
  const sock = connectTcp({ port: server.port, host: '127.0.0.1', noDelay: true });
  client.connect({ sock, readyTimeout: 5000, ...config });
  await once(client, 'ready');
  return client;
}

function exec(client: Client, command: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => (error ? reject(error) : resolve(channel)));
  });
}

interface Result {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly status: unknown;
  readonly signal: unknown;
}

async function finished(channel: ClientChannel): Promise<Result> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let exit: unknown[] = [];
  channel.on('data', (chunk: Buffer) => void stdout.push(chunk));
  channel.stderr.on('data', (chunk: Buffer) => void stderr.push(chunk));
  channel.on('exit', (...values: unknown[]) => {
    exit = values;
  });
  await once(channel, 'close');
  return {
    stdout: Buffer.concat(stdout),
    stderr: Buffer.concat(stderr),
    status: exit[0],
    signal: exit[1],
  };
}

test('login by password and by two prompts; a wrong answer is refused', limit, async () => {
  (await login({ username: 'alice', password: 'secret' })).end();
  for (const colour of ['blue', 'red']) {
    const client = new Client();
    client.on('keyboard-interactive', (_name, instruction, _language, prompts, answer) => {
      assert.equal(instruction, 'two answers');
      assert.deepEqual(
        prompts.map((prompt) => prompt.echo),
        [false, true],
      );
      answer(['secret', colour]);
    });
    client.connect({
      host: '127.0.0.1',
      port: server.port,
      username: 'alice',
      tryKeyboard: true,
      readyTimeout: 5000,
    });
    const outcome = await once(client, 'ready').then(
      () => 'ready',
      () => 'refused',
    );
    assert.equal(outcome, colour === 'blue' ? 'ready' : 'refused');
    client.end();
  }
});

test('a command: stdout, stderr, status', limit, async () => {
  const client = await login();
  const result = await finished(await exec(client, 'echo out; echo err >&2; exit 3'));
  assert.deepEqual(
    [result.stdout.toString(), result.stderr.toString(), result.status],
    ['out\n', 'err\n', 3],
  );
  const killed = await finished(await exec(client, 'kill -KILL $$'));
  assert.deepEqual([killed.status, killed.signal], [null, 'SIGKILL']);
  client.end();
});

test('stdin until EOF, output behind it', limit, async () => {
  const client = await login();
  const channel = await exec(client, 'sha256sum; echo done');
  const bytes = randomBytes(5_000_000);
  channel.end(bytes);
  const { stdout } = await finished(channel);
  const digest = createHash('sha256').update(bytes).digest('hex');
  assert.equal(stdout.toString(), `${digest}  -\ndone\n`);
  client.end();
});

test(
  'stdout and stderr beyond the window at once: both arrive whole and in order',
  limit,
  async () => {
    const client = await login();
    const lines = 2_000_000;
    const channel = await exec(client, `seq ${lines} >&2 & seq ${lines}; wait`);
    let status: unknown;
    channel.on('exit', (value: unknown) => {
      status = value;
    });
    // Neither is read until both have run into the window.
    await delay(300);
    assert.equal(status, undefined, 'the command ended, nothing was held up');
    const { stdout, stderr } = await finished(channel);
    const expected = `${Array.from({ length: lines }, (_, index) => index + 1).join('\n')}\n`;
    assert.ok(expected.length > 8 * 1024 * 1024);
    assert.ok(stdout.equals(Buffer.from(expected)), `stdout ${stdout.length}`);
    assert.ok(stderr.equals(Buffer.from(expected)), `stderr ${stderr.length}`);
    assert.equal(status, 0);
    client.end();
  },
);

test('a client that does not read holds its command up and nobody else', limit, async () => {
  const client = await login();
  const stuck = await exec(client, 'head -c 50000000 /dev/zero');
  await delay(200);
  const other = await finished(await exec(client, 'echo still here'));
  assert.equal(other.stdout.toString(), 'still here\n');
  let bytes = 0;
  stuck.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(stuck, 'close');
  assert.equal(bytes, 50_000_000);
  client.end();
});

test('a command that does not read holds its client up and nobody else', limit, async () => {
  const client = await login();
  const stuck = await exec(client, 'sleep 1; wc -c');
  const sent = stuck.write(Buffer.alloc(8_000_000));
  stuck.end();
  assert.equal(sent, false);
  const other = await finished(await exec(client, 'echo still here'));
  assert.equal(other.stdout.toString(), 'still here\n');
  assert.equal((await finished(stuck)).stdout.toString().trim(), '8000000');
  client.end();
});

test('a command that ends without reading its stdin', limit, async () => {
  const client = await login();
  const channel = await exec(client, 'exit 6');
  channel.on('error', () => {});
  channel.write(Buffer.alloc(5_000_000));
  assert.equal((await finished(channel)).status, 6);
  client.end();
});

test('a closed stdin of the command is not the end of its output', limit, async () => {
  const client = await login();
  const channel = await exec(client, 'exec <&-; sleep 0.2; echo late; exit 2');
  channel.end(Buffer.alloc(500_000));
  const result = await finished(channel);
  assert.deepEqual([result.stdout.toString(), result.status], ['late\n', 2]);
  client.end();
});

test('a job left behind keeps the channel open until it lets go of the output', limit, async () => {
  const client = await login();
  const channel = await exec(client, '(sleep 0.4; echo late) & exit 9');
  const seen: string[] = [];
  channel.on('exit', () => seen.push('exit'));
  channel.on('data', () => seen.push('late'));
  const result = await finished(channel);
  assert.deepEqual([result.stdout.toString(), result.status], ['late\n', 9]);
  assert.deepEqual(seen, ['exit', 'late']);
  client.end();
});

test('direct-tcpip: the other direction goes on after EOF of either', limit, async () => {
  const client = await login();
  const forward = (): Promise<ClientChannel> =>
    new Promise((resolve, reject) => {
      client.forwardOut('127.0.0.1', 1, 'tcp', 5900, (error, channel) =>
        error ? reject(error) : resolve(channel),
      );
    });
  // The client ends first; the server side answers with 200,000 bytes afterwards.
  serveTarget = (socket) => {
    let got = 0;
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    socket.on('end', () => socket.end(Buffer.alloc(got)));
  };
  const first = await forward();
  first.end(Buffer.alloc(200_000));
  let bytes = 0;
  for await (const chunk of first) {
    bytes += (chunk as Buffer).length;
  }
  assert.equal(bytes, 200_000);
  // The server side ends first; the client sends 200,000 bytes afterwards.
  const { promise, resolve } = Promise.withResolvers<number>();
  serveTarget = (socket) => {
    socket.end('over to you');
    let got = 0;
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    socket.on('end', () => resolve(got));
  };
  const second = await forward();
  second.resume();
  await once(second, 'end');
  second.end(Buffer.alloc(200_000));
  assert.equal(await promise, 200_000);
  client.end();
});

test('a target that cannot be had is refused with its reason and text', limit, async () => {
  const client = await login();
  const error = await new Promise<(Error & { reason?: unknown }) | undefined>((resolve) => {
    client.forwardOut('127.0.0.1', 1, 'none', 5900, resolve);
  });
  assert.match(String(error?.message), /nothing there/);
  assert.equal(error?.reason, 2);
  client.end();
});

test('an internal subsystem over the stream: bytes, EOF, status', limit, async () => {
  const client = await login();
  const channel = await new Promise<ClientChannel>((resolve, reject) => {
    client.subsys('echo', (error, opened) => (error ? reject(error) : resolve(opened)));
  });
  const bytes = randomBytes(3_000_000);
  channel.end(bytes);
  const result = await finished(channel);
  assert.ok(result.stdout.equals(bytes));
  assert.equal(result.status, 5);
  client.end();
});

test('a subsystem that does not exist is refused, and the connection lives', limit, async () => {
  const client = await login();
  const error = await new Promise((resolve) => client.subsys('nothing', resolve));
  assert.ok(error instanceof Error);
  assert.equal((await finished(await exec(client, 'true'))).status, 0);
  client.end();
});

test('300 sessions one after another and 50 at once leave no channel behind', limit, async () => {
  const client = await login();
  const connection = server.connections.at(-1);
  assert.ok(connection);
  const open = (): Promise<void> =>
    new Promise((resolve, reject) => {
      client.subsys('echo', (error, channel) => {
        if (error) {
          reject(error);
          return;
        }
        channel.resume();
        channel.end('x');
        channel.on('close', resolve);
      });
    });
  for (let count = 0; count < 300; count++) {
    await open();
  }
  await Promise.all(Array.from({ length: 50 }, open));
  for (let turn = 0; turn < 100 && connection.channelCount > 0; turn++) {
    await delay(10); // the client's last CLOSE is on its way
  }
  assert.equal(connection.channelCount, 0);
  client.end();
});

test('keys changed every few MB: both directions arrive whole', limit, async () => {
  const client = await login();
  const transport = server.transports.at(-1);
  const timer = setInterval(() => transport?.rekey(), 20);
  const channel = await exec(client, 'cat');
  const bytes = randomBytes(20_000_000);
  const sums = [createHash('sha256').update(bytes).digest('hex')];
  channel.end(bytes);
  const { stdout } = await finished(channel);
  clearInterval(timer);
  sums.push(createHash('sha256').update(stdout).digest('hex'));
  assert.equal(sums[0], sums[1]);
  client.end();
});

test(
  'a client that vanishes in the midst of transfers: every session is closed',
  limit,
  async () => {
    const client = await login();
    const from = server.sessions.length;
    const down = await exec(client, 'cat /dev/zero');
    const up = await exec(client, 'sleep 600');
    up.on('error', () => {});
    down.on('data', () => {});
    up.write(Buffer.alloc(4_000_000));
    await delay(50);
    client.destroy();
    const mine = server.sessions.slice(from);
    for (let turn = 0; turn < 100 && mine.some((session) => !session.isClosed); turn++) {
      await delay(10);
    }
    assert.deepEqual(
      mine.map((session) => session.isClosed),
      [true, true],
    );
  },
);

test('no test left an internal error behind', () => {
  assert.deepEqual(server.bugs, []);
});
